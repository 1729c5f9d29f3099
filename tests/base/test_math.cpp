// Accuracy of the float functions against the double ones of the standard library, on a sweep over all bit patterns.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <string>

#include "braing3n/backend/cpu/loops/simd.hpp"
#include "braing3n/base/functors.hpp"

using namespace braing3n;

namespace {

// |y - reference| in units in the last place of the float nearest to the reference; subnormals have the ulp 2^-149.
double ulps(float y, double reference) {
  if (std::isnan(reference)) return std::isnan(y) ? 0.0 : 1e300;
  const float nearest = static_cast<float>(reference);
  if (std::isinf(nearest)) return y == nearest ? 0.0 : 1e300;
  int exponent = 0;
  std::frexp(std::abs(static_cast<double>(nearest)), &exponent);
  const double ulp = std::ldexp(1.0, std::max(exponent - 24, -149));
  const double error = std::abs(static_cast<double>(y) - reference) / ulp;
  return std::isnan(error) ? 1e300 : error;
}

constexpr std::size_t block = 1024;

struct Worst {
  double ulps = 0;
  float at = 0, value = 0;
};

// Every `stride`-th bit pattern of a float in [low, high] goes through f, vectorised for `isa`.
template <class F, class R>
Worst sweep(Isa isa, double low, double high, F f, R reference, std::uint32_t stride = 3001) {
  Worst worst;
  std::array<float, block> x{}, y{};
  std::size_t filled = 0;
  const auto flush = [&] {
    const float* in = x.data();
    float* out = y.data();
    const std::size_t n = filled;
    vectorized(isa, [&]() BRAING3N_LAMBDA_INLINE {
      BRAING3N_IVDEP
      for (std::size_t i = 0; i < n; ++i) out[i] = f(in[i]);
    });
    for (std::size_t i = 0; i < n; ++i) {
      const double error = ulps(y[i], reference(static_cast<double>(x[i])));
      if (error > worst.ulps) worst = {error, x[i], y[i]};
    }
    filled = 0;
  };
  for (std::uint64_t bits = 0; bits <= 0xffffffffu; bits += stride) {
    const float v = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    if (!(v >= low && v <= high)) continue;
    x[filled++] = v;
    if (filled == block) flush();
  }
  flush();
  return worst;
}

constexpr double infinity = std::numeric_limits<double>::infinity();

template <class F, class R>
void check_sweep(const char* name, double bound, double low, double high, F f, R reference) {
  for (Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (isa > detect_isa()) continue;
    const Worst w = sweep(isa, low, high, f, reference);
    const std::string where = std::string(name) + " on " + to_string(isa);
    CHECK_MESSAGE(w.ulps <= bound, where, " at ", w.at, " gives ", w.value);
  }
}

}  // namespace

TEST_CASE("float functions are accurate on the whole line") {
  check_sweep(
      "exp", 1.0, -infinity, infinity, [](float x) BRAING3N_LAMBDA_INLINE { return math::exp(x); },
      [](double x) { return std::exp(x); });
  check_sweep(
      "erf", 1.5, -infinity, infinity, [](float x) BRAING3N_LAMBDA_INLINE { return math::erf(x); },
      [](double x) { return std::erf(x); });
  check_sweep(
      "tanh", 2.0, -infinity, infinity, [](float x) BRAING3N_LAMBDA_INLINE { return math::tanh(x); },
      [](double x) { return std::tanh(x); });
  // Below -87.3 e^-|x| is subnormal and taken as zero.
  check_sweep(
      "sigmoid", 2.5, -87.0, infinity, [](float x) BRAING3N_LAMBDA_INLINE { return math::sigmoid(x); },
      [](double x) { return 1.0 / (1.0 + std::exp(-x)); });
  check_sweep(
      "normal_cdf", 8.0, -3.0, infinity, [](float x) BRAING3N_LAMBDA_INLINE { return math::normal_cdf(x).cdf; },
      [](double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); });
  check_sweep(
      "normal_cdf tail", 80.0, -13.0, -3.0, [](float x) BRAING3N_LAMBDA_INLINE { return math::normal_cdf(x).cdf; },
      [](double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); });
}

TEST_CASE("float functions: special values") {
  constexpr float inf = std::numeric_limits<float>::infinity();
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(math::exp(0.0f) == 1.0f);
  CHECK(math::exp(-inf) == 0.0f);
  CHECK(math::exp(inf) == inf);
  CHECK(math::exp(88.8f) == inf);  // ln(largest float) is 88.72
  CHECK(std::isfinite(math::exp(88.7f)));
  CHECK(math::exp(-103.0f) > 0.0f);  // subnormal
  CHECK(math::exp(-104.0f) == 0.0f);
  CHECK(math::erf(inf) == 1.0f);
  CHECK(math::erf(-inf) == -1.0f);
  CHECK(math::tanh(inf) == 1.0f);
  CHECK(math::tanh(-inf) == -1.0f);
  CHECK(math::sigmoid(inf) == 1.0f);
  CHECK(math::sigmoid(-inf) == 0.0f);
  CHECK(math::sigmoid(0.0f) == 0.5f);
  CHECK(math::normal_cdf(inf).cdf == 1.0f);
  CHECK(math::normal_cdf(-inf).cdf == 0.0f);
  CHECK(std::signbit(math::tanh(-0.0f)));
  CHECK(std::signbit(math::erf(-0.0f)));
  CHECK(std::isnan(math::exp(nan)));
  CHECK(std::isnan(math::erf(nan)));
  CHECK(std::isnan(math::tanh(nan)));
  CHECK(std::isnan(math::sigmoid(nan)));
  CHECK(std::isnan(math::normal_cdf(nan).cdf));
  // The odd functions are odd bit for bit, the pair of sigmoids mirrors.
  for (float x = 0.0f; x < 20.0f; x += 0.0371f) {
    CHECK(math::tanh(-x) == -math::tanh(x));
    CHECK(math::erf(-x) == -math::erf(x));
    CHECK(math::sigmoid_pair(-x).value == math::sigmoid_pair(x).complement);
  }
}

namespace {
template <class Functor>
void check_activation(Functor f, double (*reference)(double), double ulp_bound) {
  double worst_value = 0, worst_grad = 0, worst_slope = 0;
  for (int i = -1200; i <= 1200; ++i) {
    const double x = i * 0.01;
    CHECK(f.value(x) == doctest::Approx(reference(x)).epsilon(1e-13));
    const double h = 1e-5;
    worst_slope = std::max(worst_slope, std::abs((f.value(x + h) - f.value(x - h)) / (2 * h) - f.grad(x)));
    const float xf = static_cast<float>(x);
    const double exact = f.value(static_cast<double>(xf));
    worst_value = std::max(worst_value, std::abs(static_cast<double>(f.value(xf)) - exact) / (std::abs(exact) + 1e-6));
    worst_grad = std::max(worst_grad, std::abs(static_cast<double>(f.grad(xf)) - f.grad(static_cast<double>(xf))));
  }
  CHECK(worst_slope < 1e-9);                 // the derivative is the derivative of the value
  CHECK(worst_value < ulp_bound * 0x1p-23);  // the float version follows the double one
  CHECK(worst_grad < ulp_bound * 0x1p-23);
}
}  // namespace

TEST_CASE("activations: values, derivatives, float against double") {
  check_activation(Gelu{}, [](double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); }, 16);
  check_activation(
      GeluTanh{},
      [](double x) {
        return 0.5 * x * (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
      },
      16);
  check_activation(Silu{}, [](double x) { return x / (1 + std::exp(-x)); }, 8);
  // Far out the derivatives settle at 0 and 1 and never overflow.
  CHECK(Gelu{}.grad(50.0f) == 1.0f);
  CHECK(Gelu{}.grad(-50.0f) == 0.0f);
  CHECK(GeluTanh{}.grad(50.0f) == 1.0f);
  CHECK(GeluTanh{}.grad(-50.0f) == 0.0f);
  CHECK(Silu{}.grad(200.0f) == 1.0f);
  CHECK(Silu{}.grad(-200.0f) == 0.0f);
}
