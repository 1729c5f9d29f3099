// Sums and maxima on a GPU, in an order fixed by the shape: every chunk is summed by one block in a fixed tree, chunks are
// combined in order, and no atomics are used.
#pragma once

#if !defined(__CUDACC__) && !defined(BRAING3N_EMULATE_CUDA)
#error "braing3n/backend/cuda/reduce.cuh needs nvcc: include it from a .cu file and link braing3n::cuda"
#endif

#include <limits>
#include <vector>

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
  BRAING3N_HD double operator()(double a, double b) const { return b > a || b != b ? b : a; }  // NaN wins
};

template <class Op, class F>
__global__ void chunk_reduce_kernel(Index n, Index chunks, F f, Op op, double* partial) {
  for (Index chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
    const Index begin = chunk * cuda_chunk, end = begin + cuda_chunk < n ? begin + cuda_chunk : n;
    double value = Op::identity;
    for (Index i = begin + threadIdx.x; i < end; i += cuda_block) value = op(value, static_cast<double>(f(i)));
    value = block_combine(value, op);
    if (threadIdx.x == 0) partial[chunk] = value;
  }
}

template <class F, class S>
__global__ void row_sums_kernel(Index rows, Index cols, F f, S store) {
  for (Index r = blockIdx.x; r < rows; r += gridDim.x) {
    double value = 0;
    for (Index c = threadIdx.x; c < cols; c += cuda_block) value += static_cast<double>(f(r, c));
    value = block_combine(value, SumOf{});
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

template <class Op, class F>
double chunked_reduce(Context<Cuda>& ctx, Index n, const F& f, Op op) {
  double total = Op::identity;
  if (n <= 0) return total;
  const Index chunks = (n + cuda_chunk - 1) / cuda_chunk;
  Tensor<double, Cuda> partial(ctx, Shape{chunks});
  launch(ctx, "reduce", chunk_reduce_kernel<Op, F>, {cuda_grid(ctx, chunks, 1)}, n, chunks, f, op, partial.data());
  for (const double value : partial.to_host()) total = op(total, value);
  return total;
}

}  // namespace detail

template <>
struct ReduceKernel<Cuda> {
  static constexpr Index row_group = 128;  // rows per partial sum of a column

  template <class F>
  static double sum(Context<Cuda>& ctx, Index n, const F& f) {
    return detail::chunked_reduce(ctx, n, f, detail::SumOf{});
  }
  template <class F>
  static double max_value(Context<Cuda>& ctx, Index n, const F& f) {
    return detail::chunked_reduce(ctx, n, f, detail::MaxOf{});
  }

  template <class F, class S>
  static void row_sums(Context<Cuda>& ctx, Index rows, Index cols, const F& f, const S& store) {
    if (rows <= 0) return;
    detail::launch(ctx, "row_sums", detail::row_sums_kernel<F, S>, {detail::cuda_grid(ctx, rows, 1)}, rows, cols, f,
                   store);
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
};

}  // namespace braing3n::inline BRAING3N_ABI
