// The launchers that ops are written against, one class template each, specialised per backend.
//
// A functor says what happens to one element; a launcher says where and in which order:
//   map(ctx, n, f)                           f(i)        for every i in [0, n)
//   map_rows(ctx, rows, cols, f)             f(r, c)     for every element of a matrix
//   map_columns(ctx, batch, rows, cols, f)   f(b, r, c)  rows of one column in increasing order: f may add into memory
//   copy_rows(ctx, rows, pieces, width, f)   f(row)      names what to copy where
//   sum, sum_to, max_value, row_sums, row_max, column_sums    reductions in an order fixed by the shape
// Functors are structs with `BRAING3N_HD BRAING3N_INLINE operator() const`. Except for map_columns, the calls for different
// elements must not depend on each other. A functor of map or map_rows that reads numbers that are the same for every element (a factor
// that lies on the backend) has `prepared() const`, which returns a functor with those numbers inside: a launcher calls it once for many
// elements.
#pragma once

#include "braing3n/core/tags.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {
// False for every backend, but only known once a template is instantiated.
template <Backend B, class...>
constexpr bool launches_here = false;

/// f.prepared(), or f itself when it has none.
template <class F>
BRAING3N_HD BRAING3N_INLINE decltype(auto) prepared(const F& f) {
  if constexpr (requires { f.prepared(); }) return f.prepared();
  else return (f);
}
}  // namespace detail

#define BRAING3N_REQUIRE_LAUNCH(B, ...)                                                                               \
  static_assert(::braing3n::detail::launches_here<B, __VA_ARGS__>,                                                    \
                "include braing3n/backend/cpu.hpp to launch on the CPU, braing3n/cuda.cuh from a .cu file to launch " \
                "on a GPU (target braing3n::cuda)")

/// One run of `pieces` copies of `width` elements; steps are in elements. A null source means zeros.
template <class T>
struct RowCopy {
  T* to;
  const T* from;
  Index to_step = 0;
  Index from_step = 0;
};

template <Backend B>
struct MapKernel {
  template <class F>
  static void map(Context<B>&, Index, const F&) {
    BRAING3N_REQUIRE_LAUNCH(B, F);
  }
  template <class F>
  static void map_rows(Context<B>&, Index, Index, const F&) {
    BRAING3N_REQUIRE_LAUNCH(B, F);
  }
  template <class F>
  static void map_columns(Context<B>&, Index, Index, Index, const F&) {
    BRAING3N_REQUIRE_LAUNCH(B, F);
  }
  template <class F>
  static void copy_rows(Context<B>&, Index, Index, Index, const F&) {
    BRAING3N_REQUIRE_LAUNCH(B, F);
  }
};

template <Backend B>
struct ReduceKernel {
  template <class F>
  static double sum(Context<B>&, Index, const F&) {
    BRAING3N_REQUIRE_LAUNCH(B, F);
    return 0;
  }
  template <class F, class S>
  static void sum_to(Context<B>&, Index, const F&, const S&) {
    BRAING3N_REQUIRE_LAUNCH(B, F, S);
  }
  template <class F>
  static double max_value(Context<B>&, Index, const F&) {
    BRAING3N_REQUIRE_LAUNCH(B, F);
    return 0;
  }
  template <class F, class S>
  static void row_sums(Context<B>&, Index, Index, const F&, const S&) {
    BRAING3N_REQUIRE_LAUNCH(B, F, S);
  }
  template <class F, class S>
  static void row_max(Context<B>&, Index, Index, const F&, const S&) {
    BRAING3N_REQUIRE_LAUNCH(B, F, S);
  }
  template <class F, class S>
  static void column_sums(Context<B>&, Index, Index, Index, const F&, const S&) {
    BRAING3N_REQUIRE_LAUNCH(B, F, S);
  }
};

/// Calls f(i) for every i in [0, n).
template <Backend B, class F>
void map(Context<B>& ctx, Index n, const F& f) {
  MapKernel<B>::map(ctx, n, f);
}

/// Calls f(r, c) for every r in [0, rows), c in [0, cols). What depends on r alone is computed once per row.
template <Backend B, class F>
void map_rows(Context<B>& ctx, Index rows, Index cols, const F& f) {
  MapKernel<B>::map_rows(ctx, rows, cols, f);
}

/// Calls f(b, r, c); for fixed (b, c) the rows come in increasing order on one thread, so f may accumulate.
template <Backend B, class F>
void map_columns(Context<B>& ctx, Index batch, Index rows, Index cols, const F& f) {
  MapKernel<B>::map_columns(ctx, batch, rows, cols, f);
}

/// For every row, where(row) returns a RowCopy<T>; piece p copies `width` elements from + p * from_step to to + p * to_step.
template <Backend B, class F>
void copy_rows(Context<B>& ctx, Index rows, Index pieces, Index width, const F& where) {
  MapKernel<B>::copy_rows(ctx, rows, pieces, width, where);
}

/// Sum of f(i) over [0, n), in double.
template <Backend B, class F>
double sum(Context<B>& ctx, Index n, const F& f) {
  return ReduceKernel<B>::sum(ctx, n, f);
}

/// The same, given to store(total) once, where the elements are: the host does not wait for it.
template <Backend B, class F, class S>
void sum_to(Context<B>& ctx, Index n, const F& f, const S& store) {
  ReduceKernel<B>::sum_to(ctx, n, f, store);
}

/// Largest f(i) over [0, n); NaN when any is NaN; -infinity for n = 0.
template <Backend B, class F>
double max_value(Context<B>& ctx, Index n, const F& f) {
  return ReduceKernel<B>::max_value(ctx, n, f);
}

/// store(r, sum over c of f(r, c)) for every row; sums in double. f is called once for every element, so it may also write it.
template <Backend B, class F, class S>
void row_sums(Context<B>& ctx, Index rows, Index cols, const F& f, const S& store) {
  ReduceKernel<B>::row_sums(ctx, rows, cols, f, store);
}

/// store(r, largest f(r, c) of the row), NaN when any is NaN, -infinity for no columns. f is called once for every element.
template <Backend B, class F, class S>
void row_max(Context<B>& ctx, Index rows, Index cols, const F& f, const S& store) {
  ReduceKernel<B>::row_max(ctx, rows, cols, f, store);
}

/// store(b, c, sum over r of f(b, r, c)) for every column of every matrix of the batch; sums in double.
template <Backend B, class F, class S>
void column_sums(Context<B>& ctx, Index batch, Index rows, Index cols, const F& f, const S& store) {
  ReduceKernel<B>::column_sums(ctx, batch, rows, cols, f, store);
}

}  // namespace braing3n::inline BRAING3N_ABI
