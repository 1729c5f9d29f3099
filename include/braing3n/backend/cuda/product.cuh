// Matrix products on a GPU: cuBLASLt with as much of GemmCall's wishes as it has an epilogue for, then one element-wise pass for the
// rest. The bias always goes along; a residual does where nothing comes between it and the product; GELU in the tanh form, because that
// is what cuBLASLt computes. The erf form and SiLU are taken in the pass.
#pragma once

#if !defined(__CUDACC__) && !defined(BRAING3N_EMULATE_CUDA)
#error "braing3n/backend/cuda/product.cuh needs nvcc: include it from a .cu file and link braing3n::cuda"
#endif

#include <algorithm>

#include "braing3n/backend/cuda/map.cuh"
#include "braing3n/backend/gemm.hpp"
#include "braing3n/base/functors.hpp"

namespace braing3n::inline BRAING3N_ABI {
namespace detail {

/// c = act(product + bias) + residual, and what was activated. c and preactivation may be the product's own memory.
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

/// The product of a call, its result in `to`. cuBLASLt's matrices are stored by columns: it computes C^T (n, m) = B^T A^T.
template <class T, class C>
LtProduct lt_product(const Context<Cuda>& ctx, const GemmCall<T>& call, C* to, Index to_row) {
  // Of one row or column the distance to the next says nothing, and cuBLASLt still wants it to be as long as one.
  const auto side = [](const T* data, Index row, Index col, Index rows, Index cols, cublasOperation_t& op) {
    op = col == 1 ? CUBLAS_OP_N : CUBLAS_OP_T;
    return LtProduct::Matrix{data, col == 1 ? std::max(row, cols) : std::max(col, rows)};
  };
  LtProduct p;
  p.m = call.n, p.n = call.m, p.k = call.k;
  p.a = side(call.b, call.b_row, call.b_col, call.k, call.n, p.op_a);
  p.b = side(call.a, call.a_row, call.a_col, call.m, call.k, p.op_b);
  p.c = p.d = LtProduct::Matrix{to, std::max(to_row, call.n)};
  p.accumulate = call.accumulate;
  p.operands = cuda_type<T>(), p.result = cuda_type<C>();
  p.compute = std::is_same_v<T, double>                        ? CUBLAS_COMPUTE_64F
              : std::is_same_v<T, float> && ctx.options().tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                               : CUBLAS_COMPUTE_32F;
  return p;
}

/// Puts the product into the stream. False when cuBLASLt has no such epilogue; a plain product that it does not have is an error.
inline bool multiply(Context<Cuda>& ctx, const LtProduct& p) {
  const CudaDeviceScope scope(ctx.options().device);
  const LtPlan plan = ctx.product_plans().plan(ctx.cublas(), p);
  if (!plan.available) {
    if (p.epilogue == CUBLASLT_EPILOGUE_DEFAULT)
      fail(ErrorKind::environment, "cuda.product", "cuda: cuBLASLt has no algorithm for a product (", p.n, ", ", p.k,
           ") by (", p.k, ", ", p.m, "), ", p.batch, " times");
    return false;
  }
  LtDescription description(p);
  const double one = 1, beta = p.accumulate ? 1 : 0;
  const float one_float = 1, beta_float = static_cast<float>(beta);
  const bool wide = p.compute == CUBLAS_COMPUTE_64F;
  void* const d = const_cast<void*>(p.d.data);
  check_cublas(
      cublasLtMatmul(ctx.cublas(), description.desc(), wide ? static_cast<const void*>(&one) : &one_float, p.a.data,
                     description.a(), p.b.data, description.b(), wide ? static_cast<const void*>(&beta) : &beta_float,
                     p.accumulate ? p.c.data : d, description.c(), d, description.d(), &plan.algorithm,
                     plan.workspace == 0 ? nullptr : ctx.product_workspace(), plan.workspace, ctx.stream()),
      "cublasLtMatmul");
  return true;
}

/// Takes the whole of a call along when cuBLASLt can.
template <class T>
bool multiply_with_epilogue(Context<Cuda>& ctx, const GemmCall<T>& call) {
  if (std::is_same_v<T, double>) return false;
  LtProduct p = lt_product(ctx, call, call.c, call.c_row);
  if (call.activation == Activation::none) {
    if (call.preactivation != nullptr || (call.residual != nullptr && call.accumulate)) return false;
    if (call.residual != nullptr) p.c = {call.residual, std::max(call.residual_row, call.n)}, p.accumulate = true;
    // In place C and D are one matrix.
    if (p.c.data == p.d.data && p.c.ld != p.d.ld) return false;
    p.epilogue = call.bias != nullptr ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  } else if (call.activation == Activation::gelu_tanh) {
    if (call.residual != nullptr) return false;
    const bool keeps = call.preactivation != nullptr;
    if (keeps && p.d.ld % 8 != 0) return false;
    p.aux = call.preactivation, p.aux_ld = keeps ? p.d.ld : 0;
    if (call.bias != nullptr) p.epilogue = keeps ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_BIAS;
    else p.epilogue = keeps ? CUBLASLT_EPILOGUE_GELU_AUX : CUBLASLT_EPILOGUE_GELU;
  } else {
    return false;
  }
  p.bias = call.bias;
  return multiply(ctx, p);
}

/// The product with its bias, if there is an epilogue for that; the rest in one pass.
template <class T>
void multiply_and_pass(Context<Cuda>& ctx, const GemmCall<T>& call) {
  // What the pass reads is where it writes, or where the preactivation is wanted. The product may not overwrite a residual.
  const bool aside = call.preactivation == nullptr && call.residual == call.c && call.residual != nullptr;
  Tensor<T, Cuda> scratch;
  if (aside) scratch = Tensor<T, Cuda>(ctx, Shape{call.m, call.n});
  T* const to = aside ? scratch.data() : call.preactivation != nullptr ? call.preactivation : call.c;
  const Index to_row = aside ? call.n : call.c_row;
  LtProduct p = lt_product(ctx, call, to, to_row);
  if (call.accumulate) p.c = {call.c, std::max(call.c_row, call.n)};
  p.bias = call.bias;
  p.epilogue = call.bias != nullptr && !std::is_same_v<T, double> ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  const bool with_bias = p.epilogue == CUBLASLT_EPILOGUE_BIAS && multiply(ctx, p);
  if (!with_bias) {
    p.bias = nullptr, p.epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    multiply(ctx, p);
  }
  map_rows(ctx, call.m, call.n,
           ProductEpilogue<T>{to, call.c, with_bias ? nullptr : call.bias, with_bias ? nullptr : call.preactivation,
                              call.residual, call.activation, to_row, call.c_row, call.residual_row});
}

}  // namespace detail

template <>
struct ProductKernel<Cuda> {
  template <class T>
  static void run(Context<Cuda>& ctx, const GemmCall<T>& call) {
    if (call.m <= 0 || call.n <= 0) return;
    if (call.sums != nullptr) {
      detail::multiply(ctx, detail::lt_product(ctx, call, call.sums, call.c_row));
    } else if (call.bias == nullptr && call.preactivation == nullptr && call.residual == nullptr &&
               call.activation == Activation::none) {
      detail::multiply(ctx, detail::lt_product(ctx, call, call.c, call.c_row));
    } else if (!detail::multiply_with_epilogue(ctx, call)) {
      detail::multiply_and_pass(ctx, call);
    }
  }

  /// One launch for all products; of a GemmCall's wishes beside the product there are none here.
  template <class T>
  static void run_batch(Context<Cuda>& ctx, const GemmCall<T>& one, Index batch, const T* a, Index a_step, const T* b,
                        Index b_step, T* c, Index c_step) {
    if (one.m <= 0 || one.n <= 0 || batch <= 0) return;
    GemmCall<T> call = one;
    call.a = a, call.b = b;
    const auto all = [&](auto* to) {
      detail::LtProduct p = detail::lt_product(ctx, call, to, call.c_row);
      p.batch = batch;
      p.a.step = b_step, p.b.step = a_step, p.c.step = p.d.step = c_step;
      detail::multiply(ctx, p);
    };
    if (one.sums != nullptr) all(one.sums);
    else all(c);
  }

  template <class T>
  static Tensor<std::uint8_t, Cuda> pack(Context<Cuda>&, Index, Index, const T*, Index, Index) {
    return {};
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
