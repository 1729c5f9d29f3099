// Quantities read from decoded latents: age, and the volumes of the truth of phantoms.
//
// A volume goes through the decoder, gets the contract imposed again (study/sample_arms.hpp says why), and its tissue is summed over blocks of 16 mm
// (eval/region_regressor.hpp). Ridge regressions of the quantities on these sums are fitted on round trips of training subjects, so
// that a forecast, which is decoded, and a round trip are read by the same measure.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/checkpoint/volume_model.hpp"
#include "braing3n/data/latent_data.hpp"
#include "braing3n/eval/reconstruction.hpp"
#include "braing3n/eval/region_regressor.hpp"
#include "braing3n/format/csv.hpp"
#include "braing3n/probe/scores.hpp"
#include "braing3n/table/matrix.hpp"
#include "braing3n/volume/reimpose.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

/// One quantity of every scan of a table; NaN where it is not known.
struct MeasuredQuantity {
  std::string name;             // "age", or a column of the truth
  bool logarithm = false;       // regressed on the logarithm: sizes, whose errors are relative
  std::vector<double> value{};  // per row of the table
};

/// Age from the table; with a truth.csv its columns brain_ml, grey_matter_ml, ventricles_ml, hippocampi_ml. Throws Error (file, format).
inline std::vector<MeasuredQuantity> measured_quantities(const Manifest& table, const std::filesystem::path& truth) {
  std::vector<MeasuredQuantity> all;
  MeasuredQuantity age{.name = "age"};
  for (Index i = 0; i < table.size(); ++i) age.value.push_back(table.number(i, "age").value_or(not_a_number));
  all.push_back(std::move(age));
  if (truth.empty()) return all;
  const CsvTable csv(truth);
  const std::size_t id = csv.column("volume_id");
  std::map<std::string, std::size_t> line;
  for (std::size_t r = 0; r < csv.rows(); ++r) line.emplace(std::string(csv.cell(r, id)), r);
  for (const char* name : {"brain_ml", "grey_matter_ml", "ventricles_ml", "hippocampi_ml"}) {
    const std::size_t column = csv.column(name);
    MeasuredQuantity q{.name = name, .logarithm = true};
    for (const ScanRow& scan : table.scans) {
      const auto found = line.find(scan.volume_id);
      q.value.push_back(found == line.end() ? not_a_number : csv.number(found->second, column).value_or(not_a_number));
    }
    all.push_back(std::move(q));
  }
  return all;
}

/// Sums of tissue of a decoded volume (X, Y, Z) on the contract's grid. A volume without a brain has sums of 0.
inline std::vector<double> decoded_tissue(Context<Cpu>& ctx, const Tensor<float, Cpu>& volume,
                                          const PreprocessingContract& contract) {
  Tensor<float, Cpu> imposed = volume.clone();
  std::vector<double> sums;
  if (reimpose_contract(ctx, imposed, contract) > 0)
    sums = tissue_blocks(imposed, nonzero_mask(imposed), contract, BlockEdges::soft);
  sums.resize(static_cast<std::size_t>(3 * voxel_count(tissue_block_grid(contract))), 0.0);
  return sums;
}

/// Latents to voxels and to sums of tissue.
class ForecastDecoder {
 public:
  ForecastDecoder(Context<Cpu>& ctx, const LoadedTokenizer<Cpu, F32>& tokenizer, const LatentStatistics& latents)
      : ctx_(&ctx), tokenizer_(&tokenizer), latents_(latents) {}

  struct Decoded {
    std::vector<Tensor<float, Cpu>> voxels;  // (X, Y, Z) each, as decoded
    RowStore<float> blocks;                  // (N, features)
  };
  /// Standardised latents (N, L, C) -> volumes and sums.
  Decoded operator()(const Tensor<float, Cpu>& z) const {
    const Extent3 g = tokenizer_->model.config.encoder.grid(), n = tokenizer_->contract.shape;
    Pass<Cpu> pass(*ctx_);
    const Tensor<float, Cpu> volumes =
        tokenizer_->model
            .decode(pass, Var<float, Cpu>(latents_.restore(z).reshape({z.dim(0), g[0], g[1], g[2], z.dim(2)})))
            .value();
    Decoded out;
    for (Index i = 0; i < z.dim(0); ++i) {
      out.voxels.push_back(volumes.slice(i, i + 1).reshape({n[0], n[1], n[2]}));
      const std::vector<double> sums = decoded_tissue(*ctx_, out.voxels.back(), tokenizer_->contract);
      const std::vector<float> row(sums.begin(), sums.end());
      append_row<float>(out.blocks, row);
    }
    return out;
  }

 private:
  Context<Cpu>* ctx_;
  const LoadedTokenizer<Cpu, F32>* tokenizer_;
  LatentStatistics latents_;
};

/// Ridge regressions of the quantities on sums of tissue.
class ForecastProbes {
 public:
  /// blocks (n, features) of rows of the table, which belong to subjects (n); the penalties are chosen by five folds over subjects. Rows
  /// without one of the quantities are left out. Throws Error (argument) with fewer than ten rows, and what DualRidge throws.
  ForecastProbes(Context<Cpu>& ctx, const RowStore<float>& blocks, std::span<const Index> rows,
                 const std::vector<std::int32_t>& subjects, const std::vector<MeasuredQuantity>& quantities)
      : quantities_(&quantities), factor_(quantities.size(), 1.0) {
    std::vector<std::vector<double>> targets(quantities.size());
    std::vector<Index> fold;
    std::map<std::int32_t, Index> folds;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto row = static_cast<std::size_t>(rows[i]);
      if (std::any_of(quantities.begin(), quantities.end(),
                      [row](const MeasuredQuantity& q) { return std::isnan(q.value[row]); }))
        continue;
      const std::span<const float> sums = row_of(blocks, static_cast<Index>(i));
      ridge_.add({sums.begin(), sums.end()});
      fold.push_back(folds.emplace(subjects[i], std::ssize(folds) % 5).first->second);
      for (std::size_t q = 0; q < quantities.size(); ++q)
        targets[q].push_back(quantities[q].logarithm ? std::log(quantities[q].value[row]) : quantities[q].value[row]);
    }
    if (ridge_.size() < 10)
      fail(ErrorKind::argument, "forecasting.probes", "forecasting: expected at least 10 training scans whose ",
           joined(quantities, ", ", [](const MeasuredQuantity& q) { return q.name; }), " are known, got ",
           ridge_.size());
    ridge_.fit(ctx, targets, fold);
  }

  /// Quantity q of every row, (n); of a logarithm, too.
  std::vector<double> operator()(std::size_t q, const RowStore<float>& blocks) const {
    std::vector<double> values;
    for (Index i = 0; i < row_count(blocks); ++i) {
      const std::span<const float> sums = row_of(blocks, i);
      values.push_back(ridge_(q, std::vector<double>(sums.begin(), sums.end())));
    }
    return values;
  }
  /// Scales changes of quantity q by sum t^2 / sum r t of pairs (n), with the change r that is read between round trips and the true one t: ridge regression
  /// shrinks what it reads. Between 1/2 and 2. The pairs are those of subjects on whom nothing is scored.
  void calibrate(std::size_t q, std::span<const double> before, std::span<const double> after,
                 std::span<const double> first, std::span<const double> second) {
    double tt = 0, rt = 0;
    for (std::size_t i = 0; i < before.size(); ++i) {
      const double t = (*quantities_)[q].logarithm ? std::log(second[i] / first[i]) : second[i] - first[i],
                   r = after[i] - before[i];
      if (std::isfinite(t) && std::isfinite(r)) tt += t * t, rt += r * t;
    }
    factor_.at(q) = rt > 0 ? std::clamp(tt / rt, 0.5, 2.0) : 1.0;
  }
  /// Scales the changes of quantity q that a forecaster makes so that their sum is the true one: a forecast is an expected image, and the volume of that is
  /// not the expected volume. Between 1/2 and 2; where no such factor gives the sum, that of round trips stays. Values as above, of forecasts.
  void calibrate_forecasts(std::size_t forecaster, std::size_t q, std::span<const double> before,
                           std::span<const double> after, std::span<const double> first,
                           std::span<const double> second) {
    const auto surplus = [&](double factor) {
      double sum = 0;
      for (std::size_t i = 0; i < before.size(); ++i)
        if (const double s = change(q, first[i], factor * (after[i] - before[i])) - (second[i] - first[i]);
            std::isfinite(s))
          sum += s;
      return sum;
    };
    double low = 0.5, high = 2;
    const bool grows = surplus(high) > 0;
    if (grows == (surplus(low) > 0)) return;
    for (int i = 0; i < 60; ++i) {
      const double middle = (low + high) / 2;
      ((surplus(middle) > 0) == grows ? high : low) = middle;
    }
    forecast_factor_[{forecaster, q}] = (low + high) / 2;
  }
  /// Of the changes of round trips, or of those that a forecaster makes.
  double factor(std::size_t q, std::optional<std::size_t> forecaster = {}) const {
    const auto own = forecaster ? forecast_factor_.find({*forecaster, q}) : forecast_factor_.end();
    return own == forecast_factor_.end() ? factor_.at(q) : own->second;
  }
  /// What is read after a calibrated change, (n).
  std::vector<double> calibrated(std::size_t q, const std::vector<double>& before, std::vector<double> after,
                                 std::optional<std::size_t> forecaster = {}) const {
    for (std::size_t i = 0; i < after.size(); ++i)
      after[i] = before[i] + factor(q, forecaster) * (after[i] - before[i]);
    return after;
  }

  const DualRidge& ridge() const { return ridge_; }
  /// The quantity after a change from `before` to `after`, as read, where it was `baseline`.
  double moved(std::size_t q, double baseline, double before, double after,
               std::optional<std::size_t> forecaster = {}) const {
    return baseline + change(q, baseline, factor(q, forecaster) * (after - before));
  }

 private:
  /// A change that was read, in the quantity's own unit.
  double change(std::size_t q, double baseline, double read) const {
    return (*quantities_)[q].logarithm ? baseline * std::expm1(read) : read;
  }

  const std::vector<MeasuredQuantity>* quantities_;
  std::vector<double> factor_;                                             // of the change of every quantity
  std::map<std::pair<std::size_t, std::size_t>, double> forecast_factor_;  // by forecaster and quantity
  DualRidge ridge_;
};

}  // namespace braing3n::inline BRAING3N_ABI::study
