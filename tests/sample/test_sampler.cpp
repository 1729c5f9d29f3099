// Integrators against a velocity whose flow is known: for data N(m, S) and noise N(0, I) on the straight line,
//   v(x, t) = -m + (t I - (1 - t) S) ((1 - t)^2 S + t^2 I)^-1 (x - (1 - t) m),
// and the flow carries x_1 to m + S^(1/2) x_1. S has the eigenvectors Q and eigenvalues lambda below.
#include "tests/support/check.hpp"

#include <array>

#include "braing3n/objective/flow_matching.hpp"
#include "braing3n/sample/euler.hpp"

using namespace braing3n;

namespace {

constexpr std::array<double, 3> m = {1.5, -0.7, 0.2}, lambda = {2.0, 0.5, 0.05};
using Matrix = std::array<std::array<double, 3>, 3>;

/// Columns are orthonormal: two plane rotations.
Matrix eigenvectors() {
  const double c = std::cos(0.6), s = std::sin(0.6), d = std::cos(-1.1), e = std::sin(-1.1);
  return {{{c, -s * d, s * e}, {s, c * d, -c * e}, {0, e, d}}};
}

/// Q diag(f(lambda_i)) Q^T
template <class F>
Matrix matrix_function(F&& f) {
  const Matrix q = eigenvectors();
  Matrix a{};
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t j = 0; j < 3; ++j)
      for (std::size_t k = 0; k < 3; ++k) a[i][j] += q[i][k] * f(lambda[k]) * q[j][k];
  return a;
}

Tensor<double, Cpu> velocity(const Tensor<double, Cpu>& x, double t) {
  const Matrix a = matrix_function([t](double l) { return (t - (1 - t) * l) / ((1 - t) * (1 - t) * l + t * t); });
  Tensor<double, Cpu> v(x.context(), x.shape());
  for (Index n = 0; n < x.dim(0); ++n)
    for (std::size_t i = 0; i < 3; ++i) {
      double sum = -m[i];
      for (std::size_t j = 0; j < 3; ++j) sum += a[i][j] * (x.data()[3 * n + static_cast<Index>(j)] - (1 - t) * m[j]);
      v.data()[3 * n + static_cast<Index>(i)] = sum;
    }
  return v;
}

Tensor<double, Cpu> exact(const Tensor<double, Cpu>& x1) {
  const Matrix root = matrix_function([](double l) { return std::sqrt(l); });
  Tensor<double, Cpu> y(x1.context(), x1.shape());
  for (Index n = 0; n < x1.dim(0); ++n)
    for (std::size_t i = 0; i < 3; ++i) {
      double sum = m[i];
      for (std::size_t j = 0; j < 3; ++j) sum += root[i][j] * x1.data()[3 * n + static_cast<Index>(j)];
      y.data()[3 * n + static_cast<Index>(i)] = sum;
    }
  return y;
}

Tensor<double, Cpu> noise(Context<Cpu>& ctx, Index n) {
  std::vector<Index> positions;
  for (Index i = 0; i < n; ++i) positions.push_back(i);
  return draw_noise<double>(ctx, 17, std::span<const Index>(positions), {3});
}

double worst_error(Context<Cpu>& ctx, Sampler sampler, int steps) {
  const auto x1 = noise(ctx, 50);
  return test::max_difference(integrate(sampler, x1, steps, velocity), exact(x1));
}

}  // namespace

TEST_CASE("Euler converges with order 1, Heun with order 2") {
  Context<Cpu> ctx({.threads = 1});
  for (const auto& [sampler, order] : {std::pair{Sampler::euler, 1.0}, std::pair{Sampler::heun, 2.0}}) {
    double before = worst_error(ctx, sampler, 100);
    for (const int steps : {200, 400, 800}) {
      const double now = worst_error(ctx, sampler, steps), seen = std::log2(before / now);
      MESSAGE(std::string(order > 1 ? "Heun, " : "Euler, "), steps, " steps: error ", now, ", order ", seen);
      CHECK(std::abs(seen - order) < 0.1);
      before = now;
    }
  }
  CHECK(worst_error(ctx, Sampler::heun, 100) < 0.1 * worst_error(ctx, Sampler::euler, 100));
}

TEST_CASE("samples of Gaussian data have its mean and covariance within Monte-Carlo error") {
  Context<Cpu> ctx({.threads = 2});
  const Index n = 20000;
  const Matrix covariance = matrix_function([](double l) { return l; });
  for (const auto& [sampler, steps] : {std::pair{Sampler::euler, 1000}, std::pair{Sampler::heun, 100}}) {
    const auto x = integrate(sampler, noise(ctx, n), steps, velocity);
    std::array<double, 3> mean{};
    Matrix s{};
    for (Index i = 0; i < n; ++i)
      for (std::size_t a = 0; a < 3; ++a) mean[a] += x.data()[3 * i + static_cast<Index>(a)] / static_cast<double>(n);
    for (Index i = 0; i < n; ++i)
      for (std::size_t a = 0; a < 3; ++a)
        for (std::size_t b = 0; b < 3; ++b)
          s[a][b] += (x.data()[3 * i + static_cast<Index>(a)] - mean[a]) *
                     (x.data()[3 * i + static_cast<Index>(b)] - mean[b]) / static_cast<double>(n - 1);
    for (std::size_t a = 0; a < 3; ++a) {
      CHECK(std::abs(mean[a] - m[a]) <= 4 * std::sqrt(covariance[a][a] / static_cast<double>(n)));
      for (std::size_t b = 0; b < 3; ++b)
        CHECK(std::abs(s[a][b] - covariance[a][b]) <=
              4 * std::sqrt((covariance[a][a] * covariance[b][b] + covariance[a][b] * covariance[a][b]) /
                            static_cast<double>(n)));
    }
  }
}

TEST_CASE("the grid of times: 1 down to, and for Euler without, 0; one step too few is refused") {
  Context<Cpu> ctx({.threads = 1});
  const auto x = test::random<double>(ctx, {2, 3}, 1);
  std::vector<double> times;
  const auto constant = [&](const Tensor<double, Cpu>& at, double t) {
    times.push_back(t);
    Tensor<double, Cpu> v(at.context(), at.shape());
    std::fill_n(v.data(), v.size(), 2.0);
    return v;
  };
  const auto euler = integrate(Sampler::euler, x, 4, constant);
  CHECK(times == std::vector<double>{1.0, 0.75, 0.5, 0.25});
  CHECK(static_cast<int>(times.size()) == evaluations(Sampler::euler, 4));
  times.clear();
  const auto heun = integrate(Sampler::heun, x, 2, constant);
  CHECK(times == std::vector<double>{1.0, 0.5, 0.5, 0.0});
  CHECK(static_cast<int>(times.size()) == evaluations(Sampler::heun, 2));
  for (Index i = 0; i < x.size(); ++i) {
    CHECK(euler.data()[i] == doctest::Approx(x.data()[i] - 2.0));
    CHECK(heun.data()[i] == doctest::Approx(x.data()[i] - 2.0));
  }
  for (const Sampler s : {Sampler::euler, Sampler::heun})
    test::check_error("sample.steps", {"got 0"}, [&] { integrate(s, x, 0, constant); });
}

TEST_CASE("a shifted grid has its short steps near the noise, and keeps the deviation of wide directions") {
  Context<Cpu> ctx({.threads = 1});
  const TimeGrid grid(4, 3);
  for (int i = 0; i <= 4; ++i)
    CHECK(grid.at(i) == doctest::Approx(std::array{1.0, 0.9, 0.75, 0.5, 0.0}[static_cast<std::size_t>(i)]));
  double sum = 0;
  for (int i = 0; i < 4; ++i) sum += grid.length(i);
  CHECK(sum == doctest::Approx(1));
  for (int i = 0; i <= 7; ++i) CHECK(TimeGrid(7).at(i) == 1.0 - i * (1.0 / 7));
  // Normal data with 450 times the variance of the noise: the exact flow multiplies by its deviation.
  const double variance = 450;
  const auto kept = [&](Sampler sampler, double shift, int steps = 25) {
    const auto velocity = [&](const Tensor<double, Cpu>& x, double t) {
      Tensor<double, Cpu> v = x.clone();
      const double u = 1 - t, rate = (t - u * variance) / (t * t + u * u * variance);
      for (Index i = 0; i < v.size(); ++i) v.data()[i] *= rate;
      return v;
    };
    const double one = 1;
    return integrate(sampler, Tensor<double, Cpu>::from_host(ctx, {1}, {&one, 1}), TimeGrid(steps, shift), velocity)
               .data()[0] /
           std::sqrt(variance);
  };
  CHECK(kept(Sampler::euler, 1) == doctest::Approx(0.689).epsilon(0.002));
  CHECK(kept(Sampler::euler, 1, 50) == doctest::Approx(0.836).epsilon(0.002));
  CHECK(kept(Sampler::euler, 3) == doctest::Approx(0.874).epsilon(0.002));
  CHECK(kept(Sampler::heun, 1) == doctest::Approx(0.896).epsilon(0.002));
  CHECK(kept(Sampler::heun, 3) == doctest::Approx(0.985).epsilon(0.002));
  for (const double wrong : {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity()})
    test::check_error("sample.shift", {"expected a positive number"}, [&] { TimeGrid(4, wrong); });
}
