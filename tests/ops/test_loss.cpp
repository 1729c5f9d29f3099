#include "braing3n/backend/cpu/providers/providers.hpp"
#include "braing3n/ops/loss.hpp"
#include "braing3n/ops/normalize_patches.hpp"
#include "tests/support/check.hpp"

using namespace braing3n;
using namespace braing3n::test;

namespace {

using F = Tensor<float, Cpu>;

TokenSelection<Cpu> mask_of(Context<Cpu>& ctx) {
  return TokenSelection<Cpu>::from_host(ctx, Shape{2, 3}, std::vector<float>{1, 0, 1, 0, 0, 1});
}

}  // namespace

TEST_CASE_TEMPLATE("values of the losses", T, double, float) {
  Context<Cpu> ctx({.threads = 2});
  const auto p = random<T>(ctx, Shape{2, 3, 31}, 1), t = random<T>(ctx, Shape{2, 3, 31}, 2);
  const auto mask = mask_of(ctx);
  double squares = 0, magnitudes = 0, masked = 0;
  for (Index i = 0; i < p.size(); ++i) {
    const double d = static_cast<double>(p.data()[i]) - static_cast<double>(t.data()[i]);
    squares += d * d;
    magnitudes += std::abs(d);
    masked += static_cast<double>(mask.weights.data()[i / 31]) * d * d;
  }
  const double tol = tolerance<T>(p.size());
  CHECK(std::abs(item(mse_forward(p, t)) - squares / 186) < tol);
  CHECK(std::abs(item(l1_forward(p, t)) - magnitudes / 186) < tol);
  CHECK(std::abs(item(masked_patch_mse_forward(p, t, mask)) - masked / (3 * 31)) < tol);

  const auto logits = random<T>(ctx, Shape{4, 5}, 3, 3.0);
  const auto labels = Indices<Cpu>::from_host(ctx, Shape{4}, std::vector<std::int32_t>{4, 0, 2, 2}, 5);
  double loss = 0;
  for (Index n = 0; n < 4; ++n) {
    double total = 0;
    for (Index k = 0; k < 5; ++k) total += std::exp(static_cast<double>(logits.data()[n * 5 + k]));
    loss += (std::log(total) - static_cast<double>(logits.data()[n * 5 + labels.data()[n]])) / 4;
  }
  CHECK(std::abs(item(cross_entropy_forward(logits, labels)) - loss) < tol);
}

TEST_CASE("gradients of the losses") {
  Context<Cpu> ctx({.threads = 2});
  const auto p = random<double>(ctx, Shape{2, 3, 31}, 4), t = random<double>(ctx, Shape{2, 3, 31}, 5);
  const auto mask = mask_of(ctx);
  const double factor = -1.3;
  const auto up = scalar(ctx, factor);
  check_gradient("mse", p, mse_backward(p, t, up), [&] { return factor * item(mse_forward(p, t)); });
  check_gradient("l1", p, l1_backward(p, t, up), [&] { return factor * item(l1_forward(p, t)); });
  check_gradient("masked", p, masked_patch_mse_backward(p, t, mask, up),
                 [&] { return factor * item(masked_patch_mse_forward(p, t, mask)); });
  const auto logits = random<double>(ctx, Shape{4, 5}, 6);
  const auto labels = Indices<Cpu>::from_host(ctx, Shape{4}, std::vector<std::int32_t>{4, 0, 2, 2}, 5);
  check_gradient("cross entropy", logits, cross_entropy_backward(logits, labels, up),
                 [&] { return factor * item(cross_entropy_forward(logits, labels)); });
  CHECK(max_abs(l1_backward(p, p, up)) == 0.0);
}

TEST_CASE("a visible patch counts nowhere, even when it is not finite") {
  Context<Cpu> ctx({.threads = 1});
  auto p = random<float>(ctx, Shape{2, 3, 31}, 7);
  const auto t = random<float>(ctx, Shape{2, 3, 31}, 8);
  const auto mask = mask_of(ctx);
  const double before = item(masked_patch_mse_forward(p, t, mask));
  p.data()[31] = std::numeric_limits<float>::infinity();
  CHECK(item(masked_patch_mse_forward(p, t, mask)) == before);
  CHECK(all_finite(masked_patch_mse_backward(p, t, mask, scalar(ctx, 1.0))));
}

TEST_CASE("cross entropy survives large logits") {
  Context<Cpu> ctx({.threads = 1});
  const auto logits = F::from_host(ctx, Shape{1, 3}, std::vector<float>{1e30f, -1e30f, 1e30f});
  const auto labels = Indices<Cpu>::from_host(ctx, Shape{1}, std::vector<std::int32_t>{0}, 3);
  CHECK(std::abs(item(cross_entropy_forward(logits, labels)) - std::log(2.0)) < tolerance<double>());
  CHECK(std::abs(static_cast<double>(cross_entropy_backward(logits, labels, scalar(ctx, 1.0)).data()[0]) + 0.5) <
        tolerance<float>());
}

TEST_CASE_TEMPLATE("normalised patches have mean 0 and unbiased variance 1", T, double, float) {
  Context<Cpu> ctx({.threads = 2});
  auto x = random<T>(ctx, Shape{2, 3, 33}, 9, 5.0);
  for (Index i = 0; i < x.size(); ++i) x.data()[i] += static_cast<T>(100 * (i / 33));
  const double eps = 0.5;  // large, so that its place in the formula shows
  const auto y = normalize_patches(x, eps);
  for (Index r = 0; r < 6; ++r) {
    double mean = 0, variance = 0, worst = 0;
    for (Index c = 0; c < 33; ++c) mean += static_cast<double>(x.data()[r * 33 + c]) / 33;
    for (Index c = 0; c < 33; ++c) variance += std::pow(static_cast<double>(x.data()[r * 33 + c]) - mean, 2) / 32;
    for (Index c = 0; c < 33; ++c)
      worst = std::max(worst, std::abs(static_cast<double>(y.data()[r * 33 + c]) -
                                       (static_cast<double>(x.data()[r * 33 + c]) - mean) / std::sqrt(variance + eps)));
    CHECK(worst < tolerance<T>(33, 100.0));  // the values are up to 100 times the deviation
  }
  // A constant patch becomes zeros, not NaN.
  const auto flat = normalize_patches(full<T>(ctx, Shape{1, 2, 8}, 3.0));
  CHECK(max_abs(flat) == 0.0);
}

TEST_CASE("losses have the same bits for 1, 2 and 3 threads") {
  check_same_for_threads("losses", [](Context<Cpu>& ctx) {
    const auto p = random<float>(ctx, Shape{2, 40, 2000}, 10), t = random<float>(ctx, Shape{2, 40, 2000}, 11);
    std::vector<float> selected(80, 0.0f);
    for (std::size_t i = 0; i < 80; i += 3) selected[i] = 1;
    const auto mask = TokenSelection<Cpu>::from_host(ctx, Shape{2, 40}, selected);
    return std::vector<Tensor<double, Cpu>>{mse_forward(p, t), l1_forward(p, t), masked_patch_mse_forward(p, t, mask),
                                            cast<double>(normalize_patches(t)),
                                            cast<double>(masked_patch_mse_backward(p, t, mask, scalar(ctx, 1.0)))};
  });
}

TEST_CASE("losses say what does not fit") {
  Context<Cpu> ctx({.threads = 1});
  const auto p = random<float>(ctx, Shape{2, 3, 4}, 12), t = random<float>(ctx, Shape{2, 4, 3}, 13);
  check_error("op.shape", {"mse", "(2, 3, 4)", "(2, 4, 3)"}, [&] { mse_forward(p, t); });
  const std::vector<float> none(6, 0.0f), half(6, 0.5f), ones(6, 1.0f);
  using Selection = TokenSelection<Cpu>;
  check_error("op.shape", {"selection", "(3, 2)", "(2, 3)"},
              [&] { masked_patch_mse_forward(p, p, Selection::from_host(ctx, Shape{3, 2}, ones)); });
  check_error("selection.empty", {"(2, 3)"}, [&] { Selection::from_host(ctx, Shape{2, 3}, none); });
  check_error("selection.value", {"0.5"}, [&] { Selection::from_host(ctx, Shape{2, 3}, half); });
  const std::vector<std::int32_t> every = {0, 1, 2, 0, 1, 2};  // nothing is masked, so there is nothing to predict
  const auto nothing = token_mask_from_visible(ctx, std::span<const std::int32_t>(every), 2, 3);
  check_error("loss.selection", {"(2, 3)", "none"}, [&] { masked_patch_mse_forward(p, p, nothing.masked); });
  check_error("op.shape", {"upstream", "(2)"}, [&] { mse_backward(p, p, full<double>(ctx, Shape{2}, 1.0)); });
  check_error("loss.patch", {"(2, 3, 1)"}, [&] { normalize_patches(random<float>(ctx, Shape{2, 3, 1}, 14)); });
  const auto labels = Indices<Cpu>::from_host(ctx, Shape{2}, std::vector<std::int32_t>{0, 3}, 4);
  check_error("op.index", {"cross_entropy", "[0, 3)"},
              [&] { cross_entropy_forward(random<float>(ctx, Shape{2, 3}, 15), labels); });
}
