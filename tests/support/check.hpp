// What every numerical test shares: one tolerance rule, random inputs, finite differences.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/base/philox.hpp"
#include "braing3n/core/tensor.hpp"

// Loops that compute what results are compared with: hundreds of millions of accesses at places that no input decides. Sanitizers, which
// look at each, are left to what is tested.
#if defined(__clang__)
#define BRAING3N_REFERENCE_LOOP __attribute__((no_sanitize("address", "undefined")))
#else
#define BRAING3N_REFERENCE_LOOP
#endif

namespace braing3n::test {

/// Machine epsilon of the type in which values are stored.
template <class T>
constexpr double epsilon() {
  if constexpr (std::is_same_v<T, bfloat16>) return 0x1p-8;
  else return static_cast<double>(std::numeric_limits<T>::epsilon());
}

/// The one tolerance of the test suite: the error of a sum of `reduction` terms of size `scale` grows like the square root of
/// its length; the factor 8 covers the few operations around it.
template <class T>
double tolerance(Index reduction = 1, double scale = 1.0) {
  return 8.0 * epsilon<T>() * std::sqrt(static_cast<double>(reduction < 1 ? 1 : reduction)) * scale;
}

/// A stream read at rising places: each block of four integers is computed once.
class Stream {
 public:
  explicit Stream(const Philox& rng) : rng_(rng) {}
  const Philox::Block& block_of(Index at) {
    if (at / 4 != number_) number_ = at / 4, block_ = rng_.block(static_cast<std::uint32_t>(number_));
    return block_;
  }
  std::uint32_t integer(Index at) { return block_of(at)[static_cast<std::size_t>(at % 4)]; }

 private:
  Philox rng_;
  Index number_ = -1;
  Philox::Block block_{};
};

/// Standard normal numbers, different for every `id`.
template <class T>
Tensor<T, Cpu> random(Context<Cpu>& ctx, const Shape& shape, std::uint32_t id, double scale = 1.0) {
  Tensor<T, Cpu> t(ctx, shape);
  const Philox rng(20261120, Purpose::test, 0, id);
  for (Index i = 0; i < t.size(); ++i) t.data()[i] = static_cast<T>(scale * rng.normal(static_cast<std::uint64_t>(i)));
  return t;
}

/// Integers in [-3, 3]: sums and products of them are exact in every type, so results can be compared bit for bit.
template <class T>
Tensor<T, Cpu> small_integers(Context<Cpu>& ctx, const Shape& shape, std::uint32_t id) {
  Tensor<T, Cpu> t(ctx, shape);
  Stream rng(Philox(7, Purpose::test, 1, id));
  for (Index i = 0; i < t.size(); ++i)
    t.data()[i] = static_cast<T>(static_cast<float>(static_cast<int>(rng.integer(i) % 7) - 3));
  return t;
}

template <class A, class Bt>
double max_difference(const Tensor<A, Cpu>& a, const Tensor<Bt, Cpu>& b) {
  REQUIRE(a.shape() == b.shape());
  double worst = 0;
  for (Index i = 0; i < a.size(); ++i) {
    const double d = std::abs(static_cast<double>(a.data()[i]) - static_cast<double>(b.data()[i]));
    if (d > worst || d != d) worst = d;  // a NaN stays the worst
  }
  return worst;
}

template <class T>
bool same_bits(const Tensor<T, Cpu>& a, const Tensor<T, Cpu>& b) {
  return a.shape() == b.shape() && std::memcmp(a.data(), b.data(), a.bytes()) == 0;
}

/// Checks an analytic gradient against central differences of f at up to `probes` elements of x, spread over the whole tensor.
/// f() reads x through the storage it shares and returns the scalar loss. `what` names the gradient in a failure.
inline void check_gradient(const std::string& what, Tensor<double, Cpu> x, const Tensor<double, Cpu>& gradient,
                           const std::function<double()>& f, double step = 1e-5, double relative = 2e-7,
                           Index probes = 200) {
  REQUIRE(x.shape() == gradient.shape());
  double largest = 0;
  for (Index i = 0; i < gradient.size(); ++i) largest = std::max(largest, std::abs(gradient.data()[i]));
  CHECK_MESSAGE(largest > 0, what, ": the whole gradient is zero");
  const Index stride = std::max<Index>(1, x.size() / probes);
  for (Index i = 0; i < x.size(); i += stride) {
    const double saved = x.data()[i];
    x.data()[i] = saved + step;
    const double up = f();
    x.data()[i] = saved - step;
    const double down = f();
    x.data()[i] = saved;
    const double numeric = (up - down) / (2 * step);
    CHECK_MESSAGE(std::abs(numeric - gradient.data()[i]) <= relative * (1 + largest), what, " element ", i,
                  ": analytic ", gradient.data()[i], ", finite difference ", numeric);
  }
}

/// f(ctx) -> std::vector<Tensor<T, Cpu>>, called with contexts of 1, 2 and 3 threads: the results must have the same bytes.
template <class F>
void check_same_for_threads(const std::string& what, const F& f) {
  std::vector<std::vector<std::byte>> first;
  for (int threads = 1; threads <= 3; ++threads) {
    CpuOptions options;
    options.threads = threads;
    Context<Cpu> ctx(options);
    const auto results = f(ctx);
    REQUIRE(!results.empty());
    for (std::size_t i = 0; i < results.size(); ++i) {
      const auto* bytes = reinterpret_cast<const std::byte*>(results[i].data());
      const std::vector<std::byte> copy(bytes, bytes + results[i].bytes());
      if (threads == 1) first.push_back(copy);
      else CHECK_MESSAGE(copy == first[i], what, ": result ", i, " differs between 1 and ", threads, " threads");
    }
  }
}

/// f() must throw Error with this id, and its message must contain every one of `parts`.
template <class F>
void check_error(const std::string& id, const std::vector<std::string>& parts, const F& f) {
  try {
    f();
    FAIL_CHECK("expected the error ", id);
  } catch (const Error& e) {
    CHECK_MESSAGE(e.id() == id, "expected the error ", id, ", got ", e.id(), ": ", e.what());
    for (const std::string& part : parts)
      CHECK_MESSAGE(std::string(e.what()).find(part) != std::string::npos, "'", e.what(), "' does not contain '", part,
                    "'");
  }
}

/// <upstream, y>: the scalar whose gradient with respect to y is `upstream`.
inline double dot(const Tensor<double, Cpu>& upstream, const Tensor<double, Cpu>& y) {
  REQUIRE(upstream.shape() == y.shape());
  double sum = 0;
  for (Index i = 0; i < y.size(); ++i) sum += upstream.data()[i] * y.data()[i];
  return sum;
}

}  // namespace braing3n::test
