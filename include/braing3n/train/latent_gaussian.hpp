// The normal law of training latents that a diffusion transformer starts from (models/gaussian_velocity.hpp).
#pragma once

#include <algorithm>
#include <vector>

#include "braing3n/models/dit3d.hpp"
#include "braing3n/probe/leading_eigen.hpp"
#include "braing3n/train/latent_data.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// The training scans block by block, always in the same order.
class TrainingLatents {
 public:
  TrainingLatents(Context<Cpu>& ctx, const LatentData& data, const std::vector<ConditionField>& fields) : ctx_(&ctx), data_(&data) {
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

  /// visit(first scan's place among the training scans, rows (n, D)).
  template <class Visit>
  void blocks(Visit&& visit) const {
    const std::span<const Index> scans(data_->scans.train);
    for (std::size_t begin = 0; begin < scans.size(); begin += block) {
      const std::size_t n = std::min(block, scans.size() - begin);
      visit(begin, cast<double>(latent_batch(*ctx_, *data_, scans.subspan(begin, n))).reshape({static_cast<Index>(n), data_->file->row_size()}));
    }
  }

 private:
  static constexpr std::size_t block = 512;
  Context<Cpu>* ctx_;
  const LatentData* data_;
  std::vector<std::int32_t> classes_;
  std::vector<double> features_;
};

/// a (q, q) <- its inverse times b (q, n), a symmetric and positive definite.
inline void solve_in_place(std::vector<double> a, std::size_t q, double* b, std::size_t n) {
  for (std::size_t p = 0; p < q; ++p) {
    const double pivot = a[p * q + p];
    for (std::size_t i = 0; i < q; ++i) {
      if (i == p) continue;
      const double share = a[i * q + p] / pivot;
      if (share == 0) continue;
      for (std::size_t j = p; j < q; ++j) a[i * q + j] -= share * a[p * q + j];
      for (std::size_t j = 0; j < n; ++j) b[i * n + j] -= share * b[p * n + j];
    }
  }
  for (std::size_t p = 0; p < q; ++p)
    for (std::size_t j = 0; j < n; ++j) b[p * n + j] /= a[p * q + p];
}

}  // namespace detail

/// Measures the joint law of the standardised training latents and their conditions and puts it into the model, whose parameters must have
/// values. What nobody knows of a scan counts as the mean of the others. Effects of conditions are linear regressions, in every class; the
/// directions are those in which the scans of a class differ most, found by four rounds of subspace iteration (Halko et al. 2011): good
/// directions are enough, for what scans differ by beside the effects is measured along them. Where a class has few scans its effects
/// are drawn to nothing and its variances to those of all classes. Throws Error (config) for more directions than the scans can show.
inline void measure_gaussian(Context<Cpu>& ctx, const LatentData& data, Dit3d<Cpu, F32>& model) {
  constexpr double effect_prior = 4, prior = 16;  // scans' worth of that
  constexpr double least = 1e-4;  // variance, where that of all latents together is 1
  const std::vector<ConditionField>& fields = model.config.conditions;
  const auto width = static_cast<std::size_t>(data.file->row_size()), rank = static_cast<std::size_t>(model.config.gaussian_rank),
             classes = static_cast<std::size_t>(required_classes(fields)), q = static_cast<std::size_t>(feature_count(fields)), scans = data.scans.train.size();
  if (2 * rank > scans)
    fail(ErrorKind::config, "dit3d.gaussian_rank", "dit3d: a normal law with ", rank, " directions wants at least ", 2 * rank, " training scans, there are ", scans);
  const auto count = static_cast<double>(scans);
  detail::TrainingLatents latents(ctx, data, fields);

  // Features: mean over those known, 0 after centring where nothing is known, and their covariance.
  std::vector<double>& f = latents.features();
  std::vector<double> f_mean(q, 0.0), f_covariance(q * q, 0.0);
  for (std::size_t j = 0; j < q; ++j) {
    double known = 0;
    for (std::size_t i = 0; i < scans; ++i)
      if (!std::isnan(f[i * q + j])) f_mean[j] += f[i * q + j], ++known;
    if (known > 0) f_mean[j] /= known;
    for (std::size_t i = 0; i < scans; ++i) f[i * q + j] = std::isnan(f[i * q + j]) ? 0.0 : f[i * q + j] - f_mean[j];
  }
  std::vector<std::vector<double>> normal(classes, std::vector<double>(q * q, 0.0));
  std::vector<double> counts(classes, 0.0);
  for (std::size_t i = 0; i < scans; ++i) {
    std::vector<double>& sum = normal[latents.class_of(i)];
    counts[latents.class_of(i)] += 1;
    for (std::size_t j = 0; j < q; ++j)
      for (std::size_t l = 0; l < q; ++l) sum[j * q + l] += f[i * q + j] * f[i * q + l];
  }
  for (const std::vector<double>& sum : normal)
    for (std::size_t j = 0; j < q * q; ++j) f_covariance[j] += sum[j] / count;

  // Means of the classes, then effects (classes, q, D) by ridge regression.
  std::vector<double> mean(classes * width, 0.0), everybody(width, 0.0), effects(classes * q * width, 0.0);
  latents.blocks([&](std::size_t begin, const Tensor<double, Cpu>& x) {
    for (std::size_t r = 0; r < static_cast<std::size_t>(x.dim(0)); ++r) {
      const std::size_t c = latents.class_of(begin + r);
      const double* row = x.data() + r * width;
      for (std::size_t i = 0; i < width; ++i) mean[c * width + i] += row[i];
      for (std::size_t j = 0; j < q; ++j) {
        const double value = f[(begin + r) * q + j];
        if (value == 0) continue;
        double* to = effects.data() + (c * q + j) * width;
        for (std::size_t i = 0; i < width; ++i) to[i] += value * row[i];
      }
    }
  });
  for (std::size_t c = 0; c < classes; ++c)
    for (std::size_t i = 0; i < width; ++i) everybody[i] += mean[c * width + i] / count;
  for (std::size_t c = 0; c < classes; ++c) {
    for (std::size_t i = 0; i < width; ++i) mean[c * width + i] = counts[c] > 0 ? mean[c * width + i] / counts[c] : everybody[i];
    std::vector<double> f_sum(q, 0.0);
    for (std::size_t i = 0; i < scans; ++i)
      if (latents.class_of(i) == c)
        for (std::size_t j = 0; j < q; ++j) f_sum[j] += f[i * q + j];
    double* b = effects.data() + c * q * width;
    for (std::size_t j = 0; j < q; ++j) {
      for (std::size_t i = 0; i < width; ++i) b[j * width + i] -= f_sum[j] * mean[c * width + i];
      normal[c][j * q + j] += effect_prior * f_covariance[j * q + j] + 1e-6 * count;
    }
    detail::solve_in_place(normal[c], q, b, width);
  }

  // Scans less the mean of their class, and less the effects.
  const auto centred_blocks = [&](bool without_effects, auto&& visit) {
    latents.blocks([&](std::size_t begin, Tensor<double, Cpu> x) {
      ctx.host_parallel_range(x.dim(0), 8, [&](Index first, Index last) {
        for (auto r = static_cast<std::size_t>(first); r < static_cast<std::size_t>(last); ++r) {
          const std::size_t c = latents.class_of(begin + r);
          double* row = x.data() + r * width;
          for (std::size_t i = 0; i < width; ++i) row[i] -= mean[c * width + i];
          for (std::size_t j = 0; without_effects && j < q; ++j) {
            const double value = f[(begin + r) * q + j];
            if (value == 0) continue;
            const double* b = effects.data() + (c * q + j) * width;
            for (std::size_t i = 0; i < width; ++i) row[i] -= value * b[i];
          }
        }
      });
      visit(begin, std::as_const(x));
    });
  };
  const LeadingEigen eigen = leading_eigen(
      ctx, static_cast<Index>(width), static_cast<Index>(rank),
      [&](const Tensor<double, Cpu>& directions) {
        Tensor<double, Cpu> sum = Tensor<double, Cpu>::zeros(ctx, directions.shape());
        centred_blocks(false, [&](std::size_t, const Tensor<double, Cpu>& x) {
          sum = add_scaled_forward(sum, matmul_forward(matmul_forward(directions, x, {.transpose_b = true}), x), 1.0 / count);
        });
        return sum;
      },
      {.tolerance = 0, .iterations = 4});

  // Squares along the directions, and in the last column those of everything else, per value.
  std::vector<double> squares(classes * (rank + 1), 0.0), together(rank + 1, 0.0);
  centred_blocks(true, [&](std::size_t begin, const Tensor<double, Cpu>& x) {
    const Tensor<double, Cpu> y = matmul_forward(x, eigen.vectors, {.transpose_b = true});
    for (std::size_t r = 0; r < static_cast<std::size_t>(x.dim(0)); ++r) {
      double* to = squares.data() + latents.class_of(begin + r) * (rank + 1);
      double left = 0;
      for (std::size_t i = 0; i < width; ++i) left += x.data()[r * width + i] * x.data()[r * width + i];
      for (std::size_t k = 0; k < rank; ++k) {
        const double square = y.data()[r * rank + k] * y.data()[r * rank + k];
        to[k] += square;
        left -= square;
      }
      if (rank < width) to[rank] += std::max(left, 0.0) / static_cast<double>(width - rank);
    }
  });
  for (std::size_t c = 0; c < classes; ++c)
    for (std::size_t k = 0; k <= rank; ++k) together[k] += squares[c * (rank + 1) + k] / count;
  for (std::size_t c = 0; c < classes; ++c)
    for (std::size_t k = 0; k <= rank; ++k) {
      double& v = squares[c * (rank + 1) + k];
      v = std::max(least, (v + prior * together[k]) / (counts[c] + prior));
    }

  GaussianVelocity<Cpu, F32>& g = model.gaussian;
  const auto put = [&](auto& parameter, const std::vector<double>& values) {
    parameter.adopt(Tensor<float, Cpu>::from_host(ctx, parameter.shape(), std::vector<float>(values.begin(), values.end())));
  };
  put(g.mean, mean);
  put(g.variances, squares);
  g.basis.adopt(cast<float>(eigen.vectors));
  if (q == 0) return;
  const Tensor<double, Cpu> b = Tensor<double, Cpu>::from_host(ctx, {static_cast<Index>(classes * q), static_cast<Index>(width)}, effects);
  g.effects.adopt(cast<float>(matmul_forward(b, eigen.vectors, {.transpose_b = true})).reshape(g.effects.shape()));
  put(g.feature_mean, f_mean);
  put(g.feature_covariance, f_covariance);
}

}  // namespace braing3n::inline BRAING3N_ABI
