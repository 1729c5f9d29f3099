// The code of docs/write-a-new-op.md.
#include "tests/support/check.hpp"

#include "braing3n/autograd/ops_basic.hpp"
#include "braing3n/backend/cpu/providers/providers.hpp"

// [functor]
namespace braing3n::inline BRAING3N_ABI {

namespace detail {

template <class T>
struct LayerScale {
  const T* x;
  const T* scale;
  T* y;
  Index width;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index row, Index c) const {
    const Index i = row * width + c;
    y[i] = convert<T>(static_cast<accum_t<T>>(x[i]) * static_cast<accum_t<T>>(scale[c]));
  }
};

}  // namespace detail
// [functor]

// [forward]
/// y[..., c] = scale[c] x[..., c] (Touvron et al., arXiv 2103.17239). x (..., C), scale (C) -> (..., C).
/// Throws Error (shape) when the last axis of x is not that of scale.
template <class T, Backend B>
Tensor<T, B> layer_scale_forward(const Tensor<T, B>& x, const Tensor<T, B>& scale) {
  require_elements("layer_scale", x);
  require_rank("layer_scale", "scale", scale, 1, "(C)");
  require_same_context("layer_scale", x, scale);
  if (x.rank() < 1 || x.dim(-1) != scale.dim(0))
    fail(ErrorKind::shape, "layer_scale.channels", "layer_scale: input ", x.shape(), " and scale ", scale.shape(),
         " differ in channels");
  Tensor<T, B> y(x.context(), x.shape());
  const Index width = scale.dim(0);
  map_rows(x.context(), x.size() / width, width, detail::LayerScale<T>{x.data(), scale.data(), y.data(), width});
  return y;
}
// [forward]

// [backward]
/// dx (..., C) for dy (..., C).
template <class T, Backend B>
Tensor<T, B> layer_scale_backward_input(const Tensor<T, B>& dy, const Tensor<T, B>& scale) {
  return layer_scale_forward(dy, scale);  // the op is linear in x
}

/// dscale (C) += the sum of dy x over all but the last axis.
template <class T, Backend B>
void layer_scale_backward_scale(const Tensor<T, B>& x, const Tensor<T, B>& dy, Tensor<accum_t<T>, B>& dscale) {
  require_same_shape("layer_scale_backward", x, dy);
  require_rank("layer_scale_backward", "scale gradient", dscale, 1, "(C)");
  const Index width = dscale.dim(0), rows = x.size() / width;
  column_sums(x.context(), 1, rows, width, detail::ProductElement<T>{x.data(), dy.data(), rows, width},
              detail::AddColumn<accum_t<T>>{dscale.data(), width});
}
// [backward]

// [recorded]
template <class T, Backend B>
Var<T, B> layer_scale(const Var<T, B>& x, const Var<T, B>& scale) {
  return record(
      layer_scale_forward(x.value(), scale.value()),
      [sx = x.slot(), ss = scale.slot(), vx = x.value(), vs = scale.value()](const Tensor<T, B>& dy) {
        if (sx) accumulate(sx, layer_scale_backward_input(dy, vs));
        if (ss) layer_scale_backward_scale(vx, dy, gradient_sum(ss, dy.context(), vs.shape()));
      },
      x, scale);
}

}  // namespace braing3n::inline BRAING3N_ABI
// [recorded]

using namespace braing3n;

// [test]
TEST_CASE("layer_scale: value, gradients, threads, message") {
  Context<Cpu> ctx({.threads = 2});
  const auto x0 = test::random<double>(ctx, {2, 31, 33}, 1), s0 = test::random<double>(ctx, {33}, 2);
  const auto upstream = test::random<double>(ctx, {2, 31, 33}, 3);

  Tape<Cpu> tape;
  const auto x = tape.leaf(x0), s = tape.leaf(s0);
  tape.backward(layer_scale(x, s), upstream);
  const auto loss = [&] { return test::dot(upstream, layer_scale_forward(x0, s0)); };
  test::check_gradient("x", x0, x.gradient(), loss);
  test::check_gradient("scale", s0, s.gradient(), loss);

  const auto n = test::small_integers<float>(ctx, {2, 31, 33}, 4), m = test::small_integers<float>(ctx, {33}, 5);
  const auto y = layer_scale_forward(n, m);
  Index wrong = 0;
  for (Index i = 0; i < y.size(); ++i) wrong += y.data()[i] != n.data()[i] * m.data()[i % 33];
  CHECK(wrong == 0);

  test::check_same_for_threads("layer_scale", [](Context<Cpu>& c) {
    const auto a = test::random<float>(c, {2, 700, 67}, 6), b = test::random<float>(c, {67}, 7);
    auto db = Tensor<float, Cpu>::zeros(c, {67});
    layer_scale_backward_scale(a, a, db);
    return std::vector<Tensor<float, Cpu>>{layer_scale_forward(a, b), db};
  });
  test::check_error("layer_scale.channels", {"(2, 31, 33)", "(31)"},
                    [&] { layer_scale_forward(n, test::small_integers<float>(ctx, {31}, 8)); });
}
// [test]
