// Attention on a GPU. In bf16, with heads whose width 8 divides, up to 128: the flash kernels (flash.cuh). Otherwise, and for the
// weights: batched products around a softmax, for every width and precision. The scores of one sample are then in memory at a time,
// (heads, queries, keys) in the type of the sums; a sample's heads are one launch.
#pragma once

#if !defined(__CUDACC__) && !defined(BRAING3N_EMULATE_CUDA)
#error "braing3n/backend/cuda/attention.cuh needs nvcc: include it from a .cu file and link braing3n::cuda"
#endif

#include "braing3n/backend/attention.hpp"
#include "braing3n/backend/cuda/flash.cuh"
#include "braing3n/backend/cuda/norm.cuh"
#include "braing3n/backend/cuda/product.cuh"

namespace braing3n::inline BRAING3N_ABI {
namespace detail {

/// From scores and log-sum-exp: the weights; from the weights' gradients and dy . y: those of the scores.
template <class T>
__global__ void attention_score_gradients_kernel(AttentionCall<T> c, AttentionGradients<T> g, Index sample,
                                                 const accum_t<T>* scores, const accum_t<T>* weight_gradients,
                                                 T* weights, T* score_gradients) {
  using A = accum_t<T>;
  const A scale = static_cast<A>(c.scale);
  for_warp_rows(c.heads * c.queries, [=](Index r, int lane) {
    const Index head = r / c.queries, query = r % c.queries;
    const Index at = ((sample * c.queries + query) * c.heads + head) * c.width;
    const A own = row_total<A>(c.width, lane,
                               [=](Index d) { return static_cast<A>(g.dy[at + d]) * static_cast<A>(g.y[at + d]); });
    const A log_sum = g.log_sum[sample * c.heads * c.queries + r];
    for (Index j = lane; j < c.keys; j += 32) {
      const Index i = r * c.keys + j;
      const A weight = math::exp(scale * scores[i] - log_sum);
      weights[i] = static_cast<T>(weight);
      score_gradients[i] = static_cast<T>(weight * (weight_gradients[i] - own) * scale);
    }
  });
}

/// All heads of one sample in one launch.
template <class T>
class HeadProducts {
 public:
  HeadProducts(Context<Cuda>& ctx, Index heads) : ctx_(&ctx), heads_(heads) {}

  struct Side {
    const T* data;
    Index row, col, head;  // elements from one row, column, head to the next
  };
  /// to (m, n) per head = a (m, k) b (k, n), in the type of the sums.
  void sums(Index m, Index n, Index k, const Side& a, const Side& b, accum_t<T>* to) const {
    GemmCall<T> call = sides(m, n, k, a, b);
    call.c_row = n;
    call.sums = to;
    ProductKernel<Cuda>::run_batch(*ctx_, call, heads_, a.data, a.head, b.data, b.head, static_cast<T*>(nullptr),
                                   m * n);
  }
  /// The same, rounded, rows `row` and heads `head` elements apart.
  void rounded(Index m, Index n, Index k, const Side& a, const Side& b, T* to, Index row, Index head) const {
    GemmCall<T> call = sides(m, n, k, a, b);
    call.c_row = row;
    ProductKernel<Cuda>::run_batch(*ctx_, call, heads_, a.data, a.head, b.data, b.head, to, head);
  }

 private:
  static GemmCall<T> sides(Index m, Index n, Index k, const Side& a, const Side& b) {
    GemmCall<T> call;
    call.m = m, call.n = n, call.k = k;
    call.a_row = a.row, call.a_col = a.col, call.b_row = b.row, call.b_col = b.col;
    return call;
  }
  Context<Cuda>* ctx_;
  Index heads_;
};

}  // namespace detail

template <>
struct AttentionKernel<Cuda> {
  template <class T>
  static void forward(Context<Cuda>& ctx, const AttentionCall<T>& c) {
    using A = accum_t<T>;
    if constexpr (std::is_same_v<T, bfloat16>) {
      if (detail::flash_fits(c))
        return detail::with_flash_width(c.width, [&](auto width) { detail::flash_forward<width>(ctx, c); });
    }
    const Index rows = c.heads * c.queries;
    Tensor<A, Cuda> scores(ctx, Shape{rows, c.keys});
    Tensor<T, Cuda> weights = rounded_weights<T>(ctx, scores);
    const detail::HeadProducts<T> products(ctx, c.heads);
    for (Index n = 0; n < c.batch; ++n) {
      scores_of(products, c, n, scores.data());
      softmax(ctx, c, rows, scores.data(), weights.data(), c.log_sum + n * rows);
      products.rounded(c.queries, c.width, c.keys, {weights.data(), c.keys, 1, c.queries * c.keys},
                       {c.v + n * c.v_sample, c.v_row, 1, c.width}, c.y + n * rows * c.width, c.heads * c.width,
                       c.width);
    }
  }

  template <class T>
  static void backward(Context<Cuda>& ctx, const AttentionCall<T>& c, const AttentionGradients<T>& g) {
    using A = accum_t<T>;
    if constexpr (std::is_same_v<T, bfloat16>) {
      if (detail::flash_fits(c, g))
        return detail::with_flash_width(c.width, [&](auto width) { detail::flash_backward<width>(ctx, c, g); });
    }
    const Index rows = c.heads * c.queries, square = c.queries * c.keys, y_row = c.heads * c.width;
    Tensor<A, Cuda> scores(ctx, Shape{rows, c.keys}), weight_gradients(ctx, Shape{rows, c.keys});
    Tensor<T, Cuda> weights(ctx, Shape{rows, c.keys}), score_gradients(ctx, Shape{rows, c.keys});
    const detail::HeadProducts<T> products(ctx, c.heads);
    for (Index n = 0; n < c.batch; ++n) {
      const T* dy = g.dy + n * rows * c.width;
      scores_of(products, c, n, scores.data());
      products.sums(c.queries, c.keys, c.width, {dy, y_row, 1, c.width}, {c.v + n * c.v_sample, 1, c.v_row, c.width},
                    weight_gradients.data());
      detail::launch(ctx, "attention_score_gradients", detail::attention_score_gradients_kernel<T>,
                     {detail::cuda_grid(ctx, rows, detail::warps_per_block)}, c, g, n, scores.data(),
                     weight_gradients.data(), weights.data(), score_gradients.data());
      products.rounded(c.queries, c.width, c.keys, {score_gradients.data(), c.keys, 1, square},
                       {c.k + n * c.k_sample, c.k_row, 1, c.width}, g.dq + n * c.q_sample, c.q_row, c.width);
      products.rounded(c.keys, c.width, c.queries, {score_gradients.data(), 1, c.keys, square},
                       {c.q + n * c.q_sample, c.q_row, 1, c.width}, g.dk + n * c.k_sample, c.k_row, c.width);
      products.rounded(c.keys, c.width, c.queries, {weights.data(), 1, c.keys, square}, {dy, y_row, 1, c.width},
                       g.dv + n * c.v_sample, c.v_row, c.width);
    }
  }

  template <class T>
  static void weights(Context<Cuda>& ctx, const AttentionCall<T>& c, accum_t<T>* to) {
    const Index rows = c.heads * c.queries;
    const detail::HeadProducts<T> products(ctx, c.heads);
    for (Index n = 0; n < c.batch; ++n) {
      accum_t<T>* own = to + n * rows * c.keys;
      scores_of(products, c, n, own);
      softmax(ctx, c, rows, own, own, static_cast<accum_t<T>*>(nullptr));
    }
  }

 private:
  template <class T>
  static void scores_of(const detail::HeadProducts<T>& products, const AttentionCall<T>& c, Index n, accum_t<T>* to) {
    products.sums(c.queries, c.keys, c.width, {c.q + n * c.q_sample, c.q_row, 1, c.width},
                  {c.k + n * c.k_sample, 1, c.k_row, c.width}, to);
  }
  template <class T, class A, class W>
  static void softmax(Context<Cuda>& ctx, const AttentionCall<T>& c, Index rows, const A* scores, W* weights,
                      A* log_sum) {
    detail::launch(ctx, "attention_weights", detail::softmax_kernel<A, W>,
                   {detail::cuda_grid(ctx, rows, detail::warps_per_block)}, rows, c.keys, static_cast<A>(c.scale),
                   scores, weights, log_sum);
  }
  /// The scores' own memory where the types are the same.
  template <class T, class A>
  static Tensor<T, Cuda> rounded_weights(Context<Cuda>& ctx, const Tensor<A, Cuda>& scores) {
    if constexpr (std::is_same_v<T, A>) return scores;
    else return Tensor<T, Cuda>(ctx, scores.shape());
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
