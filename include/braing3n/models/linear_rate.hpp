// A rate of change that is linear in where a subject is: the closed-form part of a forecast (models/rate_field.hpp).
//
//   y = U (z - m),  rate = A y + E (f - f_mean) + r
//
// U holds k leading directions of the latents, each divided by the standard deviation along it; f are numbers made of age and conditions. A
// condition that is not known counts as its mean. train/rate_base.hpp estimates all of it by ridge regression.
#pragma once

#include <cmath>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "braing3n/autograd/compiled.hpp"
#include "braing3n/autograd/ops.hpp"
#include "braing3n/autograd/parameter.hpp"
#include "braing3n/models/conditions.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// How many numbers rate_features() makes of a sample.
inline Index rate_feature_count(const std::vector<ConditionField>& fields) {
  Index count = 2;
  for (const ConditionField& f : fields) count += f.kind == ConditionKind::continuous ? 2 : 2 * f.classes();
  return count;
}

/// ages (n) in years and conditions -> (n, rate_feature_count): age and its square; per class of a categorical field 1 or 0, and that times age; per
/// continuous field its value and the square. Age counts in units of 30 years from 60; continuous fields run from -1 to 1 over their
/// range. NaN where nothing is known.
inline std::vector<double> rate_features(const std::vector<ConditionField>& fields, const ConditionBatch& batch,
                                         const std::vector<double>& ages) {
  const auto n = ages.size(), width = static_cast<std::size_t>(rate_feature_count(fields));
  if (batch.fields.size() != fields.size())
    fail(ErrorKind::shape, "rate.conditions", "linear rate: expected ", fields.size(), " conditions, got ",
         batch.fields.size());
  std::vector<double> features(n * width);
  for (std::size_t i = 0; i < n; ++i) {
    double* to = features.data() + i * width;
    const double age = (ages[i] - 60) / 30;
    *to++ = age;
    *to++ = age * age;
    for (std::size_t f = 0; f < fields.size(); ++f) {
      if (fields[f].kind == ConditionKind::continuous) {
        const double middle = 0.5 * (fields[f].minimum + fields[f].maximum),
                     half = 0.5 * (fields[f].maximum - fields[f].minimum),
                     value = (batch.fields[f].values.at(i) - middle) / half;
        *to++ = value;
        *to++ = value * value;
        continue;
      }
      const std::int32_t label = batch.fields[f].labels.at(i);
      for (Index c = 0; c < fields[f].classes(); ++c) {
        const double own = label < 0 ? std::numeric_limits<double>::quiet_NaN() : label == c ? 1.0 : 0.0;
        *to++ = own;
        *to++ = own * age;
      }
    }
  }
  return features;
}

/// Means over the ages from `first` to `last` (n) of every sample: by Simpson's rule, which is exact for age and its square.
inline std::vector<double> mean_rate_features(const std::vector<ConditionField>& fields, const ConditionBatch& batch,
                                              const std::vector<double>& first, const std::vector<double>& last) {
  std::vector<double> middle;
  for (std::size_t i = 0; i < first.size(); ++i) middle.push_back(0.5 * (first[i] + last[i]));
  std::vector<double> f = rate_features(fields, batch, middle);
  const std::vector<double> f0 = rate_features(fields, batch, first), f1 = rate_features(fields, batch, last);
  for (std::size_t j = 0; j < f.size(); ++j) f[j] = (f0[j] + 4 * f[j] + f1[j]) / 6;
  return f;
}

template <Backend B, Precision P>
struct LinearRate {
  using T = typename P::Compute;
  using Act = Var<T, B>;

  Parameter<B, P> directions, offset;    // (k, D), (k): y = directions z + offset
  Parameter<B, P> weight, bias;          // (D, k), (D)
  Parameter<B, P> effects;               // (D, q)
  Parameter<B, wide_t<P>> feature_mean;  // (q)
  std::string path;

  LinearRate() = default;
  /// width: values of a sample. No change at all, until a rate is loaded or estimated.
  LinearRate(Context<B>& context, Index width, Index rank, Index features);
  bool exists() const { return directions.exists(); }

  /// z (N, L, C) with L C = D, features (N q), NaN where unknown -> rate (N, L, C).
  Act operator()(Pass<B>& pass, const Act& z, const std::vector<double>& given) const;

  static void visit(auto& self, auto&& v) {
    v("directions", self.directions);
    v("offset", self.offset);
    v("weight", self.weight);
    v("bias", self.bias);
    v("effects", self.effects);
    v("feature_mean", self.feature_mean);
  }
};

template <Backend B, Precision P>
LinearRate<B, P>::LinearRate(Context<B>& context, Index width, Index rank, Index features) {
  if (rank < 1 || rank > width || features < 1)
    fail(ErrorKind::config, "rate.rank", "linear rate: expected 1 to ", width,
         " directions and at least one feature, got ", rank, " and ", features);
  const auto table = [&](auto& parameter, const Shape& shape) {
    parameter = std::remove_cvref_t<decltype(parameter)>(
        context, {.shape = shape, .init = zeros(), .decay = false, .fixed = true});
  };
  table(directions, {rank, width});
  table(offset, {rank});
  table(weight, {width, rank});
  table(bias, {width});
  table(effects, {width, features});
  table(feature_mean, {features});
}

template <Backend B, Precision P>
auto LinearRate<B, P>::operator()(Pass<B>& pass, const Act& z, const std::vector<double>& given) const -> Act {
  return pass.at(path, [&] {
    const Index n = z.shape().rank() > 0 ? z.shape()[0] : 0, width = bias.shape()[0], q = effects.shape()[1];
    if (z.value().size() != n * width || std::ssize(given) != n * q)
      fail(ErrorKind::shape, "rate.input", "linear rate: expected ", width, " values and ", q,
           " features a sample, got an input ", z.shape(), " and ", given.size(), " features");
    const std::vector<double>& mean = feature_mean.host_values();
    std::vector<T> f(given.size());
    for (std::size_t i = 0; i < f.size(); ++i)
      f[i] = std::isnan(given[i])
                 ? T{}
                 : static_cast<T>(static_cast<accum_t<T>>(given[i] - mean[i % static_cast<std::size_t>(q)]));
    const Act y = linear(reshape(z, {n, width}), directions.var(pass), offset.var(pass));
    const Act by_conditions =
        linear(Act(Tensor<T, B>::from_host(pass.context(), {n, q}, f)), effects.var(pass), bias.var(pass));
    return reshape(add(linear(y, weight.var(pass), Act()), by_conditions), z.shape());
  });
}

BRAING3N_COMPILED_LAYER(LinearRate)

}  // namespace braing3n::inline BRAING3N_ABI
