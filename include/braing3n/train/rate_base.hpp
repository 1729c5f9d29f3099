// The linear part of a field of rates, by ridge regression on the training pairs (models/linear_rate.hpp).
//
// Every pair of visits gives a row: the latents of the first visit, the features of age and conditions averaged over the interval, and the
// rate, which holds -n_0 / dt of the first scan's noise n_0. Noise would so look like a change back to the mean. X^T Y is corrected by the noise's
// covariance (train/scan_noise.hpp), and so is the error on the validation pairs that chooses the penalty. Rows weigh what
// train/rate_weights.hpp says. Errors in variables: Fuller, Measurement Error Models (1987), chapter 2.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <span>
#include <utility>
#include <vector>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/data/latent_data.hpp"
#include "braing3n/data/visit_pairs.hpp"
#include "braing3n/linalg/llt.hpp"
#include "braing3n/models/rate_field.hpp"
#include "braing3n/ops/matmul.hpp"
#include "braing3n/train/leading_latents.hpp"
#include "braing3n/train/rate_weights.hpp"
#include "braing3n/train/scan_noise.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// Steps of fit_linear_rate().
template <std::same_as<Cpu> B>
class LinearRateFit {
 public:
  using Matrix = Tensor<double, Cpu>;

  LinearRateFit(Context<B>& ctx, const LatentData& data, const RateFieldConfig& config, double full_weight_years)
      : ctx_(&ctx), data_(&data), config_(config), full_(full_weight_years), width_(data.file->row_size()),
        rank_(config.rank), q_(rate_feature_count(config.network.conditions)) {}

  /// The mean of the training visits and their leading directions, each over its standard deviation.
  void find_directions() {
    mean_.assign(static_cast<std::size_t>(width_), 0.0);
    const std::span<const Index> rows(data_->scans.train);
    blocks(rows, [&](const Matrix& x) {
      for (Index at = 0; at < x.size(); ++at)
        mean_[static_cast<std::size_t>(at % width_)] += x.data()[at] / static_cast<double>(rows.size());
    });
    const LeadingEigen leading = leading_latents(*ctx_, width_, rank_, std::ssize(rows), [&](auto&& visit) {
      blocks(rows, [&](Matrix x) {
        centre(x);
        visit(x);
      });
    });
    directions_ = Matrix(*ctx_, {rank_, width_});
    for (Index k = 0; k < rank_; ++k) {
      const double sd = std::sqrt(std::max(leading.values[static_cast<std::size_t>(k)], 1e-12));
      for (Index i = 0; i < width_; ++i)
        directions_.data()[k * width_ + i] = leading.vectors.data()[k * width_ + i] / sd;
    }
  }

  /// Rows of some pairs: the design, changes in unit_years (D values each), weights and the years between the visits.
  struct PairRows {
    Matrix design, rates;                // (n, k + q + 1), (n, D)
    std::vector<double> weights, years;  // (n)
  };
  template <class Visit>
  void pair_blocks(std::span<const VisitPair> pairs, Visit&& visit) const {
    constexpr std::size_t block = 256;
    for (std::size_t begin = 0; begin < pairs.size(); begin += block) {
      const std::span<const VisitPair> some = pairs.subspan(begin, std::min(block, pairs.size() - begin));
      const Index n = std::ssize(some);
      std::vector<Index> from, to;
      PairRows rows;
      for (const VisitPair& p : some) {
        from.push_back(p.from), to.push_back(p.to);
        rows.years.push_back(p.years), rows.weights.push_back(rate_weight(p.years, full_));
      }
      const auto latents = [&](const std::vector<Index>& of) {
        return cast<double>(latent_batch(*ctx_, *data_, of)).reshape({n, width_});
      };
      Matrix x = latents(from);
      rows.rates = latents(to);
      for (Index p = 0; p < n; ++p) {
        const double scale = config_.unit_years / rows.years[static_cast<std::size_t>(p)];
        for (Index i = 0; i < width_; ++i) {
          double& rate = rows.rates.data()[p * width_ + i];
          rate = scale * (rate - x.data()[p * width_ + i]);
        }
      }
      centre(x);
      rows.design = design(x, some);
      visit(std::as_const(rows));
    }
  }

  /// Mean of every feature over the rows of the pairs that have it.
  void centre_features(std::span<const VisitPair> pairs) {
    f_mean_.assign(static_cast<std::size_t>(q_), 0.0);
    std::vector<double> known(f_mean_.size(), 0.0);
    const std::vector<double> f = features(pairs);
    for (std::size_t i = 0; i < f.size(); ++i)
      if (!std::isnan(f[i])) f_mean_[i % known.size()] += f[i], ++known[i % known.size()];
    for (std::size_t j = 0; j < known.size(); ++j)
      if (known[j] > 0) f_mean_[j] /= known[j];
  }

  /// X^T W X, X^T W Y, the sum of the weights, and what scan noise takes from X^T W Y in the directions (k, D), as a share of that sum.
  struct Moments {
    Matrix xx, xy, noise;
    double weight = 0;
  };
  Moments moments(std::span<const VisitPair> pairs) const {
    const Index p = columns();
    Moments m{Matrix::zeros(*ctx_, {p, p}), Matrix::zeros(*ctx_, {p, width_}), {}, 0.0};
    double per_noise = 0;
    pair_blocks(pairs, [&](const PairRows& rows) {
      const Matrix wx = scaled_rows(rows.design, rows.weights);
      m.xx = add_scaled_forward(m.xx, matmul_forward(wx, rows.design, {.transpose_a = true}), 1.0);
      m.xy = add_scaled_forward(m.xy, matmul_forward(wx, rows.rates, {.transpose_a = true}), 1.0);
      for (std::size_t i = 0; i < rows.years.size(); ++i) {
        m.weight += rows.weights[i];
        per_noise += rows.weights[i] * config_.unit_years / rows.years[i];
      }
    });
    m.noise = scale_forward(noise(pairs, solve(m, conditions_only)), per_noise / m.weight);
    for (Index k = 0; k < rank_; ++k)
      for (Index i = 0; i < width_; ++i) m.xy.data()[k * width_ + i] += m.weight * m.noise.data()[k * width_ + i];
    return m;
  }

  /// Covariance of scan noise (k, D), from what coefficients (D, p) leave of the changes: change that is known only makes the estimate worse.
  Matrix noise(std::span<const VisitPair> pairs, const Matrix& known) const {
    NoiseFit fit(*ctx_, rank_, width_);
    pair_blocks(pairs, [&](const PairRows& rows) {
      std::vector<double> to_change;
      for (const double years : rows.years) to_change.push_back(years / config_.unit_years);
      const Matrix left =
                       add_scaled_forward(rows.rates, matmul_forward(rows.design, known, {.transpose_b = true}), -1.0),
                   change = scaled_rows(left, to_change);
      fit.add(matmul_forward(change, directions_, {.transpose_b = true}), change, rows.years, full_);
    });
    return fit.noise();
  }

  /// The coefficients (D, p) for a penalty on the directions, as a share of the sum of the weights. The conditions have a small one of their own, the
  /// intercept has none.
  Matrix solve(const Moments& m, double penalty) const {
    const Index p = columns();
    std::vector<double> a = m.xx.to_host();
    for (Index c = 0; c + 1 < p; ++c)
      a[static_cast<std::size_t>(c * p + c)] += m.weight * (c < rank_ ? penalty : condition_penalty);
    a.back() += 1e-12 * m.weight;
    const Llt<double> factor = llt<double>(*ctx_, std::span<const double>(a), p);
    std::vector<double> rows(static_cast<std::size_t>(m.xy.size()));
    for (Index c = 0; c < p; ++c)
      for (Index i = 0; i < width_; ++i) rows[static_cast<std::size_t>(i * p + c)] = m.xy.data()[c * width_ + i];
    llt_solve(factor, std::span<double>(rows));
    return Matrix::from_host(*ctx_, {width_, p}, rows);
  }

  /// Weighted mean squared errors of the rates, for several coefficients (D, p), less what they share with the noise of the first visit.
  std::vector<double> errors(std::span<const VisitPair> pairs, const std::vector<Matrix>& coefficients,
                             const Moments& train) const {
    std::vector<double> sum(coefficients.size(), 0.0);
    double weight = 0;
    pair_blocks(pairs, [&](const PairRows& rows) {
      for (std::size_t k = 0; k < coefficients.size(); ++k) {
        const Matrix predicted = matmul_forward(rows.design, coefficients[k], {.transpose_b = true});
        for (Index r = 0; r < predicted.dim(0); ++r) {
          double squares = 0;
          for (Index i = 0; i < width_; ++i) {
            const double e = predicted.data()[r * width_ + i] - rows.rates.data()[r * width_ + i];
            squares += e * e;
          }
          sum[k] += rows.weights[static_cast<std::size_t>(r)] * squares / static_cast<double>(width_);
        }
      }
      for (const double w : rows.weights) weight += w;
    });
    for (std::size_t k = 0; k < sum.size(); ++k)
      sum[k] = sum[k] / weight - 2 * shared_noise(coefficients[k], train.noise) / static_cast<double>(width_);
    return sum;
  }

  void store(LinearRate<Cpu, F32>& to, const Matrix& coefficients) const {
    const Index p = columns();
    const auto put = [&](auto& parameter, std::vector<float> values) {
      parameter.adopt(Tensor<float, Cpu>::from_host(*ctx_, parameter.shape(), values));
    };
    const auto columns_of = [&](Index first, Index count) {
      std::vector<float> values(static_cast<std::size_t>(width_ * count));
      for (Index i = 0; i < width_; ++i)
        for (Index c = 0; c < count; ++c)
          values[static_cast<std::size_t>(i * count + c)] = static_cast<float>(coefficients.data()[i * p + first + c]);
      return values;
    };
    std::vector<float> offset(static_cast<std::size_t>(rank_));
    for (Index k = 0; k < rank_; ++k) {
      double dot = 0;
      for (Index i = 0; i < width_; ++i) dot += directions_.data()[k * width_ + i] * mean_[static_cast<std::size_t>(i)];
      offset[static_cast<std::size_t>(k)] = static_cast<float>(-dot);
    }
    put(to.offset, offset);
    put(to.weight, columns_of(0, rank_));
    put(to.effects, columns_of(rank_, q_));
    put(to.bias, columns_of(rank_ + q_, 1));
    put(to.feature_mean, std::vector<float>(f_mean_.begin(), f_mean_.end()));
    to.directions.adopt(cast<float>(directions_));
  }

 private:
  static constexpr double condition_penalty = 1e-3, conditions_only = 100;  // the last leaves the directions out

  Index columns() const { return rank_ + q_ + 1; }

  std::vector<double> features(std::span<const VisitPair> pairs) const {
    std::vector<ConditionRow> rows;
    std::vector<double> first, last;
    for (const VisitPair& p : pairs) {
      rows.push_back(data_->conditions.at(static_cast<std::size_t>(p.from)));
      first.push_back(p.age), last.push_back(p.age + p.years);
    }
    const std::vector<ConditionField>& fields = config_.network.conditions;
    return mean_rate_features(fields, condition_batch(fields, rows), first, last);
  }

  Matrix design(const Matrix& centred, std::span<const VisitPair> pairs) const {
    const Matrix y = matmul_forward(centred, directions_, {.transpose_b = true});
    const std::vector<double> f = features(pairs);
    const Index n = y.dim(0), p = columns();
    Matrix x(*ctx_, {n, p});
    for (Index r = 0; r < n; ++r) {
      double* to = x.data() + r * p;
      to = std::copy_n(y.data() + r * rank_, rank_, to);
      for (Index j = 0; j < q_; ++j) {
        const double value = f[static_cast<std::size_t>(r * q_ + j)];
        *to++ = std::isnan(value) ? 0.0 : value - f_mean_[static_cast<std::size_t>(j)];
      }
      *to = 1;
    }
    return x;
  }

  void centre(Matrix& x) const {
    for (Index at = 0; at < x.size(); ++at) x.data()[at] -= mean_[static_cast<std::size_t>(at % width_)];
  }
  template <class Visit>
  void blocks(std::span<const Index> rows, Visit&& visit) const {
    latent_blocks(*ctx_, *data_, rows, [&](std::size_t, Matrix x) { visit(std::move(x)); });
  }

  Context<B>* ctx_;
  const LatentData* data_;
  RateFieldConfig config_;
  double full_;  // years from which a rate counts fully
  Index width_, rank_, q_;
  std::vector<double> mean_, f_mean_;
  Matrix directions_;
};

}  // namespace detail

/// The penalty that was chosen, and the weighted squared error of the validation pairs' rates, per value, in the units of the field, less what it
/// shares with the noise of the first visits.
struct LinearRateReport {
  double penalty = 0, error = 0;
  double no_change = 0;  // the error of a rate of 0
};

/// Fits the linear part of a field to the training pairs and puts it into the model, whose parameters must have values. Pairs are as
/// forecast_training_pairs() gives them. Throws Error: config (more directions than the training visits can show), numeric.
template <std::same_as<Cpu> B>
LinearRateReport fit_linear_rate(Context<B>& ctx, const LatentData& data, std::span<const VisitPair> train,
                                 std::span<const VisitPair> validation, double full_weight_years,
                                 RateField3d<Cpu, F32>& model) {
  const Index rank = model.config.rank, visits = std::ssize(data.scans.train);
  if (2 * rank > visits)
    fail(ErrorKind::config, "rate_field.rank", "rate field: a linear rate with ", rank,
         " directions: expected at least ", 2 * rank, " training visits, got ", visits);
  detail::LinearRateFit<B> fit(ctx, data, model.config, full_weight_years);
  fit.find_directions();
  fit.centre_features(train);
  const auto moments = fit.moments(train);
  constexpr double penalties[] = {1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0};
  std::vector<Tensor<double, Cpu>> coefficients;
  for (const double penalty : penalties) coefficients.push_back(fit.solve(moments, penalty));
  coefficients.push_back(Tensor<double, Cpu>::zeros(ctx, coefficients[0].shape()));  // no change
  const std::vector<double> errors = fit.errors(validation, coefficients, moments);
  const auto best = static_cast<std::size_t>(std::min_element(errors.begin(), errors.end() - 1) - errors.begin());
  fit.store(model.linear, coefficients[best]);
  return {penalties[best], errors[best], errors.back()};
}

}  // namespace braing3n::inline BRAING3N_ABI
