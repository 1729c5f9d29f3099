// What can be known of a phantom's change at its first visit: the expected true change given disease, age, sex and the true volumes of
// that day. What is left is the subject's own rate, which no first scan shows in full: no model can forecast it.
//
// For every disease and horizon y a ridge regression of the yearly change, fitted on subjects drawn without images. x are age, sex,
// log brain, log (grey matter / brain), log ventricles, log hippocampi, in standard deviations of the disease:
//
//   change / y = w . f(x),  f = 1, x_i, x_i x_j (27 terms),  (F'F / n + 1e-6 I) w = F'c / n
//   variance of change / y = v0 + v1 p + v2 p^2,  p = w . f(x), by least squares on the squared residuals, a twentieth of their mean at least
//
// Between horizons the yearly change and its standard deviation are linear in y, below the first horizon they are those of the first.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "braing3n/base/moments.hpp"
#include "braing3n/linalg/ldlt.hpp"
#include "braing3n/phantom/truth.hpp"

namespace braing3n::inline BRAING3N_ABI::phantom {

/// The volumes whose change is forecast, as columns of truth.csv.
inline constexpr std::array<const char*, 4> change_columns = {"brain_ml", "ventricles_ml", "hippocampi_ml",
                                                              "grey_matter_ml"};
using VolumeChanges = std::array<double, change_columns.size()>;  // ml

inline VolumeChanges changes_of(const Truth& from, const Truth& to) {
  return {to.brain - from.brain, to.ventricles - from.ventricles, to.hippocampi - from.hippocampi,
          to.grey_matter - from.grey_matter};
}

/// What "true" means: the volumes that expected_truth() gives, or those of rendered heads (truth.csv), which as_rendered() imitates.
/// Folding hides a part of what the volumes say of a subject's cortex.
enum class TrueVolumes { expected, rendered };

/// Expected changes in ml and the standard deviations of the true ones about them.
struct ExpectedChanges {
  VolumeChanges ml{}, sd{};
};

namespace detail {

inline constexpr std::size_t oracle_input_count = 6, oracle_term_count = 1 + 6 + 6 * 7 / 2 - 1;
using OracleInputs = std::array<double, oracle_input_count>;
using OracleTerms = std::array<double, oracle_term_count>;

inline OracleInputs oracle_inputs(double age, Sex sex, const Truth& t) {
  return {age,
          sex == Sex::male ? 1.0 : 0.0,
          std::log(t.brain),
          std::log(t.grey_matter / t.brain),
          std::log(t.ventricles),
          std::log(t.hippocampi)};
}

/// Terms of standardised inputs. The square of sex is left out: it is a sum of other terms.
inline OracleTerms oracle_terms(const OracleInputs& x) {
  OracleTerms f{};
  std::size_t at = 0;
  f[at++] = 1;
  for (const double v : x) f[at++] = v;
  for (std::size_t i = 0; i < x.size(); ++i)
    for (std::size_t j = i; j < x.size(); ++j)
      if (i != 1 || j != 1) f[at++] = x[i] * x[j];
  return f;
}

/// (F'F / n + ridge I)^-1 F'y / n for rows of K terms and columns of M targets; w[k][m].
template <std::size_t K, std::size_t M>
std::array<std::array<double, M>, K> ridge_fit(const std::vector<std::array<double, K>>& rows,
                                               const std::vector<std::array<double, M>>& targets, double ridge) {
  std::vector<double> gram(K * K, 0.0), right(K * M, 0.0);
  const double weight = 1 / static_cast<double>(rows.size());
  for (std::size_t r = 0; r < rows.size(); ++r)
    for (std::size_t i = 0; i < K; ++i) {
      for (std::size_t j = 0; j < K; ++j) gram[i * K + j] += weight * rows[r][i] * rows[r][j];
      for (std::size_t m = 0; m < M; ++m) right[i * M + m] += weight * rows[r][i] * targets[r][m];
    }
  for (std::size_t i = 0; i < K; ++i) gram[i * K + i] += ridge;
  ldlt_solve<double>(gram, static_cast<Index>(K), right, static_cast<Index>(M));
  std::array<std::array<double, M>, K> w{};
  for (std::size_t i = 0; i < K; ++i)
    for (std::size_t m = 0; m < M; ++m) w[i][m] = right[i * M + m];
  return w;
}

/// The regression of yearly changes at one horizon.
struct HorizonFit {
  std::array<VolumeChanges, oracle_term_count> weights{};
  std::array<std::array<double, 3>, change_columns.size()> variance{};  // on 1, p, p^2
  VolumeChanges least_variance{};

  VolumeChanges rate(const OracleTerms& f) const {
    VolumeChanges p{};
    for (std::size_t k = 0; k < f.size(); ++k)
      for (std::size_t m = 0; m < p.size(); ++m) p[m] += f[k] * weights[k][m];
    return p;
  }
  double rate_sd(std::size_t m, double p) const {
    return std::sqrt(std::max(variance[m][0] + p * (variance[m][1] + p * variance[m][2]), least_variance[m]));
  }
};

inline HorizonFit fit_horizon(const std::vector<OracleTerms>& terms, const std::vector<VolumeChanges>& rates) {
  HorizonFit fit;
  fit.weights = ridge_fit(terms, rates, 1e-6);
  for (std::size_t m = 0; m < change_columns.size(); ++m) {
    std::vector<std::array<double, 3>> rows;
    std::vector<std::array<double, 1>> squares;
    double scale = 0, mean = 0;
    for (std::size_t i = 0; i < rates.size(); ++i) {
      const double p = fit.rate(terms[i])[m], residual = rates[i][m] - p;
      rows.push_back({1, p, p * p});
      squares.push_back({residual * residual});
      scale = std::max(scale, std::abs(p));
      mean += residual * residual / static_cast<double>(rates.size());
    }
    fit.least_variance[m] = 0.05 * mean;
    if (!(scale > 0)) continue;  // a volume that never changes
    for (auto& row : rows) row = {1, row[1] / scale, row[2] / (scale * scale)};
    const auto w = ridge_fit(rows, squares, 1e-9);
    fit.variance[m] = {w[0][0], w[1][0] / scale, w[2][0] / (scale * scale)};
  }
  return fit;
}

/// The regressions of one disease.
struct DiseaseFit {
  OracleInputs mean{}, sd{};
  std::vector<HorizonFit> horizons;

  OracleTerms terms(OracleInputs x) const {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = (x[i] - mean[i]) / sd[i];
    return oracle_terms(x);
  }
};

/// True volumes of a subject at the first visit (years 0) and later.
class TrueVolumesOf {
 public:
  TrueVolumesOf(const Subject& s, TrueVolumes kind) : subject_(&s), start_(expected_truth(s, s.first_age)) {
    if (kind == TrueVolumes::rendered) folding_ = draw_folding(s);
  }
  Truth operator()(double years) const {
    const Truth at = years == 0 ? start_ : expected_truth(*subject_, subject_->first_age + years);
    return folding_ ? as_rendered(start_, at, *folding_) : at;
  }

 private:
  const Subject* subject_;
  Truth start_;
  std::optional<FoldingDeviation> folding_;
};

inline DiseaseFit fit_disease(const std::vector<Subject>& subjects, std::span<const double> years, TrueVolumes kind) {
  DiseaseFit fit;
  std::vector<TrueVolumesOf> volumes;
  std::vector<Truth> first;
  std::vector<OracleInputs> inputs;
  for (const Subject& s : subjects) {
    first.push_back(volumes.emplace_back(s, kind)(0));
    inputs.push_back(oracle_inputs(s.first_age, s.sex, first.back()));
  }
  for (std::size_t i = 0; i < oracle_input_count; ++i) {
    const Moments m = moments(inputs, [i](const OracleInputs& x) { return x[i]; });
    fit.mean[i] = m.mean;
    fit.sd[i] = m.standard_deviation() > 0 ? m.standard_deviation() : 1;
  }
  std::vector<OracleTerms> terms;
  for (const OracleInputs& x : inputs) terms.push_back(fit.terms(x));
  for (const double y : years) {
    std::vector<VolumeChanges> rates;
    for (std::size_t i = 0; i < subjects.size(); ++i) {
      rates.push_back(changes_of(first[i], volumes[i](y)));
      for (double& v : rates.back()) v /= y;
    }
    fit.horizons.push_back(fit_horizon(terms, rates));
  }
  return fit;
}

}  // namespace detail

class ChangeOracle {
 public:
  /// years: ascending, above 0. Diseases with fewer than 300 of the subjects are not fitted. Throws Error (argument).
  ChangeOracle(std::span<const Subject> subjects, std::span<const double> years, TrueVolumes kind)
      : years_(years.begin(), years.end()) {
    for (std::size_t i = 0; i < years_.size(); ++i)
      if (!(years_[i] > (i == 0 ? 0 : years_[i - 1])) || !std::isfinite(years_[i]))
        fail(ErrorKind::argument, "oracle.years", "oracle of changes: horizon ", i + 1,
             ": expected ascending years above 0, got ", years_[i]);
    if (years_.empty()) fail(ErrorKind::argument, "oracle.years", "oracle of changes: expected horizons, got none");
    bool any = false;
    for (std::size_t d = 0; d < paper_diseases.size(); ++d) {
      std::vector<Subject> group;
      for (const Subject& s : subjects)
        if (s.disease == paper_diseases[d]) group.push_back(s);
      if (group.size() < fewest) continue;
      fits_[d] = detail::fit_disease(group, years_, kind);
      any = true;
    }
    if (!any)
      fail(ErrorKind::argument, "oracle.draws", "oracle of changes: expected ", fewest, " subjects of a disease, got ",
           subjects.size(), " of all");
  }

  /// Expected changes of a subject from its first visit on. age: years at the first visit; baseline: its true volumes then; years: 0 to
  /// the last horizon. Throws Error (argument).
  ExpectedChanges predict(Disease disease, double age, Sex sex, const Truth& baseline, double years) const {
    if (!(years >= 0 && years <= years_.back()))
      fail(ErrorKind::argument, "oracle.horizon", "oracle of changes: expected 0 to ", years_.back(), " years, got ",
           years);
    for (const double ml : {baseline.brain, baseline.grey_matter, baseline.ventricles, baseline.hippocampi})
      if (!(ml > 0))
        fail(ErrorKind::argument, "oracle.volume", "oracle of changes: expected volumes above 0 ml, got brain ",
             baseline.brain, ", grey matter ", baseline.grey_matter, ", ventricles ", baseline.ventricles,
             ", hippocampi ", baseline.hippocampi);
    const detail::DiseaseFit& fit = fit_of(disease);
    const detail::OracleTerms f = fit.terms(detail::oracle_inputs(age, sex, baseline));
    const std::size_t above =
        static_cast<std::size_t>(std::lower_bound(years_.begin(), years_.end(), years) - years_.begin());
    const std::size_t below = above == 0 ? 0 : above - 1;
    const double share = above == below ? 0 : (years - years_[below]) / (years_[above] - years_[below]);
    const VolumeChanges a = fit.horizons[below].rate(f), b = fit.horizons[above].rate(f);
    ExpectedChanges e;
    for (std::size_t m = 0; m < a.size(); ++m) {
      e.ml[m] = years * ((1 - share) * a[m] + share * b[m]);
      e.sd[m] =
          years * ((1 - share) * fit.horizons[below].rate_sd(m, a[m]) + share * fit.horizons[above].rate_sd(m, b[m]));
    }
    return e;
  }

  std::span<const double> years() const { return years_; }
  static constexpr std::size_t fewest = 300;

 private:
  const detail::DiseaseFit& fit_of(Disease disease) const {
    const auto d = static_cast<std::size_t>(std::find(paper_diseases.begin(), paper_diseases.end(), disease) -
                                            paper_diseases.begin());
    if (d == paper_diseases.size() || !fits_[d])
      fail(ErrorKind::argument, "oracle.disease", "oracle of changes: expected a disease with ", fewest,
           " draws at least, got ", enum_name(disease));
    return *fits_[d];
  }

  std::vector<double> years_;
  std::array<std::optional<detail::DiseaseFit>, paper_diseases.size()> fits_{};
};

/// The oracle of a distribution, fitted on the first `draws` subjects of the options' seed: take another seed than that of the cohort it
/// is compared with. 100,000 draws take some seconds. Throws Error (argument).
inline ChangeOracle fit_change_oracle(const CohortOptions& options, Index draws, std::span<const double> years,
                                      TrueVolumes kind = TrueVolumes::rendered) {
  std::vector<Subject> subjects;
  for (Index i = 0; i < draws; ++i) subjects.push_back(draw_subject(options, static_cast<std::uint32_t>(i)));
  return ChangeOracle(subjects, years, kind);
}

}  // namespace braing3n::inline BRAING3N_ABI::phantom
