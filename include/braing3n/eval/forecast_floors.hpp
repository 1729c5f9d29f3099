// The forecasts that any model has to beat: simple rules for one scalar quantity, fitted on the pairs of training subjects.
//
//   LastValue         q1 = q0
//   MeanRate          q1 = q0 + rate years
//   GroupRate         the same with a rate for each diagnosis
//   GlmCounterfactual a structural causal model in closed form, q = f(age, sex, group) + u, with u a property of the subject:
//                     abduct u = q0 - f(age), act by moving age to age + years, predict q1 = f(age + years) + u. f is a ridge regression on
//                     age, age^2, sex, group and group x age, fitted on the visits
// Rates minimise the squared error of the forecasts, sum (d - rate years)^2 over the pairs: the mean of the rates d / years with weights years^2,
// as the precision of a rate under measurement noise grows with years^2. Backward pairs count like forward ones.
// Each rule has a standard deviation by horizon (error_growth.hpp), from its errors on the same pairs; scale intervals on other subjects
// (interval_scale.hpp).
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "braing3n/base/moments.hpp"
#include "braing3n/eval/error_growth.hpp"
#include "braing3n/eval/forecast_pairs.hpp"
#include "braing3n/probe/estimators.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Forecasts of a rule (change(pairs, i) and error), with the sd of its errors. Throws Error: shape, argument.
template <class Rule>
Forecasts forecasts_of(const Rule& rule, const ForecastPairs& pairs) {
  require_forecast_pairs(pairs);
  Forecasts out;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    out.value.push_back(pairs.baseline[i] + rule.change(pairs, i));
    out.sd.push_back(rule.error(pairs.years[i]));
  }
  return out;
}

namespace detail {

/// Sets rule.error from its errors on measured pairs whose change it can tell.
template <class Rule>
Rule with_error(Rule rule, const ForecastPairs& pairs) {
  std::vector<double> years, error;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const double e = rule.change(pairs, i) - pairs.change(i);
    if (std::isfinite(e)) years.push_back(pairs.years[i]), error.push_back(e);
  }
  if (error.size() < 2)
    fail(ErrorKind::argument, "floors.few", "forecast floors: expected at least two measured pairs, got ",
         error.size());
  rule.error = fit_error_growth(years, error);
  return rule;
}

/// Least squares of the change on the years, through the origin.
struct RateSums {
  double products = 0, squares = 0;
  std::set<std::int32_t> subjects{};

  void add(const ForecastPairs& pairs, std::size_t i) {
    products += pairs.years[i] * pairs.change(i), squares += pairs.years[i] * pairs.years[i];
    subjects.insert(pairs.subject[i]);
  }
  double rate() const { return products / squares; }
};

}  // namespace detail

struct LastValue {
  ErrorGrowth error{};

  double change(const ForecastPairs&, std::size_t) const { return 0; }
};

struct MeanRate {
  double rate = 0;  // per year
  ErrorGrowth error{};

  double change(const ForecastPairs& pairs, std::size_t i) const { return rate * pairs.years[i]; }
};

struct GroupRate {
  std::map<std::int32_t, double> rates{};  // per year, of the groups with enough subjects
  double mean = 0;                         // of all pairs: for unknown groups and those with too few
  ErrorGrowth error{};

  double rate(std::int32_t group) const {
    const auto found = rates.find(group);
    return found == rates.end() ? mean : found->second;
  }
  double change(const ForecastPairs& pairs, std::size_t i) const { return rate(pairs.group_of(i)) * pairs.years[i]; }
};

/// Throws Error: shape, argument (fewer than two measured pairs), as all fits here.
inline LastValue fit_last_value(const ForecastPairs& pairs) {
  require_forecast_pairs(pairs);
  return detail::with_error(LastValue{}, pairs);
}

namespace detail {

/// Without the sd of the errors.
inline GroupRate group_rates(const ForecastPairs& pairs, Index least_subjects) {
  require_forecast_pairs(pairs);
  detail::RateSums all;
  std::map<std::int32_t, detail::RateSums> groups;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    if (!pairs.measured(i) || !pairs.apart(i)) continue;
    all.add(pairs, i);
    if (pairs.group_of(i) >= 0) groups[pairs.group_of(i)].add(pairs, i);
  }
  if (!(all.squares > 0))
    fail(ErrorKind::argument, "floors.rate", "forecast floors: a rate needs measured visits that are apart, got none");
  GroupRate out{.mean = all.rate()};
  for (const auto& [group, sums] : groups)
    if (std::ssize(sums.subjects) >= least_subjects) out.rates[group] = sums.rate();
  return out;
}

}  // namespace detail

/// Throws Error: shape, argument (no pair of visits apart). A group with fewer than least_subjects has the rate of all.
inline GroupRate fit_group_rate(const ForecastPairs& pairs, Index least_subjects = 5) {
  return detail::with_error(detail::group_rates(pairs, least_subjects), pairs);
}

/// Throws Error: shape, argument (no pair of visits apart).
inline MeanRate fit_mean_rate(const ForecastPairs& pairs) {
  return detail::with_error(MeanRate{.rate = detail::group_rates(pairs, 0).mean}, pairs);
}

/// What the regression of the counterfactual sees of a visit.
struct GlmFeatures {
  double age = 70;                        // mean of the training
  double sex = 0;                         // mean of the training, for visits where it is unknown
  std::map<std::int32_t, double> groups;  // shares in the training, for visits whose group is unknown or not among them

  /// age and age^2 in decades from the mean, sex, then for every group but the first: whether it is this one, and times age.
  std::vector<double> row(double age_at_visit, std::int32_t sex_at_visit, std::int32_t group) const {
    const double a = (age_at_visit - age) / 10;
    std::vector<double> x{a, a * a, sex_at_visit < 0 ? sex : static_cast<double>(sex_at_visit)};
    for (auto g = groups.begin(); g != groups.end(); ++g) {
      if (g == groups.begin()) continue;
      const double is = groups.contains(group) ? static_cast<double>(g->first == group) : g->second;
      x.push_back(is), x.push_back(is * a);
    }
    return x;
  }
};

/// Needs the age at the first visit: the change is NaN without it.
struct GlmCounterfactual {
  GlmFeatures features{};
  LinearFit fit{};
  ErrorGrowth error{};

  /// f(age, sex, group): what a subject of this kind has on average.
  double mean(double age, std::int32_t sex, std::int32_t group) const {
    double value = 0;
    fit.evaluate(features.row(age, sex, group).data(), &value);
    return value;
  }
  double change(const ForecastPairs& pairs, std::size_t i) const {
    const double age = pairs.age_of(i);
    const std::int32_t sex = pairs.sex_of(i), group = pairs.group_of(i);
    return mean(age + pairs.years[i], sex, group) - mean(age, sex, group);
  }
};

namespace detail {

struct GlmVisits {
  std::vector<double> age, value;
  std::vector<std::int32_t> sex, group;
};

/// Each visit once, though several pairs may have it: a subject's visits with the same value at the same age are one.
inline GlmVisits glm_visits(const ForecastPairs& pairs) {
  GlmVisits out;
  std::map<std::pair<std::int32_t, double>, std::vector<double>> seen;  // ages of a subject's value
  const auto add = [&](std::size_t i, double age, double value) {
    if (!std::isfinite(age) || !std::isfinite(value)) return;
    std::vector<double>& ages = seen[{pairs.subject[i], value}];
    if (std::any_of(ages.begin(), ages.end(), [&](double a) { return std::abs(a - age) <= horizon_margin; })) return;
    ages.push_back(age);
    out.age.push_back(age), out.value.push_back(value);
    out.sex.push_back(pairs.sex_of(i)), out.group.push_back(pairs.group_of(i));
  };
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    add(i, pairs.age_of(i), pairs.baseline[i]);
    add(i, pairs.age_of(i) + pairs.years[i], pairs.truth[i]);
  }
  return out;
}

inline GlmFeatures glm_features(const GlmVisits& visits) {
  GlmFeatures out;
  Moments sex;
  double grouped = 0;
  for (const std::int32_t s : visits.sex)
    if (s >= 0) sex.add(s);
  for (const std::int32_t g : visits.group)
    if (g >= 0) out.groups[g] += 1, grouped += 1;
  for (auto& [code, share] : out.groups) share /= grouped;
  out.age = moments(visits.age).mean, out.sex = sex.mean;
  return out;
}

}  // namespace detail

/// alpha: the penalty of the ridge regression on standardised features, against the sum of squares over the visits.
/// Throws Error: shape, argument (fewer visits with an age than twice the features), numeric.
template <std::same_as<Cpu> B>
GlmCounterfactual fit_glm_counterfactual(Context<B>& ctx, const ForecastPairs& pairs, double alpha = 1) {
  require_forecast_pairs(pairs);
  const detail::GlmVisits visits = detail::glm_visits(pairs);
  GlmCounterfactual out;
  out.features = detail::glm_features(visits);
  std::vector<double> x;
  for (std::size_t i = 0; i < visits.age.size(); ++i) {
    const std::vector<double> row = out.features.row(visits.age[i], visits.sex[i], visits.group[i]);
    x.insert(x.end(), row.begin(), row.end());
  }
  const Index rows = std::ssize(visits.age), columns = std::ssize(out.features.row(0, 0, 0));
  if (rows < 2 * columns)
    fail(ErrorKind::argument, "floors.visits", "GLM counterfactual: expected at least ", 2 * columns,
         " measured visits with an age, got ", rows);
  out.fit =
      Ridge<double, B>(ctx, FeatureView<double>{x.data(), rows, columns}, visits.value, 1, {.alpha = alpha}).fit();
  return detail::with_error(std::move(out), pairs);
}

}  // namespace braing3n::inline BRAING3N_ABI
