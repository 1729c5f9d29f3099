// The gradients of a linear layer on a GPU. Without an activation the sums for the bias come with the product for the weights; with one,
// its derivative and those sums are one pass over the upstream gradient.
#pragma once

#if !defined(__CUDACC__) && !defined(BRAING3N_EMULATE_CUDA)
#error "braing3n/backend/cuda/linear.cuh needs nvcc: include it from a .cu file and link braing3n::cuda"
#endif

#include <cstdint>
#include <type_traits>

#include "braing3n/backend/cuda/device.cuh"
#include "braing3n/backend/cuda/product.cuh"
#include "braing3n/backend/cuda/reduce.cuh"
#include "braing3n/backend/fused.hpp"

namespace braing3n::inline BRAING3N_ABI {
namespace detail {

template <class A>
BRAING3N_HD BRAING3N_INLINE A activation_slope(Activation activation, A x) {
  switch (activation) {
    case Activation::gelu:
      return Gelu{}.grad(x);
    case Activation::gelu_tanh:
      return GeluTanh{}.grad(x);
    case Activation::silu:
      return Silu{}.grad(x);
    case Activation::none:
      break;
  }
  return A{1};
}

/// dz = dy act'(z), and the sums of dz over `group` rows at a time. A thread has `width` neighbouring columns, whose elements it reads and
/// writes at once.
template <int width, class T>
__global__ void activation_gradient_kernel(Index rows, Index cols, Index group, Index groups, Activation activation,
                                           const T* z, const T* dy, T* dz, double* partial) {
  using A = accum_t<T>;
  using Piece = Elements<T, width>;
  const Index pieces = cols / width;
  for (Index i = blockIdx.x * static_cast<Index>(blockDim.x) + threadIdx.x; i < groups * pieces;
       i += static_cast<Index>(gridDim.x) * blockDim.x) {
    const Index column = i % pieces * width, first = i / pieces * group,
                end = first + group < rows ? first + group : rows;
    double totals[width] = {};
    for (Index r = first; r < end; ++r) {
      const Index at = r * cols + column;
      const Piece x = *reinterpret_cast<const Piece*>(z + at), up = *reinterpret_cast<const Piece*>(dy + at);
      Piece down;
      for (int j = 0; j < width; ++j) {
        down.values[j] =
            static_cast<T>(static_cast<A>(up.values[j]) * activation_slope(activation, static_cast<A>(x.values[j])));
        totals[j] += static_cast<double>(static_cast<A>(down.values[j]));
      }
      *reinterpret_cast<Piece*>(dz + at) = down;
    }
    for (int j = 0; j < width; ++j) partial[i / pieces * cols + column + j] = totals[j];
  }
}

/// to[c] += the sum of column c
template <class A>
struct AddBiasSum {
  A* to;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index, Index c, double sum) const { to[c] += static_cast<A>(sum); }
};
template <class A>
struct AddBiasSums {
  A* to;
  const A* sums;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const { to[i] += sums[i]; }
};
template <class T>
struct UpstreamElement {
  const T* dy;
  Index cols;
  BRAING3N_HD BRAING3N_INLINE double operator()(Index, Index r, Index c) const {
    return static_cast<double>(static_cast<accum_t<T>>(dy[r * cols + c]));
  }
};

}  // namespace detail

template <>
struct LinearBackwardKernel<Cuda> {
  template <class T>
  static void run(Context<Cuda>& ctx, const LinearBackwardCall<T>& call) {
    LinearBackwardCall<T> c = call;
    Tensor<T, Cuda> dz;
    if (c.activation != Activation::none) {
      dz = Tensor<T, Cuda>(ctx, Shape{c.rows, c.out});
      activation_gradient(ctx, c, dz.data());
      c.dy = dz.data();
      c.dbias = nullptr;  // done
    }
    if (c.dx != nullptr) {
      GemmCall<T> p;
      p.m = c.rows, p.n = c.in, p.k = c.out;
      p.a = c.dy, p.a_row = c.out, p.b = c.weight, p.b_row = c.in;
      p.c = c.dx, p.c_row = c.in;
      ProductKernel<Cuda>::run(ctx, p);
    }
    if (c.dweight != nullptr && weight_and_bias(ctx, c)) return;
    if (c.dbias != nullptr)
      ReduceKernel<Cuda>::column_sums(ctx, 1, c.rows, c.out, detail::UpstreamElement<T>{c.dy, c.out},
                                      detail::AddBiasSum<accum_t<T>>{c.dbias});
  }

 private:
  static constexpr Index row_group = 32;  // rows per partial sum

  template <class T>
  static void activation_gradient(Context<Cuda>& ctx, const LinearBackwardCall<T>& c, T* dz) {
    constexpr int piece = 16 / sizeof(T);
    const auto aligned = [](const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 16 == 0; };
    const bool wide = c.out % piece == 0 && aligned(c.preactivation) && aligned(c.dy) && aligned(dz);
    const Index groups = (c.rows + row_group - 1) / row_group;
    Tensor<double, Cuda> partial(ctx, Shape{groups, c.out});
    const auto kernel = wide ? detail::activation_gradient_kernel<piece, T> : detail::activation_gradient_kernel<1, T>;
    detail::launch(ctx, "activation_gradient", kernel, {detail::cuda_grid(ctx, groups * c.out / (wide ? piece : 1))},
                   c.rows, c.out, row_group, groups, c.activation, c.preactivation, c.dy, dz, partial.data());
    if (c.dbias == nullptr) return;
    using Store = detail::AddBiasSum<accum_t<T>>;
    detail::launch(ctx, "bias_sums", detail::column_totals_kernel<Store>, {detail::cuda_grid(ctx, c.out)}, Index{1},
                   c.out, groups, partial.data(), Store{c.dbias});
  }

  /// Whether the bias is done as well.
  template <class T>
  static bool weight_and_bias(Context<Cuda>& ctx, const LinearBackwardCall<T>& c) {
    using A = accum_t<T>;
    GemmCall<T> g;
    g.m = c.out, g.n = c.in, g.k = c.rows;
    g.a = c.dy, g.a_row = 1, g.a_col = c.out, g.b = c.x, g.b_row = c.in;
    g.c_row = c.in, g.accumulate = true;
    detail::LtProduct p = detail::lt_product(ctx, g, c.dweight, c.in);
    if (c.dbias != nullptr && !std::is_same_v<T, double>) {
      // cuBLASLt overwrites the sums, and a gradient is added to.
      Tensor<A, Cuda> sums(ctx, Shape{c.out});
      detail::LtProduct both = p;
      both.epilogue = CUBLASLT_EPILOGUE_BGRADB, both.bias = sums.data();
      if (detail::multiply(ctx, both)) {
        map(ctx, c.out, detail::AddBiasSums<A>{c.dbias, sums.data()});
        return true;
      }
    }
    detail::multiply(ctx, p);
    return false;
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
