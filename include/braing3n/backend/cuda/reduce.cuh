// Sums and maxima on a GPU, in an order fixed by the shape: every chunk is summed by one block in a fixed tree, chunks are
// combined in order, and no atomics are used.
#pragma once

#if !defined(__CUDACC__) && !defined(BRAING3N_EMULATE_CUDA)
#error "braing3n/backend/cuda/reduce.cuh needs nvcc: include it from a .cu file and link braing3n::cuda"
#endif

#include <algorithm>
#include <limits>

#include "braing3n/backend/cuda/device.cuh"
#include "braing3n/backend/kernels.hpp"

namespace braing3n::inline BRAING3N_ABI {
namespace detail {

constexpr Index cuda_chunk = 16384;  // elements per block

struct SumOf {
  static constexpr double identity = 0.0;
  BRAING3N_HD double operator()(double a, double b) const { return a + b; }
};
struct MaxOf {
  static constexpr double identity = -std::numeric_limits<double>::infinity();
  BRAING3N_HD double operator()(double a, double b) const { return larger_or_nan(a, b); }
};

template <class Op, class F, class S>
__global__ void chunk_reduce_kernel(Index n, Index chunks, F f, Op op, S store) {
  for (Index chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
    const Index begin = chunk * cuda_chunk, end = begin + cuda_chunk < n ? begin + cuda_chunk : n;
    double value = Op::identity;
    for (Index i = begin + threadIdx.x; i < end; i += cuda_block) value = op(value, static_cast<double>(f(i)));
    value = block_combine(value, op);
    if (threadIdx.x == 0) store(chunk, value);
  }
}

struct StoreChunk {
  double* partial;
  BRAING3N_HD void operator()(Index chunk, double value) const { partial[chunk] = value; }
};
/// Of the only chunk.
template <class S>
struct StoreTotal {
  S store;
  BRAING3N_HD void operator()(Index, double value) const { store(value); }
};

// One block: each thread combines neighbouring chunks in order.
template <class Op, class S>
__global__ void chunks_combine_kernel(Index chunks, const double* partial, Op op, S store) {
  const Index each = (chunks + cuda_block - 1) / cuda_block, begin = threadIdx.x * each;
  double value = Op::identity;
  for (Index i = begin; i < begin + each && i < chunks; ++i) value = op(value, partial[i]);
  value = block_combine(value, op);
  if (threadIdx.x == 0) store(value);
}

template <class Op, class F, class S>
__global__ void row_reduce_kernel(Index rows, Index cols, F f, Op op, S store) {
  for (Index r = blockIdx.x; r < rows; r += gridDim.x) {
    double value = Op::identity;
    for (Index c = threadIdx.x; c < cols; c += cuda_block) value = op(value, static_cast<double>(f(r, c)));
    value = block_combine(value, op);
    if (threadIdx.x == 0) store(r, value);
  }
}

template <class F>
__global__ void column_partials_kernel(Index batch, Index rows, Index cols, Index group, Index groups, F f,
                                       double* partial) {
  const Index n = batch * groups * cols;
  for (Index i = blockIdx.x * static_cast<Index>(blockDim.x) + threadIdx.x; i < n;
       i += static_cast<Index>(gridDim.x) * blockDim.x) {
    const Index c = i % cols, g = i / cols % groups, b = i / cols / groups;
    const Index end = (g + 1) * group < rows ? (g + 1) * group : rows;
    double total = 0;
    for (Index r = g * group; r < end; ++r) total += static_cast<double>(f(b, r, c));
    partial[i] = total;
  }
}

template <class S>
__global__ void column_totals_kernel(Index batch, Index cols, Index groups, const double* partial, S store) {
  const Index n = batch * cols;
  for (Index i = blockIdx.x * static_cast<Index>(blockDim.x) + threadIdx.x; i < n;
       i += static_cast<Index>(gridDim.x) * blockDim.x) {
    const Index c = i % cols, b = i / cols;
    double total = 0;
    for (Index g = 0; g < groups; ++g) total += partial[(b * groups + g) * cols + c];
    store(b, c, total);
  }
}

/// store(total) on the device, once.
template <class Op, class F, class S>
void chunked_reduce(Context<Cuda>& ctx, Index n, const F& f, Op op, const S& store) {
  const Index chunks = n <= 0 ? 0 : (n + cuda_chunk - 1) / cuda_chunk;
  if (chunks == 1) {
    launch(ctx, "reduce", chunk_reduce_kernel<Op, F, StoreTotal<S>>, {1}, n, chunks, f, op, StoreTotal<S>{store});
    return;
  }
  Tensor<double, Cuda> partial(ctx, Shape{std::max<Index>(chunks, 1)});
  if (chunks > 0)
    launch(ctx, "reduce", chunk_reduce_kernel<Op, F, StoreChunk>, {cuda_grid(ctx, chunks, 1)}, n, chunks, f, op,
           StoreChunk{partial.data()});
  launch(ctx, "reduce", chunks_combine_kernel<Op, S>, {1}, chunks, partial.data(), op, store);
}

struct StoreNumber {
  double* out;
  BRAING3N_HD void operator()(double value) const { *out = value; }
};

/// The same, read by the host, which waits for it.
template <class Op, class F>
double chunked_reduce(Context<Cuda>& ctx, Index n, const F& f, Op op) {
  Tensor<double, Cuda> total(ctx, Shape{});
  chunked_reduce(ctx, n, f, op, StoreNumber{total.data()});
  return total.to_host()[0];
}

}  // namespace detail

template <>
struct ReduceKernel<Cuda> {
  static constexpr Index row_group = 128;  // rows per partial sum of a column

  template <class F>
  static double sum(Context<Cuda>& ctx, Index n, const F& f) {
    return detail::chunked_reduce(ctx, n, f, detail::SumOf{});
  }
  template <class F, class S>
  static void sum_to(Context<Cuda>& ctx, Index n, const F& f, const S& store) {
    detail::chunked_reduce(ctx, n, f, detail::SumOf{}, store);
  }
  template <class F>
  static double max_value(Context<Cuda>& ctx, Index n, const F& f) {
    return detail::chunked_reduce(ctx, n, f, detail::MaxOf{});
  }

  template <class F, class S>
  static void row_sums(Context<Cuda>& ctx, Index rows, Index cols, const F& f, const S& store) {
    if (rows <= 0) return;
    reduce_rows(ctx, "row_sums", rows, cols, f, detail::SumOf{}, store);
  }
  template <class F, class S>
  static void row_max(Context<Cuda>& ctx, Index rows, Index cols, const F& f, const S& store) {
    if (rows <= 0) return;
    reduce_rows(ctx, "row_max", rows, cols, f, detail::MaxOf{}, store);
  }

  template <class F, class S>
  static void column_sums(Context<Cuda>& ctx, Index batch, Index rows, Index cols, const F& f, const S& store) {
    if (batch <= 0 || cols <= 0) return;
    const Index groups = std::max<Index>(1, (rows + row_group - 1) / row_group);
    Tensor<double, Cuda> partial(ctx, Shape{batch, groups, cols});
    detail::launch(ctx, "column_sums", detail::column_partials_kernel<F>, {detail::cuda_grid(ctx, partial.size())},
                   batch, rows, cols, row_group, groups, f, partial.data());
    detail::launch(ctx, "column_sums", detail::column_totals_kernel<S>, {detail::cuda_grid(ctx, batch * cols)}, batch,
                   cols, groups, partial.data(), store);
  }

 private:
  template <class Op, class F, class S>
  static void reduce_rows(Context<Cuda>& ctx, const char* name, Index rows, Index cols, const F& f, Op op,
                          const S& store) {
    detail::launch(ctx, name, detail::row_reduce_kernel<Op, F, S>, {detail::cuda_grid(ctx, rows, 1)}, rows, cols, f, op,
                   store);
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
