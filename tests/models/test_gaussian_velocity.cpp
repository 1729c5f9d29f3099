// The closed-form velocity against dense algebra: here every matrix is built in full and inverted.
#include "tests/support/check.hpp"

#include "braing3n/backend/cpu/providers/providers.hpp"
#include "braing3n/models/dit3d.hpp"
#include "braing3n/nn/initialize.hpp"
#include "braing3n/nn/state_dict.hpp"

using namespace braing3n;

namespace {

using Matrix = std::vector<std::vector<double>>;

Matrix matrix(std::size_t rows, std::size_t cols, const std::function<double(std::size_t, std::size_t)>& f) {
  Matrix m(rows, std::vector<double>(cols));
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < cols; ++j) m[i][j] = f(i, j);
  return m;
}
Matrix transposed(const Matrix& a) {
  return matrix(a[0].size(), a.size(), [&](std::size_t i, std::size_t j) { return a[j][i]; });
}
Matrix product(const Matrix& a, const Matrix& b) {
  return matrix(a.size(), b[0].size(), [&](std::size_t i, std::size_t j) {
    double sum = 0;
    for (std::size_t k = 0; k < b.size(); ++k) sum += a[i][k] * b[k][j];
    return sum;
  });
}
Matrix combined(double s, const Matrix& a, double r, const Matrix& b) {
  return matrix(a.size(), a[0].size(), [&](std::size_t i, std::size_t j) { return s * a[i][j] + r * b[i][j]; });
}
Matrix inverse(Matrix a) {
  const std::size_t n = a.size();
  Matrix b = matrix(n, n, [](std::size_t i, std::size_t j) { return i == j ? 1.0 : 0.0; });
  for (std::size_t p = 0; p < n; ++p) {
    std::size_t best = p;
    for (std::size_t i = p; i < n; ++i)
      if (std::abs(a[i][p]) > std::abs(a[best][p])) best = i;
    std::swap(a[p], a[best]), std::swap(b[p], b[best]);
    for (std::size_t i = 0; i < n; ++i) {
      const double share = a[i][p] / a[p][p];
      if (i == p) continue;
      for (std::size_t j = 0; j < n; ++j) a[i][j] -= share * a[p][j], b[i][j] -= share * b[p][j];
    }
  }
  for (std::size_t p = 0; p < n; ++p)
    for (std::size_t j = 0; j < n; ++j) b[p][j] /= a[p][p];
  return b;
}
Matrix identity(std::size_t n) {
  return matrix(n, n, [](std::size_t i, std::size_t j) { return i == j ? 1.0 : 0.0; });
}

constexpr std::size_t classes = 2, width = 12, rank = 3, features = 4;

/// A distribution with classes and features, and the same as plain matrices.
struct Distribution {
  Matrix mean, basis, variances, feature_covariance;
  std::vector<Matrix> effects;
  std::vector<double> feature_mean{0.5, -0.2, 0.1, 0.9};

  explicit Distribution(Context<Cpu>& ctx) {
    const auto numbers = [&](std::size_t rows, std::size_t cols, std::uint32_t id) {
      const auto values = test::random<double>(ctx, {static_cast<Index>(rows), static_cast<Index>(cols)}, id).to_host();
      return matrix(rows, cols, [&](std::size_t i, std::size_t j) { return values[i * cols + j]; });
    };
    mean = numbers(classes, width, 1);
    basis = numbers(rank, width, 2);
    for (std::size_t i = 0; i < rank; ++i) {
      for (std::size_t k = 0; k < i; ++k) {
        double dot = 0;
        for (std::size_t j = 0; j < width; ++j) dot += basis[i][j] * basis[k][j];
        for (std::size_t j = 0; j < width; ++j) basis[i][j] -= dot * basis[k][j];
      }
      double norm = 0;
      for (const double v : basis[i]) norm += v * v;
      for (double& v : basis[i]) v /= std::sqrt(norm);
    }
    variances = {{9.0, 2.0, 0.5, 0.3}, {4.0, 5.0, 0.1, 0.7}};
    const Matrix a = numbers(features, features, 3);
    feature_covariance = product(a, transposed(a));
    effects = {numbers(features, rank, 4), numbers(features, rank, 5)};
  }

  template <Precision P>
  GaussianVelocity<Cpu, P> velocity(Context<Cpu>& ctx) const {
    GaussianVelocity<Cpu, P> g(ctx, classes, width, rank, features);
    bind_names(g);
    const auto put = [&](auto& parameter, const std::vector<const Matrix*>& parts) {
      using Part = std::remove_cvref_t<decltype(parameter)>;
      std::vector<typename Part::Value> values;
      for (const Matrix* m : parts)
        for (const auto& row : *m)
          for (const double v : row) values.push_back(static_cast<typename Part::Value>(v));
      parameter.adopt(Tensor<typename Part::Value, Cpu>::from_host(ctx, parameter.shape(), values));
    };
    const Matrix f_mean = {feature_mean};
    put(g.mean, {&mean}), put(g.basis, {&basis}), put(g.variances, {&variances});
    put(g.effects, {&effects[0], &effects[1]}), put(g.feature_mean, {&f_mean}),
        put(g.feature_covariance, {&feature_covariance});
    return g;
  }

  /// The expected velocity of one sample.
  std::vector<double> expected(std::size_t c, double t, const std::vector<double>& x,
                               const std::vector<double>& given) const {
    std::vector<std::size_t> shown, hidden;
    for (std::size_t f = 0; f < features; ++f) (std::isnan(given[f]) ? hidden : shown).push_back(f);
    Matrix open = matrix(features, features, [](std::size_t, std::size_t) { return 0.0; });
    std::vector<double> off(features, 0.0);
    const auto part = [&](const std::vector<std::size_t>& rows, const std::vector<std::size_t>& cols) {
      return matrix(rows.size(), cols.size(),
                    [&](std::size_t i, std::size_t j) { return feature_covariance[rows[i]][cols[j]]; });
    };
    for (const std::size_t f : shown) off[f] = given[f] - feature_mean[f];
    if (shown.empty()) {
      open = feature_covariance;
    } else if (!hidden.empty()) {
      const Matrix weights = product(part(hidden, shown), inverse(part(shown, shown)));
      const Matrix left = combined(1, part(hidden, hidden), -1, product(weights, part(shown, hidden)));
      for (std::size_t i = 0; i < hidden.size(); ++i) {
        for (std::size_t j = 0; j < shown.size(); ++j) off[hidden[i]] += weights[i][j] * off[shown[j]];
        for (std::size_t j = 0; j < hidden.size(); ++j) open[hidden[i]][hidden[j]] = left[i][j];
      }
    }
    const Matrix effect = product(effects[c], basis);  // (features, width)
    Matrix m = {mean[c]};
    m = combined(1, m, 1, product({off}, effect));
    const double r = variances[c][rank];
    const Matrix spread =
        matrix(rank, width, [&](std::size_t i, std::size_t j) { return (variances[c][i] - r) * basis[i][j]; });
    Matrix s = combined(1, product(transposed(basis), spread), 1, product(transposed(effect), product(open, effect)));
    s = combined(1, s, r, identity(width));
    const double a = 1 - t;
    // E[x | x_t] = m + a S (a^2 S + t^2)^-1 (x_t - a m), and the velocity (x_t - E) / t; at t = 0 that is 0 / 0, so by H here too
    const Matrix h = product(combined(t, identity(width), -a, s), inverse(combined(a * a, s, t * t, identity(width))));
    const Matrix moved = combined(1, {x}, -a, m);
    return combined(1, product(moved, h), -1, m)[0];
  }
};

const double hidden = std::numeric_limits<double>::quiet_NaN();
const std::vector<std::vector<double>> patterns = {{hidden, hidden, hidden, hidden},
                                                   {0.3, hidden, hidden, hidden},
                                                   {hidden, -1.0, hidden, 0.4},
                                                   {0.3, -1.0, 2.0, 0.4},
                                                   {hidden, hidden, hidden, 1.5}};

}  // namespace

TEST_CASE("the closed-form velocity is that of dense matrices, whatever is hidden") {
  Context<Cpu> ctx({.threads = 2});
  const Distribution distribution(ctx);
  const auto g = distribution.velocity<F64>(ctx);
  const auto n = static_cast<Index>(patterns.size());
  const Tensor<double, Cpu> x = test::random<double>(ctx, {n, 3, 4}, 6, 2.0);
  std::vector<double> given;
  for (const auto& p : patterns) given.insert(given.end(), p.begin(), p.end());
  const std::vector<std::int32_t> of = {0, 1, 0, 1, 1};
  for (const double t : {0.0, 1e-3, 0.3, 0.8, 1.0}) {
    CAPTURE(t);
    Pass<Cpu> pass(ctx);
    const auto v = g(pass, Var<double, Cpu>(x), std::vector<double>(patterns.size(), t), of, given).value().to_host();
    for (std::size_t i = 0; i < patterns.size(); ++i) {
      CAPTURE(i);
      const std::vector<double> row(x.data() + i * width, x.data() + (i + 1) * width);
      const auto expected = distribution.expected(static_cast<std::size_t>(of[i]), t, row, patterns[i]);
      for (std::size_t j = 0; j < width; ++j) CHECK(v[i * width + j] == doctest::Approx(expected[j]).epsilon(1e-9));
    }
  }
}

TEST_CASE(
    "the closed-form velocity: each sample has its own time, float agrees, and the gradient is that of differences") {
  Context<Cpu> ctx({.threads = 1});
  const Distribution distribution(ctx);
  const auto g = distribution.velocity<F64>(ctx);
  const std::vector<double> t = {0.1, 0.6, 0.95};
  const std::vector<std::int32_t> of = {1, 0, 1};
  std::vector<double> given;
  for (std::size_t p = 1; p < 4; ++p) given.insert(given.end(), patterns[p].begin(), patterns[p].end());
  const Tensor<double, Cpu> x = test::random<double>(ctx, {3, 3, 4}, 7),
                            weight = test::random<double>(ctx, {3, 3, 4}, 8);
  Pass<Cpu> pass(ctx);
  const Tensor<double, Cpu> together = g(pass, Var<double, Cpu>(x), t, of, given).value();
  for (Index i = 0; i < 3; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const std::vector<double> own(given.begin() + i * 4, given.begin() + (i + 1) * 4);
    CHECK(test::same_bits(g(pass, Var<double, Cpu>(x.slice(i, i + 1)), {t[at]}, {of[at]}, own).value(),
                          together.slice(i, i + 1)));
  }
  const auto f = distribution.velocity<F32>(ctx);
  CHECK(test::max_difference(f(pass, Var<float, Cpu>(cast<float>(x)), t, of, given).value(), together) < 1e-5);
  const auto b = distribution.velocity<BF16>(ctx);
  CHECK(test::max_difference(b(pass, Var<bfloat16, Cpu>(cast<bfloat16>(x)), t, of, given).value(), together) < 0.1);

  Tape<Cpu> tape;
  Pass<Cpu> recorded(ctx, tape);
  Parameter<Cpu, F64> input(ctx, {.shape = x.shape()});
  input.adopt(x);
  const auto loss = [&](Pass<Cpu>& p) { return mse_loss(g(p, input.var(p), t, of, given), weight); };
  tape.backward(loss(recorded));
  test::check_gradient("x", x, input.gradient(), [&] {
    Pass<Cpu> plain(ctx);
    return item(loss(plain));
  });
}

TEST_CASE("what is known decides what is determined") {
  // Two classes as numbers: one says what the other is.
  ConditionalGaussian distribution({0.3, 0.7}, {0.21, -0.21, -0.21, 0.21});
  distribution.observe(0, 1.0);
  CHECK(distribution.mean()[0] == doctest::Approx(1.0));
  CHECK(distribution.mean()[1] == doctest::Approx(0.0));
  distribution.observe(1, 0.5);  // contradicts, and is not listened to
  CHECK(distribution.mean()[1] == doctest::Approx(0.0));
  for (const double l : distribution.root()) CHECK(l == 0.0);
  const std::vector<double> root = ConditionalGaussian({0, 0, 0}, {4, 2, 0, 2, 5, 1, 0, 1, 3}).root();
  const Matrix l = matrix(3, 3, [&](std::size_t i, std::size_t j) { return root[i * 3 + j]; });
  const Matrix back = product(l, transposed(l));
  CHECK(back[0][0] == doctest::Approx(4));
  CHECK(back[1][0] == doctest::Approx(2));
  CHECK(back[1][1] == doctest::Approx(5));
  CHECK(back[2][0] == doctest::Approx(0));
  CHECK(back[2][1] == doctest::Approx(1));
  CHECK(back[2][2] == doctest::Approx(3));
}

TEST_CASE("a transformer adds to the closed form, stores it, and does not do without") {
  Context<Cpu> ctx({.threads = 2});
  Dit3dConfig config;
  config.channels = 4, config.grid = {1, 3, 1}, config.width = 48, config.depth = 1, config.heads = 4, config.mlp = 96;
  const Index learned = [&] {
    Dit3d<Cpu, F64> plain(ctx, config);
    return count_parameters(plain).learned;
  }();
  config.gaussian_rank = 3;
  Dit3d<Cpu, F64> dit(ctx, config);
  initialize(dit, 3);
  CHECK(count_parameters(dit).learned == learned);
  CHECK(dit.gaussian.mean.shape() == Shape{4, 12});
  CHECK(dit.gaussian.features() == 8 + 2 + 19 + 2 + 2);
  dit.gaussian.mean.adopt(test::random<double>(ctx, {4, 12}, 9));
  const std::vector<ConditionRow> rows = [&] {
    std::vector<ConditionRow> r(2, ConditionRow(config.conditions.size()));
    r[0][2].label = 3, r[1][2].label = 0, r[1][4].number = 30;
    return r;
  }();
  // The last layer starts at zero: an untrained model is the closed form, here of variance 1 about the mean of the modality.
  const Tensor<double, Cpu> x = test::random<double>(ctx, {2, 3, 4}, 10);
  Pass<Cpu> pass(ctx);
  const Tensor<double, Cpu> v =
      dit(pass, Var<double, Cpu>(x), {0.25, 0.25}, condition_batch(config.conditions, rows)).value();
  for (Index n = 0; n < 2; ++n)
    for (Index i = 0; i < 12; ++i) {
      const double m = dit.gaussian.mean.value().data()[(n == 0 ? 3 : 0) * 12 + i],
                   h = (0.25 - 0.75) / (0.75 * 0.75 + 0.25 * 0.25);
      CHECK(v.data()[n * 12 + i] == doctest::Approx(h * (x.data()[n * 12 + i] - 0.75 * m) - m).epsilon(1e-12));
    }
  std::vector<std::string> names;
  for_each_parameter(dit, [&](const std::string& name, const auto&) { names.push_back(name); });
  for (const char* part : {"gaussian.mean", "gaussian.basis", "gaussian.variances", "gaussian.effects",
                           "gaussian.feature_mean", "gaussian.feature_covariance"})
    CHECK(std::find(names.begin(), names.end(), part) != names.end());
  test::check_error("dit3d.gaussian_rank", {"0 to 12", "got 13"}, [&] {
    Dit3dConfig wrong = config;
    wrong.gaussian_rank = 13;
    Dit3d<Cpu, F64> refused(ctx, wrong);
  });
  test::check_error("gaussian.class", {"0 to 3", "got 4"}, [&] {
    dit.gaussian(pass, Var<double, Cpu>(x), {0.5, 0.5}, {0, 4}, std::vector<double>(66, hidden));
  });
  test::check_error("gaussian.input", {"65 features"}, [&] {
    dit.gaussian(pass, Var<double, Cpu>(x), {0.5, 0.5}, {0, 3}, std::vector<double>(65, hidden));
  });
  test::check_error("conditions.required", {"modality", "sample 1"}, [&] {
    std::vector<ConditionRow> without = rows;
    without[1][2].label = -1;
    (void)required_class(config.conditions, condition_batch(config.conditions, without), 2);
  });
}

TEST_CASE("conditions as numbers") {
  auto fields = paper_conditions();
  fields[0].required = true, fields[0].drop = 0;  // disease beside modality: 32 combinations
  CHECK(required_classes(fields) == 32);
  CHECK(required_classes({}) == 1);
  CHECK(feature_count(fields) == 2 + 19 + 2 + 2);
  std::vector<ConditionRow> rows(2, ConditionRow(6));
  rows[0][0].label = 5, rows[0][2].label = 1, rows[0][1].label = 1, rows[0][4].number = 90;
  rows[1][0].label = 0, rows[1][2].label = 3;
  const ConditionBatch batch = condition_batch(fields, rows);
  CHECK(required_class(fields, batch, 2) == std::vector<std::int32_t>{5 * 4 + 1, 3});
  const std::vector<double> f = condition_features(fields, batch, 2);
  REQUIRE(f.size() == 50);
  CHECK(f[0] == 0);
  CHECK(f[1] == 1);         // sex
  CHECK(std::isnan(f[2]));  // site
  CHECK(f[21] == 0.5);
  CHECK(f[22] == 0.25);      // 90 years of 0 to 120
  CHECK(std::isnan(f[23]));  // IDH1
  for (std::size_t i = 25; i < 50; ++i) CHECK(std::isnan(f[i]));
}
