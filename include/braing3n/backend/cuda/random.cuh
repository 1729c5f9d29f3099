// Random numbers on a GPU: Philox where the numbers are wanted, stored 16 bytes at a time. Nothing is uploaded: the generators are
// arguments of the kernel.
#pragma once

#if !defined(__CUDACC__) && !defined(BRAING3N_EMULATE_CUDA)
#error "braing3n/backend/cuda/random.cuh needs nvcc: include it from a .cu file and link braing3n::cuda"
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "braing3n/backend/cuda/device.cuh"
#include "braing3n/backend/random.hpp"

namespace braing3n::inline BRAING3N_ABI {
namespace detail {

/// Generators of as many samples as one launch takes.
struct GeneratorList {
  static constexpr Index most = 64;
  static_assert(std::is_trivially_copyable_v<Philox>);
  alignas(Philox) unsigned char bytes[most * sizeof(Philox)];

  explicit GeneratorList(std::span<const Philox> generators) : bytes{} {
    std::memcpy(bytes, generators.data(), generators.size_bytes());
  }
  BRAING3N_HD const Philox& operator[](Index n) const { return reinterpret_cast<const Philox*>(bytes)[n]; }
};

/// The four normal numbers of a block: Philox::box_muller with one logarithm for two.
struct NormalBlock {
  template <class T>
  BRAING3N_HD BRAING3N_INLINE void operator()(const Philox::Block& b, T* to) const {
    for (unsigned pair = 0; pair < 2; ++pair) {
      const double u = (static_cast<double>(b[2 * pair]) + 1.0) * 0x1p-32;
      const double angle = static_cast<double>(b[2 * pair + 1]) * (0x1p-32 * 6.283185307179586476925286766559);
      const double radius = std::sqrt(-2.0 * std::log(u));
      to[2 * pair] = static_cast<T>(radius * std::cos(angle));
      to[2 * pair + 1] = static_cast<T>(radius * std::sin(angle));
    }
  }
};
struct UniformBlock {
  template <class T>
  BRAING3N_HD BRAING3N_INLINE void operator()(const Philox::Block& b, T* to) const {
    for (unsigned j = 0; j < 4; ++j) to[j] = static_cast<T>(Philox::to_uniform(b[j]));
  }
};

/// `aligned`: every sample begins at a multiple of 16 bytes.
template <class T, class Numbers>
__global__ void random_kernel(Index samples, Index per_sample, GeneratorList generators, Numbers numbers, bool aligned,
                              T* to) {
  constexpr Index piece = 16 / sizeof(T), run = piece < 4 ? 4 : piece;  // whole blocks of Philox, whole pieces
  const Index runs = (per_sample + run - 1) / run;
  for (Index i = blockIdx.x * static_cast<Index>(blockDim.x) + threadIdx.x; i < samples * runs;
       i += static_cast<Index>(gridDim.x) * blockDim.x) {
    const Index sample = i / runs, first = i % runs * run;
    using Piece = Elements<T, piece>;
    alignas(Piece) T own[run];
    for (Index q = 0; q < run; q += 4)
      numbers(generators[sample].block(static_cast<std::uint32_t>((first + q) >> 2)), own + q);
    T* const at = to + sample * per_sample + first;
    if (aligned && first + run <= per_sample) {
      for (Index p = 0; p < run; p += piece)
        *reinterpret_cast<Piece*>(at + p) = *reinterpret_cast<const Piece*>(own + p);
    } else {
      for (Index j = 0; j < run && first + j < per_sample; ++j) at[j] = own[j];
    }
  }
}

}  // namespace detail

template <>
struct RandomKernel<Cuda> {
  template <class T>
  static void normal(Context<Cuda>& ctx, std::span<const Philox> generators, Index per_sample, T* to) {
    fill(ctx, "random_normal", generators, per_sample, to, detail::NormalBlock{});
  }
  template <class T>
  static void uniform(Context<Cuda>& ctx, std::span<const Philox> generators, Index per_sample, T* to) {
    fill(ctx, "random_uniform", generators, per_sample, to, detail::UniformBlock{});
  }

 private:
  template <class T, class Numbers>
  static void fill(Context<Cuda>& ctx, const char* name, std::span<const Philox> generators, Index per_sample, T* to,
                   const Numbers& numbers) {
    if (per_sample <= 0) return;
    const bool aligned =
        reinterpret_cast<std::uintptr_t>(to) % 16 == 0 && per_sample * static_cast<Index>(sizeof(T)) % 16 == 0;
    for (std::size_t first = 0; first < generators.size(); first += detail::GeneratorList::most) {
      const auto some =
          generators.subspan(first, std::min<std::size_t>(detail::GeneratorList::most, generators.size() - first));
      const auto samples = static_cast<Index>(some.size());
      detail::launch(ctx, name, detail::random_kernel<T, Numbers>, {detail::cuda_grid(ctx, samples * per_sample, 1024)},
                     samples, per_sample, detail::GeneratorList(some), numbers, aligned,
                     to + static_cast<Index>(first) * per_sample);
    }
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
