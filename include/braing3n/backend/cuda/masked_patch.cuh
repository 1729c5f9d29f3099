// The masked autoencoder's loss on a GPU: error and gradient of a patch in one pass; visible patches are not read.
#pragma once

#if !defined(__CUDACC__) && !defined(BRAING3N_EMULATE_CUDA)
#error "braing3n/backend/cuda/masked_patch.cuh needs nvcc: include it from a .cu file and link braing3n::cuda"
#endif

#include <cmath>

#include "braing3n/backend/cuda/map.cuh"
#include "braing3n/backend/cuda/reduce.cuh"
#include "braing3n/backend/fused.hpp"

namespace braing3n::inline BRAING3N_ABI {
namespace detail {

/// A block per row.
template <class T>
__global__ void masked_patch_kernel(MaskedPatchCall<T> c, double* errors) {
  using A = accum_t<T>;
  for (Index r = blockIdx.x; r < c.rows; r += gridDim.x) {
    const T *p = c.prediction + r * c.cols, *t = c.target + r * c.cols;
    T* const gradient = c.gradient == nullptr ? nullptr : c.gradient + r * c.cols;
    const double weight = static_cast<double>(c.weights[r]);
    if (weight == 0) {  // the same for all threads of the block
      if (gradient != nullptr)
        for (Index j = threadIdx.x; j < c.cols; j += cuda_block) gradient[j] = T{};
      if (threadIdx.x == 0) errors[r] = 0;
      continue;
    }
    double mean = 0, factor = 1;
    if (c.normalize) {
      for (Index j = threadIdx.x; j < c.cols; j += cuda_block) mean += static_cast<double>(static_cast<A>(t[j]));
      mean = block_combine(mean, SumOf{}) / static_cast<double>(c.cols);
      double squares = 0;
      for (Index j = threadIdx.x; j < c.cols; j += cuda_block) {
        const double d = static_cast<double>(static_cast<A>(t[j])) - mean;
        squares += d * d;
      }
      factor = 1.0 / std::sqrt(block_combine(squares, SumOf{}) / static_cast<double>(c.cols - 1) + c.eps);
    }
    const A slope = static_cast<A>(2.0 / c.count * weight);
    double error = 0;
    for (Index j = threadIdx.x; j < c.cols; j += cuda_block) {
      A wanted = static_cast<A>(t[j]);
      if (c.normalize)
        wanted = static_cast<A>(static_cast<T>(static_cast<A>((static_cast<double>(wanted) - mean) * factor)));
      const A difference = static_cast<A>(p[j]) - wanted;
      error += static_cast<double>(difference) * static_cast<double>(difference);
      if (gradient != nullptr) gradient[j] = static_cast<T>(slope * difference);
    }
    error = block_combine(error, SumOf{});
    if (threadIdx.x == 0) errors[r] = weight * error;
  }
}

struct RowError {
  const double* errors;
  BRAING3N_HD BRAING3N_INLINE double operator()(Index r) const { return errors[r]; }
};
struct StoreMeanError {
  double* loss;
  double count;
  BRAING3N_HD BRAING3N_INLINE void operator()(double total) const { *loss = total / count; }
};

/// x *= *factor; nothing is touched when that is 1, as it is for a loss that nothing follows.
template <class T>
struct ScaleByNumber {
  T* x;
  const double* factor;
  double value = 0;
  BRAING3N_HD BRAING3N_INLINE ScaleByNumber prepared() const { return {x, factor, *factor}; }
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const {
    using A = accum_t<T>;
    if (value != 1) x[i] = static_cast<T>(static_cast<A>(value) * static_cast<A>(x[i]));
  }
};

}  // namespace detail

template <>
struct MaskedPatchKernel<Cuda> {
  template <class T>
  static void run(Context<Cuda>& ctx, const MaskedPatchCall<T>& c) {
    Tensor<double, Cuda> errors(ctx, Shape{c.rows});
    detail::launch(ctx, "masked_patch", detail::masked_patch_kernel<T>, {detail::cuda_grid(ctx, c.rows, 1)}, c,
                   errors.data());
    ReduceKernel<Cuda>::sum_to(ctx, c.rows, detail::RowError{errors.data()}, detail::StoreMeanError{c.loss, c.count});
  }
  template <class T>
  static void scale(Context<Cuda>& ctx, Index n, const double* factor, T* x) {
    MapKernel<Cuda>::map(ctx, n, detail::ScaleByNumber<T>{x, factor});
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
