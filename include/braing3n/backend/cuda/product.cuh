// Matrix products on a GPU: cuBLAS, then one element-wise pass for what GemmCall wants beside the product.
#pragma once

#if !defined(__CUDACC__) && !defined(BRAING3N_EMULATE_CUDA)
#error "braing3n/backend/cuda/product.cuh needs nvcc: include it from a .cu file and link braing3n::cuda"
#endif

#include <algorithm>
#include <limits>

#include "braing3n/backend/cuda/map.cuh"
#include "braing3n/backend/gemm.hpp"
#include "braing3n/base/functors.hpp"

namespace braing3n::inline BRAING3N_ABI {
namespace detail {

template <class T>
struct ProductEpilogue {
  const T* product;
  T* c;
  const T* bias;
  T* preactivation;
  const T* residual;
  Activation activation;
  Index product_row, c_row, residual_row;

  BRAING3N_HD BRAING3N_INLINE void operator()(Index i, Index j) const {
    using A = accum_t<T>;
    A v = static_cast<A>(product[i * product_row + j]);
    if (bias != nullptr) v += static_cast<A>(bias[j]);
    if (preactivation != nullptr) preactivation[i * c_row + j] = static_cast<T>(v);
    if (activation == Activation::gelu) v = Gelu{}.value(v);
    else if (activation == Activation::gelu_tanh) v = GeluTanh{}.value(v);
    else if (activation == Activation::silu) v = Silu{}.value(v);
    if (residual != nullptr) v += static_cast<A>(residual[i * residual_row + j]);
    c[i * c_row + j] = static_cast<T>(v);
  }
};

template <class T>
constexpr cudaDataType_t cuda_type() {
  return std::is_same_v<T, double> ? CUDA_R_64F : std::is_same_v<T, float> ? CUDA_R_32F : CUDA_R_16BF;
}

inline int cublas_size(const char* what, Index n) {
  if (n > std::numeric_limits<int>::max())
    fail(ErrorKind::shape, "cuda.size", "cuda: product: ", what, " ", n, " is more than cuBLAS takes");
  return static_cast<int>(n);
}

}  // namespace detail

template <>
struct ProductKernel<Cuda> {
  template <class T>
  static void run(Context<Cuda>& ctx, const GemmCall<T>& call) {
    if (call.m <= 0 || call.n <= 0) return;
    if (call.sums != nullptr) return product(ctx, call, {1, 0, 0, 0}, call.sums, call.c_row, call.accumulate);
    const bool has_epilogue = call.bias != nullptr || call.preactivation != nullptr || call.residual != nullptr ||
                              call.activation != Activation::none;
    // The product may not overwrite a residual that is C itself.
    const bool aside = call.residual == call.c && call.residual != nullptr;
    Tensor<T, Cuda> scratch;
    T* to = call.c;
    Index to_row = call.c_row;
    if (aside) {
      scratch = Tensor<T, Cuda>(ctx, Shape{call.m, call.n});
      to = scratch.data();
      to_row = call.n;
    }
    product(ctx, call, {1, 0, 0, 0}, to, to_row, call.accumulate && !aside);
    if (has_epilogue)
      map_rows(ctx, call.m, call.n,
               detail::ProductEpilogue<T>{to, call.c, call.bias, call.preactivation, call.residual, call.activation,
                                          to_row, call.c_row, call.residual_row});
  }

  /// One launch for all products; of a GemmCall's wishes beside the product there are none here.
  template <class T>
  static void run_batch(Context<Cuda>& ctx, const GemmCall<T>& one, Index batch, const T* a, Index a_step, const T* b,
                        Index b_step, T* c, Index c_step) {
    if (one.m <= 0 || one.n <= 0 || batch <= 0) return;
    GemmCall<T> call = one;
    call.a = a, call.b = b;
    const Batch steps{batch, a_step, b_step, c_step};
    if (one.sums != nullptr) return product(ctx, call, steps, one.sums, one.c_row, one.accumulate);
    product(ctx, call, steps, c, one.c_row, one.accumulate);
  }

  template <class T>
  static Tensor<std::uint8_t, Cuda> pack(Context<Cuda>&, Index, Index, const T*, Index, Index) {
    return {};
  }

 private:
  struct Batch {
    Index count, a_step, b_step, c_step;  // elements from one matrix to the next
  };

  // cuBLAS is column-major: it computes C^T (n, m) = B^T A^T. The result's type may be wider than the operands'.
  template <class T, class C>
  static void product(Context<Cuda>& ctx, const GemmCall<T>& call, const Batch& batch, C* c, Index c_row,
                      bool accumulate) {
    using Scalar = std::conditional_t<std::is_same_v<T, double>, double, float>;
    const Scalar one = 1, beta = accumulate ? Scalar{1} : Scalar{0};
    const auto compute = std::is_same_v<T, double> ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F;
    const Side a = side("a", call.a_row, call.a_col, call.m, call.k);
    const Side b = side("b", call.b_row, call.b_col, call.k, call.n);
    const int m = detail::cublas_size("m", call.m), n = detail::cublas_size("n", call.n),
              k = detail::cublas_size("k", call.k), ldc = detail::cublas_size("ldc", std::max(c_row, call.n)),
              count = detail::cublas_size("batch", batch.count);
    const detail::CudaDeviceScope scope(ctx.options().device);
    if (count == 1)
      check_cublas(cublasGemmEx(ctx.cublas(), b.op, a.op, n, m, k, &one, call.b, detail::cuda_type<T>(), b.ld, call.a,
                                detail::cuda_type<T>(), a.ld, &beta, c, detail::cuda_type<C>(), ldc, compute,
                                CUBLAS_GEMM_DEFAULT),
                   "cublasGemmEx");
    else
      check_cublas(
          cublasGemmStridedBatchedEx(ctx.cublas(), b.op, a.op, n, m, k, &one, call.b, detail::cuda_type<T>(), b.ld,
                                     batch.b_step, call.a, detail::cuda_type<T>(), a.ld, batch.a_step, &beta, c,
                                     detail::cuda_type<C>(), ldc, batch.c_step, count, compute, CUBLAS_GEMM_DEFAULT),
          "cublasGemmStridedBatchedEx");
  }

  struct Side {
    cublasOperation_t op;
    int ld;
  };
  // A matrix (rows, cols) whose rows or columns lie together. Of one row or column the distance to the next says nothing, and cuBLAS
  // still wants it to be as long as one.
  static Side side(const char* what, Index row, Index col, Index rows, Index cols) {
    if (col == 1) return {CUBLAS_OP_N, detail::cublas_size(what, std::max(row, cols))};
    return {CUBLAS_OP_T, detail::cublas_size(what, std::max(col, rows))};
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
