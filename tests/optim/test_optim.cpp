#include <array>
#include <set>

#include "braing3n/backend/cpu/providers/providers.hpp"
#include "braing3n/format/safetensors.hpp"
#include "braing3n/optim/adamw.hpp"
#include "braing3n/optim/clip.hpp"
#include "braing3n/optim/ema.hpp"
#include "braing3n/optim/schedule.hpp"
#include "tests/support/check.hpp"

using namespace braing3n;
using namespace braing3n::test;

namespace {

template <class T>
using Views = ParameterViews<T, Cpu>;

/// AdamW by its equations, one number at a time, in double.
struct PlainAdamW {
  double m = 0, v = 0;
  int t = 0;
  double step(double p, double g, double lr, const AdamWOptions& o, double decay) {
    ++t;
    p -= lr * decay * p;
    m = o.beta1 * m + (1 - o.beta1) * g;
    v = o.beta2 * v + (1 - o.beta2) * g * g;
    return p - lr * (m / (1 - std::pow(o.beta1, t))) / (std::sqrt(v / (1 - std::pow(o.beta2, t))) + o.eps);
  }
};

}  // namespace

TEST_CASE("the whole trajectory of torch.optim.AdamW with warm-up, cosine, clipping and EMA") {
  Context<Cpu> ctx({.threads = 2});
  const SafetensorsFile reference(std::string(BRAING3N_FIXTURES) + "/adamw/case.safetensors");
  const auto a = reference.read<double>("A"), b = reference.read<double>("b");
  const auto w_expected = reference.read<double>("w"), ema_expected = reference.read<double>("ema"),
             norm_expected = reference.read<double>("grad_norm"), lr_expected = reference.read<double>("lr");
  const std::vector<float> start = reference.read<float>("w0");
  const std::size_t n = 6;
  Views<float> views{
      {"w", Tensor<float, Cpu>::from_host(ctx, Shape{6}, start), Tensor<float, Cpu>::zeros(ctx, Shape{6}), true, {}}};
  Tensor<float, Cpu> w = views[0].value, g = views[0].gradient;
  AdamW<float, Cpu> optimizer(views, {.weight_decay = 0.01});
  Ema<float, Cpu> ema(views, {.decay = 0.9});
  const Schedule schedule({.lr = 0.05, .warmup_steps = 5, .steps = 40});
  const auto close = [](double x, double y) {
    return std::abs(x - y) <= 1e-6 + 1e-5 * std::abs(y);
  };  // the fixture's own tolerance
  for (std::size_t step = 0; step < 40; ++step) {
    for (std::size_t i = 0; i < n; ++i) {  // the gradient of 0.5 w'Aw - b'w
      double s = -b[i];
      for (std::size_t j = 0; j < n; ++j) s += a[i * n + j] * static_cast<double>(w.data()[j]);
      g.data()[i] = static_cast<float>(s);
    }
    const double lr = schedule.at(static_cast<std::int64_t>(step));
    CHECK_MESSAGE(close(lr, lr_expected[step]), "lr of step ", step);
    const double norm = clip_grad_norm(views, 0.5);
    CHECK_MESSAGE(close(norm, norm_expected[step]), "gradient norm of step ", step);
    optimizer.step(lr);
    ema.update();
    std::vector<float> average;
    ema.visit_state([&](const std::string&, const Tensor<float, Cpu>& t) { average = t.to_host(); });
    for (std::size_t i = 0; i < n; ++i) {
      CHECK_MESSAGE(close(static_cast<double>(w.data()[i]), w_expected[step * n + i]), "w[", i, "] after step ", step);
      CHECK_MESSAGE(close(static_cast<double>(average[i]), ema_expected[step * n + i]), "ema[", i, "] after step ",
                    step);
    }
  }
}

TEST_CASE_TEMPLATE("AdamW follows its equations in both groups", T, double, float) {
  Context<Cpu> ctx({.threads = 2});
  const AdamWOptions o{.beta1 = 0.8, .beta2 = 0.95, .eps = 1e-3, .weight_decay = 0.3};
  Views<T> views{{"weight", random<T>(ctx, Shape{31, 33}, 1), random<T>(ctx, Shape{31, 33}, 2), true, {}},
                 {"bias", random<T>(ctx, Shape{33}, 3), random<T>(ctx, Shape{33}, 4), false, {}}};
  int changed = 0;
  views[1].changed = [&changed] { ++changed; };
  AdamW<T, Cpu> optimizer(views, o);
  for (const auto& [view, decay] : {std::pair{0, 0.3}, std::pair{1, 0.0}}) {
    auto& p = views[static_cast<std::size_t>(view)];
    const Index probe = p.value.size() - 1;
    PlainAdamW plain;
    double x = static_cast<double>(p.value.data()[probe]);
    const auto saved = p.value.clone();
    AdamW<T, Cpu> alone(Views<T>{p}, o);
    for (int step = 0; step < 20; ++step) {
      alone.step(0.02 + 0.01 * step, 0.5);
      x = plain.step(x, 0.5 * static_cast<double>(p.gradient.data()[probe]), 0.02 + 0.01 * step, o, decay);
      CHECK(std::abs(static_cast<double>(p.value.data()[probe]) - x) < tolerance<T>(step + 1));
    }
    std::copy(saved.data(), saved.data() + saved.size(), p.value.data());
  }
  changed = 0;
  optimizer.step(0.1);
  CHECK(changed == 1);
  CHECK(optimizer.steps() == 1);
  optimizer.zero_gradients();
  CHECK(views[0].gradient.to_host() == std::vector<T>(31 * 33, T{0}));
}

TEST_CASE("the vectorised square root agrees with the library's") {
  double worst = 0;
  for (std::uint32_t bits = 0x00800000u; bits < 0x7f800000u; bits += 104729u) {
    const float x = std::bit_cast<float>(bits);
    const double exact = std::sqrt(static_cast<double>(x));
    worst = std::max(worst, std::abs(static_cast<double>(detail::sqrt_nonnegative(x)) / exact - 1));
  }
  CHECK(worst <= static_cast<double>(std::numeric_limits<float>::epsilon()));
  worst = 0;
  for (std::uint64_t bits = 0x0010000000000000ull; bits < 0x7ff0000000000000ull; bits += 461168601842739ull) {
    const double x = std::bit_cast<double>(bits);
    worst = std::max(worst, std::abs(detail::sqrt_nonnegative(x) / std::sqrt(x) - 1));
  }
  CHECK(worst <= std::numeric_limits<double>::epsilon());
  CHECK(detail::sqrt_nonnegative(0.0f) == 0.0f);
  CHECK(detail::sqrt_nonnegative(0.0) == 0.0);
  CHECK(detail::sqrt_nonnegative(1e-42f) < 1e-18f);
  CHECK(std::isinf(detail::sqrt_nonnegative(std::numeric_limits<float>::infinity())));
  CHECK(std::isnan(detail::sqrt_nonnegative(std::numeric_limits<double>::quiet_NaN())));
}

TEST_CASE("state and step count continue a training bit for bit") {
  Context<Cpu> ctx({.threads = 2});
  const auto make = [&] {
    return Views<float>{
        {"a.weight", random<float>(ctx, Shape{7, 33}, 5), random<float>(ctx, Shape{7, 33}, 6), true, {}}};
  };
  Views<float> straight = make(), resumed = make();
  AdamW<float, Cpu> one(straight, {});
  for (int i = 0; i < 5; ++i) one.step(0.01);

  std::vector<std::pair<std::string, std::vector<float>>> state;
  {
    AdamW<float, Cpu> first(resumed, {});
    for (int i = 0; i < 3; ++i) first.step(0.01);
    first.visit_state(
        [&](const std::string& name, const Tensor<float, Cpu>& t) { state.emplace_back(name, t.to_host()); });
  }
  REQUIRE(state.size() == 2);
  CHECK(state[0].first == "exp_avg.a.weight");
  CHECK(state[1].first == "exp_avg_sq.a.weight");
  AdamW<float, Cpu> second(resumed, {});
  auto next = state.begin();
  second.visit_state([&](const std::string&, Tensor<float, Cpu>& t) {
    std::copy(next->second.begin(), next->second.end(), t.data()), ++next;
  });
  second.set_steps(3);
  for (int i = 0; i < 2; ++i) second.step(0.01);
  CHECK(same_bits(straight[0].value, resumed[0].value));
}

TEST_CASE("clipping: the norm over all tensors, the coefficient, and who is not finite") {
  Context<Cpu> ctx({.threads = 2});
  Views<float> views;
  for (std::uint32_t i = 0; i < 3; ++i)
    views.push_back({concat("p", i),
                     small_integers<float>(ctx, Shape{33, 5}, i),
                     small_integers<float>(ctx, Shape{33, 5}, 10 + i),
                     true,
                     {}});
  double squares = 0;
  for (const auto& p : views) squares += squared_norm(p.gradient);
  const auto before = views[2].gradient.clone();
  CHECK(clip_grad_norm(views, 1e6) == std::sqrt(squares));
  CHECK(same_bits(views[2].gradient, before));
  CHECK(clip_grad_norm(views, 2.0) == std::sqrt(squares));
  const double coefficient = 2.0 / (std::sqrt(squares) + 1e-6);
  CHECK(max_difference(views[2].gradient, scale_forward(before, coefficient)) == 0.0);
  CHECK(std::abs(gradient_norm(std::span<const ParameterView<float, Cpu>>(views)) - 2.0) < tolerance<float>(495));

  views[1].gradient.data()[40] = std::numeric_limits<float>::quiet_NaN();
  views[2].gradient.data()[0] = std::numeric_limits<float>::infinity();
  check_error("clip.finite", {"p1", "(33, 5)"}, [&] { clip_grad_norm(views, 1.0); });
  check_error("clip.norm", {"max_norm 0"}, [&] { clip_grad_norm(views, 0.0); });
}

TEST_CASE("a factor that is not finite leaves values, moments and averages as they are") {
  Context<Cpu> ctx({.threads = 2});
  Views<float> views = {{"p", random<float>(ctx, Shape{33, 5}, 1), random<float>(ctx, Shape{33, 5}, 2), true, {}}};
  AdamW<float, Cpu> optimizer(views, {});
  Ema<float, Cpu> average(views, {.decay = 0.5});
  const auto state = [&] {
    std::vector<std::vector<float>> all = {views[0].value.to_host()};
    optimizer.visit_state([&](const std::string&, Tensor<float, Cpu>& t) { all.push_back(t.to_host()); });
    average.visit_state([&](const std::string&, Tensor<float, Cpu>& t) { all.push_back(t.to_host()); });
    return all;
  };
  const std::span<const ParameterView<float, Cpu>> all(views);
  const auto good = clip_factor(squared_gradient_norm(all), 0.5);
  CHECK(item(good) == clip_coefficient(all, 0.5).coefficient);
  CHECK(item(clip_factor(squared_gradient_norm(all), 0.0)) == 1.0);
  optimizer.step(0.1, good);
  average.update(good);
  const auto before = state();
  views[0].gradient.data()[7] = std::numeric_limits<float>::infinity();
  const auto bad = clip_factor(squared_gradient_norm(all), 0.5);
  CHECK(!std::isfinite(item(bad)));
  optimizer.step(0.1, bad);
  average.update(bad);
  CHECK(state() == before);
  const std::vector<double> read = items(std::vector{good, bad});
  CHECK(read.size() == 2);
  CHECK(read[0] == item(good));
  CHECK_FALSE(std::isfinite(read[1]));
  check_error("item.size", {"(2)"}, [&] { item(full<double>(ctx, Shape{2}, 1.0)); });
  check_error("clip.empty", {"got none"}, [&] { squared_gradient_norm(std::span<const ParameterView<float, Cpu>>()); });
}

namespace {

/// Parameters one after the other in one block of values and one of gradients, with gaps of padding; or the same, each on its own.
template <class T>
Views<T> parameters(Context<Cpu>& ctx, bool block) {
  const std::vector<Index> sizes = {33, 16, 1, 70, 5};
  Index total = 0;
  for (const Index n : sizes) total += padded_elements<T>(n);
  const auto values = Tensor<T, Cpu>::zeros(ctx, {total}), gradients = Tensor<T, Cpu>::zeros(ctx, {total});
  Views<T> views;
  Index begin = 0;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const auto id = static_cast<std::uint32_t>(i);
    const auto value = random<T>(ctx, {sizes[i]}, 50 + id), gradient = random<T>(ctx, {sizes[i]}, 60 + id);
    Tensor<T, Cpu> v = value, g = gradient;
    if (block) {
      v = values.slice(begin, begin + sizes[i]), g = gradients.slice(begin, begin + sizes[i]);
      std::copy_n(value.data(), sizes[i], v.data());
      std::copy_n(gradient.data(), sizes[i], g.data());
    }
    views.push_back({concat("p", i), v, g, i % 2 == 0, {}});
    begin += padded_elements<T>(sizes[i]);
  }
  return views;
}

template <class T>
std::vector<std::vector<T>> trained(Context<Cpu>& ctx, Views<T> views, int average) {
  AdamW<T, Cpu> optimizer(views, {.weight_decay = 0.1});
  Ema<T, Cpu> ema(average == 2 ? Views<T>(views.begin() + 1, views.end()) : views, {.decay = 0.9, .warmup = true});
  for (int i = 0; i < 3; ++i) optimizer.step(0.01, scalar(ctx, 0.7), average > 0 ? &ema : nullptr);
  CHECK(ema.updates() == (average > 0 ? 3 : 0));
  std::vector<std::vector<T>> all;
  for (const auto& p : views) all.push_back(p.value.to_host());
  const auto keep = [&](const std::string&, const Tensor<T, Cpu>& t) { all.push_back(t.to_host()); };
  optimizer.visit_state(keep);
  ema.visit_state(keep);
  optimizer.zero_gradients();
  for (const auto& p : views)
    for (const T g : p.gradient.to_host()) CHECK(g == 0);
  return all;
}

}  // namespace

TEST_CASE("parameters in one block take the steps of parameters on their own, bit for bit") {
  Context<Cpu> ctx({.threads = 2});
  for (const int average : {0, 1, 2}) {  // without, of all parameters, of some
    CAPTURE(average);
    CHECK(trained(ctx, parameters<float>(ctx, true), average) == trained(ctx, parameters<float>(ctx, false), average));
    CHECK(trained(ctx, parameters<double>(ctx, true), average) ==
          trained(ctx, parameters<double>(ctx, false), average));
  }
}

TEST_CASE("a block is what has nothing but padding in between") {
  Context<Cpu> ctx({.threads = 1});
  const Views<float> views = parameters<float>(ctx, true), apart = parameters<float>(ctx, false);
  const auto block_of = [](const Views<float>& some) {
    std::vector<const ParameterView<float, Cpu>*> pointers;
    for (const auto& p : some) pointers.push_back(&p);
    return parameter_block<float, Cpu>(pointers);
  };
  REQUIRE(block_of(views).has_value());
  CHECK(block_of(views)->values == views[0].value.data());
  CHECK(block_of(views)->gradients == views[0].gradient.data());
  CHECK(block_of(views)->size == 48 + 16 + 16 + 80 + 5);
  CHECK_FALSE(block_of(apart).has_value());
  CHECK_FALSE(block_of({}).has_value());
  CHECK_FALSE(block_of({views[0], views[2]}).has_value());  // p1 is not to be touched
  CHECK_FALSE(block_of({views[1], views[0]}).has_value());
  CHECK(block_of({views[1], views[2]}).has_value());
  Views<float> wrong = views;
  wrong[1].gradient = apart[1].gradient;
  CHECK_FALSE(block_of(wrong).has_value());
}

TEST_CASE("one launch over a block gives what one launch per parameter gives") {
  Context<Cpu> ctx({.threads = 2});
  const Views<float> one = parameters<float>(ctx, true), other = parameters<float>(ctx, true);
  const Index total = 48 + 16 + 16 + 80 + 5;
  const std::vector<AdamWStep> groups = {{.lr = 0.01, .decay = 0.3, .t = 2}, {.lr = 0.02, .decay = 0, .t = 2}};
  const std::vector<BlockSegment> segments = {{0, 33, 0}, {48, 16, 1}, {64, 1, 0}, {80, 70, 1}, {160, 5, 0}};
  const std::vector<std::uint8_t> lines = {0, 0, 0, 1, 0, 1, 1, 1, 1, 1, 0};
  std::vector<std::vector<Tensor<float, Cpu>>> states;
  for (const Views<float>* views : {&one, &other}) {
    auto& state = states.emplace_back();
    for (std::uint32_t i = 0; i < 3; ++i) {
      auto t = random<float>(ctx, {total}, 70 + i);
      if (i == 1)
        for (Index k = 0; k < total; ++k) t.data()[k] *= t.data()[k];
      state.push_back(t);
    }
    auto copy = Tensor<bfloat16, Cpu>::zeros(ctx, {total});
    const ParameterBlock<float, Cpu> block{const_cast<float*>((*views)[0].value.data()),
                                           const_cast<float*>((*views)[0].gradient.data()), copy.data(), total};
    const BlockStep<float, Cpu> step{block, state[0].data(), state[1].data(), state[2].data(),
                                     0.9,   lines.data(),    groups,          segments};
    if (views == &one) block_update_at_once(ctx, step, scalar(ctx, 0.5));
    else block_update(ctx, step, scalar(ctx, 0.5));
    if (views != &one) continue;
    for (const auto& p : *views)
      for (Index i = 0; i < p.value.size(); ++i)
        CHECK(static_cast<float>(copy.data()[p.value.data() - block.values + i]) ==
              static_cast<float>(bfloat16(p.value.data()[i])));
    const auto before = state[0].to_host();
    block_update_at_once(ctx, step, scalar(ctx, std::numeric_limits<double>::infinity()));
    CHECK(state[0].to_host() == before);
  }
  for (std::size_t i = 0; i < one.size(); ++i) CHECK(max_difference(one[i].value, other[i].value) < tolerance<float>());
  for (const BlockSegment& s : segments)
    for (std::size_t i = 0; i < 3; ++i)
      CHECK(max_difference(states[0][i].slice(s.begin, s.begin + s.size),
                           states[1][i].slice(s.begin, s.begin + s.size)) < tolerance<float>());
}

TEST_CASE("schedules") {
  const Schedule s({.lr = 2.0, .min_lr = 0.5, .warmup_steps = 4, .steps = 14});
  CHECK(s.at(0) == 0.5);
  CHECK(s.at(3) == 2.0);
  CHECK(s.at(4) == 2.0);
  CHECK(std::abs(s.at(9) - 1.25) < tolerance<double>());
  CHECK(s.at(13) > 0.5);
  CHECK(s.at(14) == 0.5);
  CHECK(s.at(1000) == 0.5);
  const Schedule zero({.lr = 2.0, .warmup_steps = 4, .steps = 14, .warmup_from_zero = true});
  CHECK(zero.at(0) == 0.0);
  CHECK(zero.at(2) == 1.0);
  CHECK(zero.at(4) == 2.0);
  const Schedule constant({.lr = 0.1});
  CHECK(constant.at(0) == 0.1);
  CHECK(constant.at(99999) == 0.1);
  check_error("schedule.lr", {"min_lr 3"}, [] { Schedule({.lr = 1.0, .min_lr = 3.0}); });
  check_error("schedule.steps", {"9 warm-up steps of 5"}, [] { Schedule({.warmup_steps = 9, .steps = 5}); });
  check_error("schedule.step", {"-1"}, [&] { s.at(-1); });
}

TEST_CASE("EMA: warm-up, exchange of values and averages") {
  Context<Cpu> ctx({.threads = 2});
  int changed = 0;
  Views<double> views{
      {"p", random<double>(ctx, Shape{33}, 20), random<double>(ctx, Shape{33}, 21), true, [&changed] { ++changed; }}};
  Ema<double, Cpu> ema(views, {.decay = 0.5, .warmup = true});
  std::vector<double> expected = views[0].value.to_host();
  for (int n = 0; n < 12; ++n) {
    for (Index i = 0; i < 33; ++i) views[0].value.data()[i] += 0.1 * static_cast<double>(i + n);
    const double d = std::min(0.5, (1.0 + n) / (10.0 + n));
    CHECK(ema.decay() == d);
    for (std::size_t i = 0; i < 33; ++i) expected[i] = d * expected[i] + (1 - d) * views[0].value.data()[i];
    ema.update();
  }
  CHECK(ema.updates() == 12);
  const auto value = views[0].value.clone();
  ema.swap();
  CHECK(changed == 1);
  CHECK(max_difference(views[0].value, Tensor<double, Cpu>::from_host(ctx, Shape{33}, expected)) <
        tolerance<double>(12, 10.0));
  ema.swap();
  CHECK(same_bits(views[0].value, value));
  check_error("ema.decay", {"decay 1"}, [&] { Ema<double, Cpu>(views, {.decay = 1.0}); });
}

TEST_CASE("updates have the same bits for 1, 2 and 3 threads") {
  check_same_for_threads("updates", [](Context<Cpu>& ctx) {
    Views<float> views{
        {"a", random<float>(ctx, Shape{300, 333}, 30), random<float>(ctx, Shape{300, 333}, 31), true, {}},
        {"b", random<float>(ctx, Shape{333}, 32), random<float>(ctx, Shape{333}, 33), false, {}}};
    AdamW<float, Cpu> optimizer(views, {});
    for (int i = 0; i < 2; ++i)
      optimizer.step(1e-2, clip_coefficient(std::span<const ParameterView<float, Cpu>>(views), 0.3).coefficient);
    return std::vector<Tensor<float, Cpu>>{views[0].value, views[1].value};
  });
}

TEST_CASE("an optimiser refuses what it cannot train") {
  Context<Cpu> ctx({.threads = 1});
  const auto p = random<float>(ctx, Shape{3}, 40), g = random<float>(ctx, Shape{4}, 41);
  check_error("adamw.gradient", {"w", "(3)", "(4)"},
              [&] { AdamW<float, Cpu>(Views<float>{{"w", p, g, true, {}}}, {}); });
  check_error("adamw.name", {"w"},
              [&] { AdamW<float, Cpu>(Views<float>{{"w", p, p, true, {}}, {"w", p, p, true, {}}}, {}); });
  check_error("adamw.empty", {"frozen"}, [&] { AdamW<float, Cpu>(Views<float>{}, {}); });
  check_error("adamw.options", {"betas 1"},
              [&] { AdamW<float, Cpu>(Views<float>{{"w", p, p, true, {}}}, {.beta1 = 1.0}); });
  AdamW<float, Cpu> ok(Views<float>{{"w", p, p, true, {}}}, {});
  check_error("adamw.lr", {"nan"}, [&] { ok.step(std::numeric_limits<double>::quiet_NaN()); });
}
