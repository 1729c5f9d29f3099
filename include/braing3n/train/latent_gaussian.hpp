// The normal distribution of training latents that a diffusion transformer starts from (models/gaussian_velocity.hpp).
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <utility>
#include <vector>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/data/latent_data.hpp"
#include "braing3n/linalg/ldlt.hpp"
#include "braing3n/linalg/symmetric_eigen.hpp"
#include "braing3n/models/dit3d.hpp"
#include "braing3n/ops/matmul.hpp"
#include "braing3n/train/leading_latents.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// The training scans block by block, always in the same order.
class TrainingLatents {
 public:
  TrainingLatents(Context<Cpu>& ctx, const LatentData& data, const std::vector<ConditionField>& fields)
      : ctx_(&ctx), data_(&data) {
    std::vector<ConditionRow> rows;
    for (const Index s : data.scans.train) rows.push_back(data.conditions.at(static_cast<std::size_t>(s)));
    const ConditionBatch batch = condition_batch(fields, rows);
    classes_ = required_class(fields, batch, rows.size());
    features_ = condition_features(fields, batch, rows.size());
  }
  std::size_t scans() const { return classes_.size(); }
  std::size_t class_of(std::size_t scan) const { return static_cast<std::size_t>(classes_[scan]); }
  /// (scans, q)
  std::vector<double>& features() { return features_; }
  const std::vector<double>& features() const { return features_; }

  /// visit(first scan's place among the training scans, rows (n, D)).
  template <class Visit>
  void blocks(Visit&& visit) const {
    latent_blocks(*ctx_, *data_, data_->scans.train, visit);
  }

 private:
  Context<Cpu>* ctx_;
  const LatentData* data_;
  std::vector<std::int32_t> classes_;
  std::vector<double> features_;
};

/// Steps of measure_gaussian(), each of which needs those before.
template <std::same_as<Cpu> B>
class GaussianFit {
 public:
  GaussianFit(Context<B>& ctx, const LatentData& data, const Dit3dConfig& config)
      : ctx_(&ctx), latents_(ctx, data, config.conditions), width_(static_cast<std::size_t>(data.file->row_size())),
        rank_(static_cast<std::size_t>(config.gaussian_rank)),
        classes_(static_cast<std::size_t>(required_classes(config.conditions))),
        q_(static_cast<std::size_t>(feature_count(config.conditions))), counts_(classes_, 0.0), f_mean_(q_, 0.0),
        f_covariance_(q_ * q_, 0.0), mean_(classes_ * width_, 0.0), effects_(classes_ * q_ * width_, 0.0) {
    for (std::size_t i = 0; i < scans(); ++i) counts_[latents_.class_of(i)] += 1;
  }

  /// Mean of every feature over those who have it; afterwards features are what differs from it, 0 where nothing is known.
  void centre_features() {
    std::vector<double>& f = latents_.features();
    for (std::size_t j = 0; j < q_; ++j) {
      double known = 0;
      for (std::size_t i = 0; i < scans(); ++i)
        if (!std::isnan(f[i * q_ + j])) f_mean_[j] += f[i * q_ + j], ++known;
      if (known > 0) f_mean_[j] /= known;
      for (std::size_t i = 0; i < scans(); ++i)
        f[i * q_ + j] = std::isnan(f[i * q_ + j]) ? 0.0 : f[i * q_ + j] - f_mean_[j];
    }
    normal_.assign(classes_, std::vector<double>(q_ * q_, 0.0));
    for (std::size_t i = 0; i < scans(); ++i) {
      std::vector<double>& sum = normal_[latents_.class_of(i)];
      for (std::size_t j = 0; j < q_; ++j)
        for (std::size_t l = 0; l < q_; ++l) sum[j * q_ + l] += f[i * q_ + j] * f[i * q_ + l];
    }
    for (const std::vector<double>& sum : normal_)
      for (std::size_t j = 0; j < q_ * q_; ++j) f_covariance_[j] += sum[j] / static_cast<double>(scans());
  }

  /// Means of the classes, then effects by ridge regression.
  void regress() {
    const std::vector<double>& f = latents_.features();
    std::vector<double> all_scans(width_, 0.0), f_sums(classes_ * q_, 0.0);
    latents_.blocks([&](std::size_t begin, const Tensor<double, Cpu>& x) {
      for (std::size_t r = 0; r < static_cast<std::size_t>(x.dim(0)); ++r) {
        const std::size_t c = latents_.class_of(begin + r);
        const double* row = x.data() + r * width_;
        for (std::size_t i = 0; i < width_; ++i) mean_[c * width_ + i] += row[i];
        for (std::size_t j = 0; j < q_; ++j) {
          const double value = f[(begin + r) * q_ + j];
          f_sums[c * q_ + j] += value;
          if (value == 0) continue;
          double* to = effects_.data() + (c * q_ + j) * width_;
          for (std::size_t i = 0; i < width_; ++i) to[i] += value * row[i];
        }
      }
    });
    for (std::size_t c = 0; c < classes_; ++c)
      for (std::size_t i = 0; i < width_; ++i) all_scans[i] += mean_[c * width_ + i] / static_cast<double>(scans());
    for (std::size_t c = 0; c < classes_; ++c) {
      for (std::size_t i = 0; i < width_; ++i)
        mean_[c * width_ + i] = counts_[c] > 0 ? mean_[c * width_ + i] / counts_[c] : all_scans[i];
      double* b = effects_.data() + c * q_ * width_;
      for (std::size_t j = 0; j < q_; ++j) {
        for (std::size_t i = 0; i < width_; ++i) b[j * width_ + i] -= f_sums[c * q_ + j] * mean_[c * width_ + i];
        normal_[c][j * q_ + j] += effect_prior * f_covariance_[j * q_ + j] + 1e-6 * static_cast<double>(scans());
      }
      ldlt_solve<double>(normal_[c], static_cast<Index>(q_), {b, q_ * width_}, static_cast<Index>(width_));
    }
  }

  void find_directions() {
    basis_ = leading_latents(*ctx_, static_cast<Index>(width_), static_cast<Index>(rank_), static_cast<Index>(scans()),
                             [&](auto&& visit) {
                               centred_blocks(false, [&](std::size_t, const Tensor<double, Cpu>& x) { visit(x); });
                             })
                 .vectors;
  }

  /// Turns the directions within the space they span, so that what scans differ by beside the effects is uncorrelated along them: the distribution has one
  /// variance per direction, and what the effects explain must not stay in it.
  void turn_directions() {
    const auto k = static_cast<Index>(rank_);
    Tensor<double, Cpu> covariance = Tensor<double, Cpu>::zeros(*ctx_, {k, k});
    centred_blocks(true, [&](std::size_t, const Tensor<double, Cpu>& x) {
      const Tensor<double, Cpu> y = matmul_forward(x, basis_, {.transpose_b = true});
      covariance = add_scaled_forward(covariance, matmul_forward(y, y, {.transpose_a = true}),
                                      1.0 / static_cast<double>(scans()));
    });
    const SymmetricEigen e = symmetric_eigen(covariance.to_host(), k);
    basis_ = matmul_forward(Tensor<double, Cpu>::from_host(*ctx_, {k, k}, e.vectors), basis_, {.transpose_a = true});
  }

  /// (classes, k + 1): squares along the directions, and in the last column those of everything else, per value.
  std::vector<double> variances() const {
    std::vector<double> v(classes_ * (rank_ + 1), 0.0), together(rank_ + 1, 0.0);
    centred_blocks(true, [&](std::size_t begin, const Tensor<double, Cpu>& x) {
      const Tensor<double, Cpu> y = matmul_forward(x, basis_, {.transpose_b = true});
      for (std::size_t r = 0; r < static_cast<std::size_t>(x.dim(0)); ++r) {
        double* to = v.data() + latents_.class_of(begin + r) * (rank_ + 1);
        double left = 0;
        for (std::size_t i = 0; i < width_; ++i) left += x.data()[r * width_ + i] * x.data()[r * width_ + i];
        for (std::size_t k = 0; k < rank_; ++k) {
          const double square = y.data()[r * rank_ + k] * y.data()[r * rank_ + k];
          to[k] += square;
          left -= square;
        }
        if (rank_ < width_) to[rank_] += std::max(left, 0.0) / static_cast<double>(width_ - rank_);
      }
    });
    for (std::size_t c = 0; c < classes_; ++c)
      for (std::size_t k = 0; k <= rank_; ++k) together[k] += v[c * (rank_ + 1) + k] / static_cast<double>(scans());
    for (std::size_t c = 0; c < classes_; ++c)
      for (std::size_t k = 0; k <= rank_; ++k) {
        double& value = v[c * (rank_ + 1) + k];
        value = std::max(least_variance, (value + variance_prior * together[k]) / (counts_[c] + variance_prior));
      }
    return v;
  }

  void store(GaussianVelocity<Cpu, F32>& g) const {
    const auto put = [&](auto& parameter, const std::vector<double>& values) {
      parameter.adopt(
          Tensor<float, Cpu>::from_host(*ctx_, parameter.shape(), std::vector<float>(values.begin(), values.end())));
    };
    put(g.mean, mean_);
    put(g.variances, variances());
    g.basis.adopt(cast<float>(basis_));
    if (q_ == 0) return;
    const Tensor<double, Cpu> b = Tensor<double, Cpu>::from_host(
        *ctx_, {static_cast<Index>(classes_ * q_), static_cast<Index>(width_)}, effects_);
    g.effects.adopt(cast<float>(matmul_forward(b, basis_, {.transpose_b = true})).reshape(g.effects.shape()));
    put(g.feature_mean, f_mean_);
    put(g.feature_covariance, f_covariance_);
  }

 private:
  // Scans' worth of no effect and of the variances of all classes, to which those of a class are drawn; latents have variance 1 over all.
  static constexpr double effect_prior = 4, variance_prior = 16, least_variance = 1e-4;

  std::size_t scans() const { return latents_.scans(); }

  /// Scans less the mean of their class, and less the effects.
  template <class Visit>
  void centred_blocks(bool without_effects, Visit&& visit) const {
    const std::vector<double>& f = latents_.features();
    latents_.blocks([&](std::size_t begin, Tensor<double, Cpu> x) {
      ctx_->host_parallel_range(x.dim(0), 8, [&](Index first, Index last) {
        for (auto r = static_cast<std::size_t>(first); r < static_cast<std::size_t>(last); ++r) {
          const std::size_t c = latents_.class_of(begin + r);
          double* row = x.data() + r * width_;
          for (std::size_t i = 0; i < width_; ++i) row[i] -= mean_[c * width_ + i];
          for (std::size_t j = 0; without_effects && j < q_; ++j) {
            const double value = f[(begin + r) * q_ + j];
            if (value == 0) continue;
            const double* b = effects_.data() + (c * q_ + j) * width_;
            for (std::size_t i = 0; i < width_; ++i) row[i] -= value * b[i];
          }
        }
      });
      visit(begin, std::as_const(x));
    });
  }

  Context<Cpu>* ctx_;
  TrainingLatents latents_;
  std::size_t width_, rank_, classes_, q_;
  std::vector<double> counts_;  // scans of each class
  std::vector<double> f_mean_, f_covariance_;
  std::vector<std::vector<double>> normal_;  // per class: sums of products of features
  std::vector<double> mean_;                 // (classes, D)
  std::vector<double> effects_;              // (classes, q, D)
  Tensor<double, Cpu> basis_;                // (k, D)
};

}  // namespace detail

/// Estimates the joint distribution of the standardised training latents and their conditions and puts it into the model, whose parameters must have
/// values. A missing value counts as the mean of the others. Effects of conditions are linear regressions, in every class; the
/// directions span the space in which the scans of a class differ most, found by four rounds of subspace iteration (Halko et al. 2011), and are
/// in it those along which scans vary independently beside the effects. Where a class has few scans its effects
/// are drawn to nothing and its variances to those of all classes. Throws Error (config) for more directions than the scans can show.
template <std::same_as<Cpu> B>
void measure_gaussian(Context<B>& ctx, const LatentData& data, Dit3d<Cpu, F32>& model) {
  const Index rank = model.config.gaussian_rank, scans = static_cast<Index>(data.scans.train.size());
  if (2 * rank > scans)
    fail(ErrorKind::config, "dit3d.gaussian_rank", "dit3d: a normal distribution with ", rank,
         " directions: expected at least ", 2 * rank, " training scans, got ", scans);
  detail::GaussianFit<B> fit(ctx, data, model.config);
  fit.centre_features();
  fit.regress();
  fit.find_directions();
  fit.turn_directions();
  fit.store(model.gaussian);
}

}  // namespace braing3n::inline BRAING3N_ABI
