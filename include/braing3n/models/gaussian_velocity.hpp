// The velocity of flow matching, in closed form, for a joint normal distribution of data and conditions.
//
// Data x of mean m and covariance S has, under the flow of objective/flow_matching.hpp, the expected velocity
//   E[eps - x | x_t] = H (x_t - a m) - m,   H = (t - a S) (a^2 S + t^2)^-1,   a = 1 - t,
// from the joint normal distribution of x and x_t. Conditions are normal features f (models/conditions.hpp), and x = m_c + B^T (f - f_mean) + e.
// Observed features move the mean. Unobserved ones have their conditional distribution, whose covariance adds to that of x,
//   m = m_c + B^T (E[f | observed] - f_mean),   S = W + B^T Cov[f | observed] B.
// W is diagonal in k orthonormal directions U and has one variance r outside of them; each class c has its own m_c, W and B, and B acts along U.
// With D = a^2 W + t^2 and C C^T = B^T Cov B, Woodbury's identity gives H from a matrix as small as f.
// A network that adds to this velocity need not learn the covariance between tokens, which transformers learn slowly. (Karras et al. 2022,
// arXiv 2206.00364, precondition a network in the same way.) train/latent_gaussian.hpp estimates the distribution.
// What depends on times and conditions alone is computed on the host (place); the rest runs where x is.
#pragma once

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/autograd/compiled.hpp"
#include "braing3n/autograd/ops.hpp"
#include "braing3n/autograd/parameter.hpp"
#include "braing3n/models/conditional_gaussian.hpp"
#include "braing3n/models/gaussian_place.hpp"
#include "braing3n/ops/linear.hpp"
#include "braing3n/ops/matmul.hpp"

namespace braing3n::inline BRAING3N_ABI {

template <Backend B, Precision P>
struct GaussianVelocity {
  using T = typename P::Compute;
  using Act = Var<T, B>;
  using W = wide_t<P>;

  Parameter<B, P> mean;       // (classes, D)
  Parameter<B, P> basis;      // (k, D), orthonormal rows
  Parameter<B, W> variances;  // (classes, k + 1); the last is that of every direction outside the basis
  // Absent without features.
  Parameter<B, W> effects;             // (classes, q, k)
  Parameter<B, W> feature_mean;        // (q)
  Parameter<B, W> feature_covariance;  // (q, q)
  std::string path;

  GaussianVelocity() = default;
  /// The standard normal distribution, until another is loaded or estimated.
  GaussianVelocity(Context<B>& context, Index classes, Index width, Index rank, Index features);
  bool exists() const { return basis.exists(); }
  Index features() const { return feature_mean.exists() ? feature_mean.shape()[0] : 0; }

  /// x (N, L, C) with L C = D at times t (N), classes (N), features (N q), NaN where unobserved -> velocity (N, L, C).
  Act operator()(Pass<B>& pass, const Act& x, const std::vector<double>& t, const std::vector<std::int32_t>& classes,
                 const std::vector<double>& given) const;
  /// The same for a batch whose place is known.
  Act operator()(Pass<B>& pass, const Act& x, const GaussianPlace<B>& at) const;

  /// What depends on times, classes and features alone.
  GaussianPlace<B> place(const std::vector<double>& t, const std::vector<std::int32_t>& classes,
                         const std::vector<double>& given) const;

  static void visit(auto& self, auto&& v) {
    v("mean", self.mean);
    v("basis", self.basis);
    v("variances", self.variances);
    if (!self.feature_mean.exists()) return;
    v("effects", self.effects);
    v("feature_mean", self.feature_mean);
    v("feature_covariance", self.feature_covariance);
  }

 private:
  Act velocity(const Act& x, const GaussianPlace<B>& at) const;

  /// Writes the shift (k) and R^T (q, k) behind it.
  void place_features(double* shift, double t, const double* w, const double* b, ConditionalGaussian features,
                      const double* given, const std::vector<double>& f_mean) const;

  /// H offset; with_mean: plus the shift of the conditional mean, less the mean of the class.
  Tensor<T, B> spread(const Tensor<T, B>& offset, const GaussianPlace<B>& at, bool with_mean) const;
};

template <Backend B, Precision P>
GaussianVelocity<B, P>::GaussianVelocity(Context<B>& context, Index classes, Index width, Index rank, Index features) {
  if (classes < 1 || rank < 1 || rank > width || features < 0)
    fail(ErrorKind::config, "gaussian.rank", "gaussian velocity: expected 1 to ", width,
         " directions, at least one class and no negative count, got ", rank, " directions, ", classes, " classes and ",
         features, " features");
  const auto table = [&](auto& parameter, const Shape& shape, const Init& init) {
    parameter = std::remove_cvref_t<decltype(parameter)>(context,
                                                         {.shape = shape, .init = init, .decay = false, .fixed = true});
  };
  table(mean, {classes, width}, zeros());
  table(basis, {rank, width}, zeros());
  table(variances, {classes, rank + 1}, ones());
  if (features == 0) return;
  table(effects, {classes, features, rank}, zeros());
  table(feature_mean, {features}, zeros());
  table(feature_covariance, {features, features}, zeros());
}

template <Backend B, Precision P>
auto GaussianVelocity<B, P>::operator()(Pass<B>& pass, const Act& x, const std::vector<double>& t,
                                        const std::vector<std::int32_t>& classes,
                                        const std::vector<double>& given) const -> Act {
  return pass.at(path, [&] {
    const Index n = static_cast<Index>(t.size()), width = mean.shape()[1];
    if (x.value().size() != n * width || std::ssize(classes) != n || std::ssize(given) != n * features())
      fail(ErrorKind::shape, "gaussian.input", "gaussian velocity: input ", x.shape(), ", ", classes.size(),
           " classes and ", given.size(), " features for ", n, " times, ", width, " values and ", features(),
           " features a sample");
    return velocity(x, place(t, classes, given));
  });
}

template <Backend B, Precision P>
auto GaussianVelocity<B, P>::operator()(Pass<B>& pass, const Act& x, const GaussianPlace<B>& at) const -> Act {
  return pass.at(path, [&] { return velocity(x, at); });
}

template <Backend B, Precision P>
auto GaussianVelocity<B, P>::place(const std::vector<double>& t, const std::vector<std::int32_t>& classes,
                                   const std::vector<double>& given) const -> GaussianPlace<B> {
  const Index n = static_cast<Index>(t.size()), known = mean.shape()[0];
  const auto k = static_cast<std::size_t>(basis.shape()[0]), q = static_cast<std::size_t>(features()),
             row = static_cast<std::size_t>(gaussian_numbers(basis.shape()[0], features()));
  for (const std::int32_t c : classes)
    if (c < 0 || c >= known)
      fail(ErrorKind::argument, "gaussian.class", "gaussian velocity: expected a class from 0 to ", known - 1, ", got ",
           c);
  const std::vector<double> none;
  const std::vector<double>&w = variances.host_values(), &b = q > 0 ? effects.host_values() : none,
        &f_mean = q > 0 ? feature_mean.host_values() : none,
        &f_covariance = q > 0 ? feature_covariance.host_values() : none;
  std::vector<double> numbers(t.size() * row, 0.0);
  mean.context().host_parallel_range(n, 1, [&](Index first, Index last) {
    for (auto i = static_cast<std::size_t>(first); i < static_cast<std::size_t>(last); ++i) {
      const auto c = static_cast<std::size_t>(classes[i]);
      const double *wi = w.data() + c * (k + 1), a = 1 - t[i], rest = gaussian_gain(wi[k], t[i]);
      double* const at = numbers.data() + i * row;
      at[detail::gaussian_time] = t[i];
      at[detail::gaussian_factor] = t[i] * a;
      at[detail::gaussian_outside] = rest;
      double* const vectors = at + detail::gaussian_vectors;
      for (std::size_t j = 0; j < k; ++j) vectors[j] = gaussian_gain(wi[j], t[i]) - rest;
      if (q > 0)
        place_features(vectors + k, t[i], wi, b.data() + c * q * k, ConditionalGaussian(f_mean, f_covariance),
                       given.data() + i * q, f_mean);
    }
  });
  return {Tensor<std::int32_t, B>::from_host(mean.context(), {n}, classes),
          Tensor<double, B>::from_host(mean.context(), {n, static_cast<Index>(row)}, numbers)};
}

template <Backend B, Precision P>
auto GaussianVelocity<B, P>::velocity(const Act& x, const GaussianPlace<B>& at) const -> Act {
  const Index n = at.numbers.dim(0), width = mean.shape()[1];
  if (x.value().size() != n * width)
    fail(ErrorKind::shape, "gaussian.input", "gaussian velocity: input ", x.shape(), " for ", n, " samples of ", width,
         " values");
  Tensor<T, B> offset(x.value().context(), {n, width});
  map(offset.context(), offset.size(),
      detail::GaussianOffset<T>{x.value().data(), mean.compute().data(), at.classes.data(), at.numbers.data(),
                                offset.data(), width, at.numbers.dim(1)});
  Tensor<T, B> v = spread(offset, at, true).reshape(x.shape());
  return record(
      std::move(v),
      [this, sx = x.slot(), at, n, width](const auto& dy) {
        // H is symmetric, so it is its own backward.
        if (sx) accumulate(sx, spread(dy.reshape({n, width}), at, false).reshape(dy.shape()));
      },
      x);
}

template <Backend B, Precision P>
void GaussianVelocity<B, P>::place_features(double* shift, double t, const double* w, const double* b,
                                            ConditionalGaussian features, const double* given,
                                            const std::vector<double>& f_mean) const {
  const std::size_t k = static_cast<std::size_t>(basis.shape()[0]), q = f_mean.size();
  for (std::size_t f = 0; f < q; ++f)
    if (!std::isnan(given[f])) features.observe(f, given[f]);
  const double a = 1 - t;
  std::vector<double> inverse(k);  // of D
  for (std::size_t j = 0; j < k; ++j) inverse[j] = 1 / (a * a * w[j] + t * t);
  // C^T = L^T B, one row per unobserved feature
  const std::vector<double> root = features.root();
  std::vector<std::size_t> open;
  for (std::size_t f = 0; f < q; ++f)
    if (root[f * q + f] > 0) open.push_back(f);
  const std::size_t p = open.size();
  std::vector<double> c(p * k, 0.0);
  for (std::size_t r = 0; r < p; ++r)
    for (std::size_t f = open[r]; f < q; ++f)
      for (std::size_t j = 0; j < k; ++j) c[r * k + j] += root[f * q + open[r]] * b[f * k + j];
  // R^T = G^-1 C^T D^-1 by the rows of G, whose own are found on the way
  double* reduced = shift + k;
  std::vector<double> g(p * p, 0.0);
  for (std::size_t r = 0; r < p; ++r) {
    double* row = reduced + r * k;
    for (std::size_t j = 0; j < k; ++j) row[j] = c[r * k + j] * inverse[j];
    for (std::size_t s = 0; s <= r; ++s) {
      double dot = 0;
      for (std::size_t j = 0; j < k; ++j) dot += c[r * k + j] * inverse[j] * c[s * k + j];
      double value = (r == s ? 1.0 : 0.0) + a * a * dot;
      for (std::size_t m = 0; m < s; ++m) value -= g[r * p + m] * g[s * p + m];
      g[r * p + s] = r == s ? std::sqrt(value) : value / g[s * p + s];
    }
    for (std::size_t s = 0; s < r; ++s)
      for (std::size_t j = 0; j < k; ++j) row[j] -= g[r * p + s] * reduced[s * k + j];
    for (std::size_t j = 0; j < k; ++j) row[j] /= g[r * p + r];
  }
  // -t (a^2 S + t^2)^-1 d = -t (D^-1 d - a^2 R R^T d)
  std::vector<double> d(k, 0.0);
  for (std::size_t f = 0; f < q; ++f) {
    const double off = features.mean()[f] - f_mean[f];
    for (std::size_t j = 0; j < k; ++j) d[j] += off * b[f * k + j];
  }
  for (std::size_t j = 0; j < k; ++j) shift[j] = -t * inverse[j] * d[j];
  for (std::size_t r = 0; r < p; ++r) {
    double dot = 0;
    for (std::size_t j = 0; j < k; ++j) dot += reduced[r * k + j] * d[j];
    for (std::size_t j = 0; j < k; ++j) shift[j] += t * a * a * dot * reduced[r * k + j];
  }
}

template <Backend B, Precision P>
auto GaussianVelocity<B, P>::spread(const Tensor<T, B>& offset, const GaussianPlace<B>& at, bool with_mean) const
    -> Tensor<T, B> {
  Context<B>& context = offset.context();
  const Tensor<T, B>& u = basis.compute();
  const Index k = u.dim(0), width = u.dim(1), n = offset.dim(0), q = features(), row = at.numbers.dim(1);
  const Tensor<T, B> y = linear_forward(offset, u, Tensor<T, B>(), LinearOptions<T, B>{}).y;
  Tensor<T, B> along(context, {n, k});
  Tensor<double, B> dots;
  if (q > 0) {
    dots = Tensor<double, B>(context, {n, q});
    map(context, n * q, detail::GaussianFeatures<T>{y.data(), at.numbers.data(), dots.data(), k, q, row});
  }
  map(context, n * k,
      detail::GaussianDirections<T>{y.data(), at.numbers.data(), dots.data(), along.data(), k, q, row, with_mean});
  Tensor<T, B> v = matmul_forward(along, u);
  map(context, v.size(),
      detail::GaussianSum<T>{offset.data(), with_mean ? mean.compute().data() : nullptr, at.classes.data(),
                             at.numbers.data(), v.data(), width, row});
  return v;
}

BRAING3N_COMPILED_LAYER(GaussianVelocity)

}  // namespace braing3n::inline BRAING3N_ABI
