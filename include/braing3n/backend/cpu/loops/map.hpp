// Element-wise functors and row copies on CPU chunks. Chunks are fixed by shape; each is one vectorised loop.
#pragma once

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "braing3n/backend/cpu/context/context.hpp"
#include "braing3n/backend/kernels.hpp"

namespace braing3n::inline BRAING3N_ABI {

template <>
struct MapKernel<Cpu> {
  // Elements per chunk: long enough to hide the hand-over between threads, short enough to stay in the L2 cache.
  static constexpr Index chunk = 16384;
  static constexpr Index column_block = 512;

  template <class F>
  static void map(Context<Cpu>& ctx, Index n, const F& f) {
    ctx.parallel_range(n, chunk, [&](Index begin, Index end) { span(ctx.isa(), begin, end, f); });
  }

  template <class F>
  static void map_rows(Context<Cpu>& ctx, Index rows, Index cols, const F& f) {
    if (rows <= 0 || cols <= 0) return;
    const Index row_group = std::max<Index>(1, chunk / cols);
    const Index col_group = std::min(cols, chunk);
    const Index col_groups = (cols + col_group - 1) / col_group;
    const Index chunks = (rows + row_group - 1) / row_group * col_groups;
    ctx.parallel(chunks, [&](Index id) {
      const Index r0 = id / col_groups * row_group, r1 = std::min(rows, r0 + row_group);
      const Index c0 = id % col_groups * col_group, c1 = std::min(cols, c0 + col_group);
      block(ctx.isa(), r0, r1, c0, c1, f);
    });
  }

  template <class F>
  static void map_columns(Context<Cpu>& ctx, Index batch, Index rows, Index cols, const F& f) {
    if (cols <= 0) return;
    const Index blocks = (cols + column_block - 1) / column_block;
    ctx.parallel(batch * blocks, [&](Index id) {
      const Index b = id / blocks, c0 = id % blocks * column_block, c1 = std::min(cols, c0 + column_block);
      const AtBatch<F> g{f, b};
      block(ctx.isa(), 0, rows, c0, c1, g);
    });
  }

  template <class F>
  static void copy_rows(Context<Cpu>& ctx, Index rows, Index pieces, Index width, const F& where) {
    using T = std::remove_pointer_t<decltype(where(Index{0}).to)>;
    if (rows <= 0 || pieces <= 0 || width <= 0) return;
    ctx.parallel_range(rows, std::max<Index>(1, chunk / (pieces * width)), [&](Index begin, Index end) {
      const std::size_t bytes = static_cast<std::size_t>(width) * sizeof(T);
      for (Index row = begin; row < end; ++row) copy_pieces(where(row), pieces, bytes);
    });
  }

 private:
  template <class T>
  static void copy_pieces(const RowCopy<T>& copy, Index pieces, std::size_t bytes) {
    if (copy.from == nullptr) {
      for (Index p = 0; p < pieces; ++p) std::memset(static_cast<void*>(copy.to + p * copy.to_step), 0, bytes);
      return;
    }
    // Rows of small patches: a copy of known size is two or four instructions, a call costs more than the copy.
    switch (bytes) {
      case 16:
        return copy_pieces_of<16>(copy, pieces, bytes);
      case 32:
        return copy_pieces_of<32>(copy, pieces, bytes);
      case 64:
        return copy_pieces_of<64>(copy, pieces, bytes);
      default:
        return copy_pieces_of<0>(copy, pieces, bytes);
    }
  }

  template <std::size_t fixed, class T>
  static void copy_pieces_of(const RowCopy<T>& copy, Index pieces, std::size_t bytes) {
    for (Index p = 0; p < pieces; ++p)
      std::memcpy(static_cast<void*>(copy.to + p * copy.to_step), copy.from + p * copy.from_step,
                  fixed == 0 ? bytes : fixed);
  }

  template <class F>
  struct AtBatch {
    F f;
    Index b;
    BRAING3N_INLINE void operator()(Index r, Index c) const { f(b, r, c); }
  };

  template <class F>
  static void span(Isa isa, Index begin, Index end, const F& f) {
    vectorized(isa, [&]() BRAING3N_LAMBDA_INLINE {
      const auto g = detail::prepared(f);  // a local copy: its pointers stay in registers
      const Index last = end;
      BRAING3N_IVDEP
      for (Index i = begin; i < last; ++i) g(i);
    });
  }

  template <class F>
  static void block(Isa isa, Index r0, Index r1, Index c0, Index c1, const F& f) {
    vectorized(isa, [&]() BRAING3N_LAMBDA_INLINE {
      const auto g = detail::prepared(f);
      const Index first = c0, last = c1;
      for (Index r = r0; r < r1; ++r) {
        BRAING3N_IVDEP
        for (Index c = first; c < last; ++c) g(r, c);
      }
    });
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
