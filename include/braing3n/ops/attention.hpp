// Scaled dot-product attention (Vaswani et al., arXiv 1706.03762):
//   y_i = sum over j of w_ij v_j,   w_i = softmax over j of (scale q_i . k_j),   scale = width^-1/2
// per sample n and head h, without storing w; the log-sum-exp of every row is kept for the backward pass, which computes w
// again from it:
//   dv_j = sum_i w_ij dy_i,   ds_ij = w_ij (dy_i . v_j - dy_i . y_i),   dq_i = scale sum_j ds_ij k_j,   dk_j = scale sum_i ds_ij q_i
//
// Self attention takes the packed result of one linear layer, qkv (N, L, 3, H, D): PyTorch's row order [q; k; v], heads
// contiguous inside each. The general form takes q (N, Lq, H, D), k and v (N, Lk, H, D). Results are (N, Lq, H * D).
// Scores and sums are float for bfloat16 inputs. NaN inputs give NaN results.
#pragma once

#include <cmath>

#include "braing3n/backend/attention.hpp"
#include "braing3n/ops/check.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct AttentionOptions {
  double scale = 0;  // 0: width^-1/2
};

template <class T, Backend B>
struct AttentionResult {
  Tensor<T, B> y;                 // (N, Lq, H * D)
  Tensor<accum_t<T>, B> log_sum;  // (N, H, Lq): log of the sum of exp(scale q k)
};

template <class T, Backend B>
struct AttentionInputGradients {
  Tensor<T, B> dq, dk, dv;  // shaped like q, k, v
};

namespace detail {

inline double attention_scale(const AttentionOptions& options, Index width) {
  if (!(options.scale >= 0) || std::isinf(options.scale))
    fail(ErrorKind::argument, "attention.scale", "attention: scale ", options.scale,
         ", expected a positive number, or 0 for width^-1/2");
  return options.scale > 0 ? options.scale : 1.0 / std::sqrt(static_cast<double>(width));
}

template <class T, Backend B>
AttentionCall<T> attention_call(const char* op, const Tensor<T, B>& qkv, const AttentionOptions& options) {
  require_elements(op, qkv);
  require_rank(op, "qkv", qkv, 5, "(N, L, 3, H, D)");
  if (qkv.dim(2) != 3)
    fail(ErrorKind::shape, "attention.packed", op, ": qkv has shape ", qkv.shape(), ", expected (N, L, 3, H, D)");
  AttentionCall<T> c;
  c.batch = qkv.dim(0), c.heads = qkv.dim(3), c.queries = c.keys = qkv.dim(1), c.width = qkv.dim(4);
  c.scale = attention_scale(options, c.width);
  const Index part = c.heads * c.width;
  c.q = qkv.data(), c.k = c.q + part, c.v = c.k + part;
  c.q_row = c.k_row = c.v_row = 3 * part;
  c.q_sample = c.k_sample = c.v_sample = 3 * part * c.queries;
  return c;
}

template <class T, Backend B>
AttentionCall<T> attention_call(const char* op, const Tensor<T, B>& q, const Tensor<T, B>& k,
                                const AttentionOptions& options) {
  require_elements(op, q);
  require_elements(op, k);
  require_rank(op, "q", q, 4, "(N, Lq, H, D)");
  require_rank(op, "k", k, 4, "(N, Lk, H, D)");
  require_same_context(op, q, k);
  require_shape(op, "k", k, q.shape().with(1, k.dim(1)));
  AttentionCall<T> c;
  c.batch = q.dim(0), c.heads = q.dim(2), c.queries = q.dim(1), c.keys = k.dim(1), c.width = q.dim(3);
  c.scale = attention_scale(options, c.width);
  c.q = q.data(), c.k = k.data();
  c.q_row = c.k_row = c.v_row = c.heads * c.width;
  c.q_sample = c.q_row * c.queries;
  c.k_sample = c.v_sample = c.k_row * c.keys;
  return c;
}

template <class T, Backend B>
AttentionResult<T, B> attention_run(Context<B>& ctx, AttentionCall<T>& c) {
  AttentionResult<T, B> r{Tensor<T, B>(ctx, Shape{c.batch, c.queries, c.heads * c.width}),
                          Tensor<accum_t<T>, B>(ctx, Shape{c.batch, c.heads, c.queries})};
  c.y = r.y.data();
  c.log_sum = r.log_sum.data();
  AttentionKernel<B>::forward(ctx, c);
  return r;
}

template <class T, Backend B>
AttentionGradients<T> attention_upstream(const AttentionCall<T>& c, const AttentionResult<T, B>& r,
                                         const Tensor<T, B>& dy) {
  const char* op = "attention_backward";
  require_shape(op, "y", r.y, Shape{c.batch, c.queries, c.heads * c.width});
  require_shape(op, "log_sum", r.log_sum, Shape{c.batch, c.heads, c.queries});
  require_shape(op, "dy", dy, r.y.shape());
  require_same_context(op, r.y, dy);
  AttentionGradients<T> g;
  g.y = r.y.data(), g.log_sum = r.log_sum.data(), g.dy = dy.data();
  return g;
}

}  // namespace detail

/// Self attention, qkv (N, L, 3, H, D) -> y (N, L, H * D). Throws Error (shape).
template <class T, Backend B>
AttentionResult<T, B> attention_forward(const Tensor<T, B>& qkv, const AttentionOptions& options = {}) {
  auto c = detail::attention_call("attention", qkv, options);
  return detail::attention_run(qkv.context(), c);
}

/// q (N, Lq, H, D), k and v (N, Lk, H, D) -> y (N, Lq, H * D). Throws Error (shape).
template <class T, Backend B>
AttentionResult<T, B> attention_forward(const Tensor<T, B>& q, const Tensor<T, B>& k, const Tensor<T, B>& v,
                                        const AttentionOptions& options = {}) {
  auto c = detail::attention_call("attention", q, k, options);
  require_shape("attention", "v", v, k.shape());
  require_same_context("attention", q, v);
  c.v = v.data();
  return detail::attention_run(q.context(), c);
}

/// Gradient of qkv (N, L, 3, H, D), all three parts in one tensor; r is what attention_forward returned, dy (N, L, H * D).
template <class T, Backend B>
Tensor<T, B> attention_backward(const Tensor<T, B>& qkv, const AttentionResult<T, B>& r, const Tensor<T, B>& dy,
                                const AttentionOptions& options = {}) {
  const auto c = detail::attention_call("attention_backward", qkv, options);
  auto g = detail::attention_upstream(c, r, dy);
  Tensor<T, B> dqkv(qkv.context(), qkv.shape());
  g.dq = dqkv.data(), g.dk = g.dq + c.heads * c.width, g.dv = g.dk + c.heads * c.width;
  AttentionKernel<B>::backward(qkv.context(), c, g);
  return dqkv;
}

/// Gradients of q (N, Lq, H, D), k and v (N, Lk, H, D).
template <class T, Backend B>
AttentionInputGradients<T, B> attention_backward(const Tensor<T, B>& q, const Tensor<T, B>& k, const Tensor<T, B>& v,
                                                 const AttentionResult<T, B>& r, const Tensor<T, B>& dy,
                                                 const AttentionOptions& options = {}) {
  auto c = detail::attention_call("attention_backward", q, k, options);
  require_shape("attention_backward", "v", v, k.shape());
  c.v = v.data();
  auto g = detail::attention_upstream(c, r, dy);
  AttentionInputGradients<T, B> d{Tensor<T, B>(q.context(), q.shape()), Tensor<T, B>(q.context(), k.shape()),
                                  Tensor<T, B>(q.context(), v.shape())};
  g.dq = d.dq.data(), g.dk = d.dk.data(), g.dv = d.dv.data();
  AttentionKernel<B>::backward(q.context(), c, g);
  return d;
}

/// The weights that attention_forward(qkv) does not store: (N, H, L, L), rows sum to 1. For taps and explanations.
template <class T, Backend B>
Tensor<accum_t<T>, B> attention_weights(const Tensor<T, B>& qkv, const AttentionOptions& options = {}) {
  const auto c = detail::attention_call("attention_weights", qkv, options);
  Tensor<accum_t<T>, B> w(qkv.context(), Shape{c.batch, c.heads, c.queries, c.keys});
  AttentionKernel<B>::weights(qkv.context(), c, w.data());
  return w;
}

/// Weights (N, H, Lq, Lk) for q (N, Lq, H, D) and k (N, Lk, H, D).
template <class T, Backend B>
Tensor<accum_t<T>, B> attention_weights(const Tensor<T, B>& q, const Tensor<T, B>& k,
                                        const AttentionOptions& options = {}) {
  const auto c = detail::attention_call("attention_weights", q, k, options);
  Tensor<accum_t<T>, B> w(q.context(), Shape{c.batch, c.heads, c.queries, c.keys});
  AttentionKernel<B>::weights(q.context(), c, w.data());
  return w;
}

}  // namespace braing3n::inline BRAING3N_ABI
