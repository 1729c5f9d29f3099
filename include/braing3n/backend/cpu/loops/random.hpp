// Random numbers on the CPU: pieces of samples, shared out over threads.
#pragma once

#include <algorithm>

#include "braing3n/backend/cpu/context/context.hpp"
#include "braing3n/backend/random.hpp"

namespace braing3n::inline BRAING3N_ABI {

template <>
struct RandomKernel<Cpu> {
  template <class T>
  static void normal(Context<Cpu>& ctx, std::span<const Philox> generators, Index per_sample, T* to) {
    fill(ctx, generators, per_sample, to, [](const Philox::Block& b, std::size_t j) {
      return static_cast<T>(Philox::box_muller(b[j & 2], b[(j & 2) + 1], (j & 1) != 0));
    });
  }
  template <class T>
  static void uniform(Context<Cpu>& ctx, std::span<const Philox> generators, Index per_sample, T* to) {
    fill(ctx, generators, per_sample, to,
         [](const Philox::Block& b, std::size_t j) { return static_cast<T>(Philox::to_uniform(b[j])); });
  }

 private:
  /// number(block, j): number j of the four that a block makes.
  template <class T, class Number>
  static void fill(Context<Cpu>& ctx, std::span<const Philox> generators, Index per_sample, T* to,
                   const Number& number) {
    constexpr Index piece = Index{1} << 12;  // a multiple of four
    const Index pieces = (per_sample + piece - 1) / piece;
    ctx.host_parallel_range(static_cast<Index>(generators.size()) * pieces, 1, [&](Index begin, Index end) {
      for (Index p = begin; p < end; ++p) {
        const Philox& rng = generators[static_cast<std::size_t>(p / pieces)];
        const Index first = p % pieces * piece, count = std::min(piece, per_sample - first);
        T* const own = to + p / pieces * per_sample + first;
        for (Index i = 0; i < count; i += 4) {
          const Philox::Block b = rng.block(static_cast<std::uint32_t>((first + i) >> 2));
          for (Index j = 0; j < std::min<Index>(4, count - i); ++j) own[i + j] = number(b, static_cast<std::size_t>(j));
        }
      }
    });
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
