#include "tests/support/check.hpp"

#include "braing3n/sample/euler.hpp"
#include "braing3n/sample/guided_velocity.hpp"

using namespace braing3n;

namespace {

std::vector<ConditionField> fields() {
  using K = ConditionKind;
  return {{"kind", K::categorical, {"a", "b", "c"}},
          {"mode", K::categorical, {"x", "y"}, 0.0, true},
          {"age", K::continuous, {}, 0.1, false, 0, 100},
          {"sex", K::categorical, {"F", "M"}}};
}

/// What a network would do with conditions, in a form that shows which of them it saw: x (1 + 3 t) + 100 kind + 10 mode + age + 1000 sex.
struct Network {
  std::vector<Index>* batches;
  Tensor<double, Cpu> operator()(const Tensor<double, Cpu>& x, const std::vector<double>& t,
                                 const ConditionBatch& c) const {
    batches->push_back(x.dim(0));
    REQUIRE(static_cast<Index>(t.size()) == x.dim(0));
    Tensor<double, Cpu> v(x.context(), x.shape());
    const Index per = x.size() / x.dim(0);
    for (Index i = 0; i < x.size(); ++i) {
      const auto n = static_cast<std::size_t>(i / per);
      const double age = c.fields[2].values[n];
      v.data()[i] = x.data()[i] * (1 + 3 * t[n]) + 100 * (c.fields[0].labels[n] + 1) + 10 * c.fields[1].labels[n] +
                    (std::isnan(age) ? 0 : age) + 1000 * (c.fields[3].labels[n] + 1);
    }
    return v;
  }
};

std::vector<ConditionRow> rows() {
  return {{{.label = 1}, {.label = 0}, {.number = 30}, {.label = 0}}, {{.label = 2}, {.label = 1}, {.number = 70}, {}}};
}

/// The velocity without x: what the conditions add, per sample.
std::vector<double> added(const Guidance& g, const std::vector<ConditionRow>& conditions, double t,
                          std::vector<Index>& batches) {
  Context<Cpu> ctx({.threads = 2});
  const auto x = test::small_integers<double>(ctx, {static_cast<Index>(conditions.size()), 5}, 3);
  const GuidedVelocity velocity(Network{&batches}, fields(), conditions, g);
  const auto v = velocity(x, t);
  REQUIRE(v.shape() == x.shape());
  std::vector<double> out;
  for (std::size_t n = 0; n < conditions.size(); ++n)
    for (Index i = 0; i < 5; ++i) {
      const Index at = static_cast<Index>(n) * 5 + i;
      const double rest = v.data()[at] - x.data()[at] * (1 + 3 * t);
      if (i == 0) out.push_back(rest);
      else CHECK(rest == out.back());
    }
  return out;
}

}  // namespace

TEST_CASE("joint guidance keeps the required condition in both halves of one batch") {
  std::vector<Index> batches;
  // null: mode only; condition: all. null + 2 (all - null).
  const std::vector<double> v = added({.scale = 2}, rows(), 0.5, batches);
  CHECK(v[0] == 0 + 2 * (200 + 30 + 1000));
  CHECK(v[1] == 10 + 2 * (300 + 70));
  CHECK(batches == std::vector<Index>{4});
  batches.clear();
  CHECK(added({.scale = 1}, rows(), 0.5, batches) == std::vector<double>{1230, 380});
  CHECK(batches == std::vector<Index>{2});  // nothing to guide: one evaluation
  batches.clear();
  CHECK(added({.scale = 0}, rows(), 0.5, batches) == std::vector<double>{0, 10});
  // Without conditions there is nothing to be guided by.
  batches.clear();
  std::vector<ConditionRow> bare = rows();
  for (ConditionRow& r : bare) r = null_conditions(fields(), r);
  CHECK(added({.scale = 3}, bare, 0.5, batches) == std::vector<double>{0, 10});
  CHECK(batches == std::vector<Index>{2});
}

TEST_CASE("composed guidance: a scale per condition, the others stand in every term") {
  std::vector<Index> batches;
  const Guidance g{.scale = 9, .composed = {{"age", 2.0}, {"kind", 0.5}}};
  const std::vector<double> v = added(g, rows(), 0.25, batches);
  CHECK(v[0] == 1000 + 2 * 30 + 0.5 * 200);  // sex has no scale: it is in the base; `scale` does not count
  CHECK(v[1] == 10 + 2 * 70 + 0.5 * 300);
  CHECK(batches == std::vector<Index>{6});
  batches.clear();
  CHECK(added({.composed = {{"sex", 3.0}}}, rows(), 0.25, batches)[1] ==
        380);  // the second sample has no sex: its term is nothing
}

TEST_CASE("an interval of t outside which nothing is guided") {
  std::vector<Index> batches;
  const Guidance g{.scale = 2, .low = 0.25, .high = 0.75};
  for (const double t : {0.0, 0.2, 0.8, 1.0}) CHECK(added(g, rows(), t, batches) == std::vector<double>{1230, 380});
  for (const Index b : batches) CHECK(b == 2);
  batches.clear();
  for (const double t : {0.25, 0.5, 0.75}) CHECK(added(g, rows(), t, batches)[0] == 2460);
  for (const Index b : batches) CHECK(b == 4);
}

TEST_CASE("the forms of guidance agree") {
  Context<Cpu> ctx({.threads = 2});
  const auto a = test::random<double>(ctx, {3, 31}, 1), b = test::random<double>(ctx, {3, 31}, 2),
             c = test::random<double>(ctx, {3, 31}, 3);
  Tensor<double, Cpu> stacked(ctx, {9, 31});
  for (int k = 0; k < 3; ++k) std::copy_n((k == 0 ? a : k == 1 ? b : c).data(), 93, stacked.data() + 93 * k);
  const std::vector<double> scales = {1.5, -0.5};
  const std::vector<Tensor<double, Cpu>> only = {b, c};
  CHECK(test::max_difference(combine_velocities(stacked, std::span<const double>(scales)),
                             guide_composed(a, std::span<const Tensor<double, Cpu>>(only),
                                            std::span<const double>(scales))) < test::tolerance<double>(3, 4.0));
  const std::vector<double> two = {2.0};
  CHECK(test::max_difference(combine_velocities(stacked.slice(0, 6), std::span<const double>(two)), guide(a, b, 2.0)) <
        test::tolerance<double>(3, 4.0));
  const auto twice = repeat_batch(a, 2);
  CHECK(test::same_bits(twice.slice(0, 3), a));
  CHECK(test::same_bits(twice.slice(3, 6), a));
  test::check_error("guidance.count", {"(9, 31)", "4 copies"},
                    [&] { combine_velocities(stacked, std::span<const double>(std::vector<double>{1, 2, 3})); });
}

TEST_CASE("guidance that makes no sense is refused") {
  const auto refused = [](const char* id, const char* part, const Guidance& g) {
    test::check_error(id, {part}, [&] { g.validate(fields()); });
  };
  refused("guidance.scale", "nan", {.scale = std::nan("")});
  refused("guidance.scale", "inf", {.composed = {{"age", std::numeric_limits<double>::infinity()}}});
  refused("guidance.interval", "[0.5, 0.2]", {.low = 0.5, .high = 0.2});
  refused("guidance.interval", "[0, 1.5]", {.high = 1.5});
  refused("guidance.condition", "one of kind, age, sex", {.composed = {{"weight", 1}}});
  refused("guidance.condition", "mode", {.composed = {{"mode", 1}}});
  refused("guidance.condition", "two scales", {.composed = {{"age", 1}, {"age", 2}}});
  std::vector<Index> batches;
  Context<Cpu> ctx({.threads = 1});
  const GuidedVelocity velocity(Network{&batches}, fields(), rows(), {});
  test::check_error("guidance.samples", {"(3, 5)", "2 samples"},
                    [&] { velocity(test::random<double>(ctx, {3, 5}, 1), 0.5); });
}
