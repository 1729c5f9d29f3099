// The forecasters of the study at work: latents of a cohort, round trips for the probes, follow-ups of pairs, decoded and read.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/eval/ssim3d.hpp"
#include "braing3n/report/sample_pictures.hpp"
#include "braing3n/study/forecast_baselines.hpp"
#include "braing3n/study/forecast_subjects.hpp"
#include "braing3n/study/forecasters.hpp"
#include "braing3n/study/forecasting_result.hpp"
#include "braing3n/study/observer.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

/// Forecasts of some pairs by every model, as read.
struct ReadForecasts {
  std::vector<VisitPair> pairs;
  RowStore<float> before, after;                // round trips of the first and of the second visits
  std::vector<RowStore<float>> made;            // of every forecaster
  std::vector<double> psnr_before;              // of the baseline's round trip against the second visit's
  std::vector<std::vector<double>> psnr, ssim;  // of every forecaster
  std::vector<double> ssim_before;
};

template <std::same_as<Cpu> B>
class ForecastRuns {
 public:
  /// Throws what loading throws, and Error (config) unless tokenizer, latents and forecasters belong together.
  ForecastRuns(Context<B>& ctx, const ForecastingOptions& options, Observer& observer)
      : ctx_(&ctx), options_(options), observer_(&observer), tokenizer_(load_tokenizer<F32>(ctx, options.tokenizer)),
        data_(open_cohort(ctx, options, observer)) {
    for (const std::string& path : {options.model, options.bridge})
      if (!path.empty())
        for (Forecaster& f : load_forecasters(ctx, path, tokenizer_, options)) forecasters_.push_back(std::move(f));
    if (forecasters_.empty())
      fail(ErrorKind::argument, "forecasting.model", "forecasting: expected at least one forecaster, got none");
    for (const Forecaster& f : forecasters_) check(f);
    data_.statistics = forecasters_.front().origin.latents;
  }

  const Manifest& table() const { return data_.labels; }
  const std::vector<Forecaster>& forecasters() const { return forecasters_; }
  const std::string& tokenizer_hash() const { return tokenizer_.hash; }
  const Split& split() const { return data_.scans.split; }
  std::vector<Index> rows(const std::string& set) const { return rows_of(data_.labels, data_.scans.split, set); }
  ForecastDecoder decoder() const { return ForecastDecoder(*ctx_, tokenizer_, data_.statistics); }
  Tensor<float, Cpu> latents(std::span<const Index> rows) const { return latent_batch(*ctx_, data_, rows); }

  /// Probes of the quantities on round trips of training subjects.
  ForecastProbes fit_probes(const std::vector<MeasuredQuantity>& quantities, const SubjectCodes& codes) const {
    std::vector<Index> rows = this->rows(options_.train);
    const Index all = std::ssize(rows), count = std::min(all, options_.probe_scans);
    std::vector<Index> some;
    std::vector<std::int32_t> subjects;
    for (Index i = 0; i < count; ++i) {
      some.push_back(rows[static_cast<std::size_t>(i * all / count)]);
      subjects.push_back(codes.subject(some.back()));
    }
    RowStore<float> blocks;
    Stage stage(*observer_, "round trips of training subjects", count);
    for (Index begin = 0; begin < count; begin += batch) {
      observer_->check_interrupt();
      const auto part = std::span<const Index>(some).subspan(static_cast<std::size_t>(begin),
                                                             static_cast<std::size_t>(std::min(batch, count - begin)));
      add(blocks, decoded(part));
      observer_->advance(std::ssize(part), "");
    }
    return ForecastProbes(*ctx_, blocks, some, subjects, quantities);
  }

  /// Every forecaster on every pair; pairs of one baseline stand together, by years.
  ReadForecasts forecast(const char* who, const std::vector<VisitPair>& pairs) {
    ReadForecasts r;
    r.pairs = pairs;
    const std::size_t models = forecasters_.size();
    r.made.resize(models), r.psnr.resize(models), r.ssim.resize(models);
    Stage stage(*observer_, concat("forecasts of ", who), std::ssize(pairs));
    for_baselines(pairs, [&](const BaselinePart& part) {
      std::vector<Index> to;
      for (const VisitPair& p : part.pairs) to.push_back(p.to);
      const Tensor<float, Cpu> baseline = latents(part.rows());
      const auto first = part.spread(decoder()(baseline)), second = decoded(to);
      add(r.before, first), add(r.after, second);
      compare(first, second, r.psnr_before, r.ssim_before);
      for (std::size_t f = 0; f < models; ++f) {
        observer_->check_interrupt();
        const auto made = follow_ups(forecasters_[f], part, baseline);
        add(r.made[f], made);
        compare(made, second, r.psnr[f], r.ssim[f]);
      }
    });
    return r;
  }
  /// What one forecaster makes of the pairs, as sums of tissue; with a disease, under that instead of their own.
  RowStore<float> read_follow_ups(const Forecaster& f, const std::vector<VisitPair>& pairs,
                                  const std::string& disease) const {
    RowStore<float> out;
    Stage stage(*observer_, concat(f.name, " under ", disease), std::ssize(pairs));
    for_baselines(pairs,
                  [&](const BaselinePart& part) { add(out, follow_ups(f, part, latents(part.rows()), disease)); });
    return out;
  }

  /// Baseline, follow-up and forecast of one pair, decoded, and under the last two their differences to the baseline.
  Image picture(const Forecaster& f, const VisitPair& pair) const {
    const Index from[] = {pair.from}, to[] = {pair.to};
    const Tensor<float, Cpu> baseline = latents(from);
    const BaselinePart one(std::span<const VisitPair>(&pair, 1));
    const std::vector<Tensor<float, Cpu>> volumes{decoder()(baseline).voxels[0], decoder()(latents(to)).voxels[0],
                                                  follow_ups(f, one, baseline).voxels[0]};
    const std::string who = data_.labels.text(pair.from, "disease").value_or("subject");
    return sample_montage(*ctx_, tokenizer_.contract, volumes,
                          {concat(who, ", ", decimals(pair.age, 0), " years"),
                           concat("after ", decimals(pair.years, 1), " years"), concat("forecast by ", f.name)},
                          3);
  }

  /// On the first visits of some of the pairs.
  ConsistencyChecks consistency(const Forecaster& f, const std::vector<VisitPair>& pairs) const {
    std::vector<VisitPair> some;
    for (std::size_t i = 0; i < pairs.size() && some.size() < 32; ++i)
      if (some.empty() || pairs[i].from != some.back().from) some.push_back(pairs[i]);
    const BaselinePart part{std::span<const VisitPair>(some)};
    const Tensor<float, Cpu> baseline = latents(part.rows());
    const ForecastBatch b = batch_of(part, f, baseline);
    const auto moved = [&](const Tensor<float, Cpu>& z, double after, double years) {
      ForecastBatch step = b;
      step.baseline = z;
      for (double& age : step.ages) age += after;
      step.stops = {std::vector<double>(some.size(), years)};
      return f.follow_ups(step)[0];
    };
    const auto difference = [](const Tensor<float, Cpu>& x, const Tensor<float, Cpu>& y) {
      double square = 0;
      for (Index i = 0; i < x.size(); ++i)
        square += std::pow(static_cast<double>(x.data()[i]) - static_cast<double>(y.data()[i]), 2);
      return std::sqrt(square);
    };
    ConsistencyChecks c;
    const Tensor<float, Cpu> five = moved(baseline, 0, 5);
    const double change = difference(five, baseline);
    c.identity = max_abs_difference(moved(baseline, 0, 0), baseline);
    if (!(change > 0)) return c;
    c.composed = difference(moved(moved(baseline, 0, 2), 2, 3), five) / change;
    if (f.backwards) c.returned = difference(moved(five, 5, -5), baseline) / change;
    return c;
  }

 private:
  /// visit(part) for the pairs of some baselines at a time, the pairs of one baseline together.
  template <class Visit>
  void for_baselines(const std::vector<VisitPair>& pairs, Visit&& visit) const {
    const std::span<const VisitPair> all(pairs);
    for (std::size_t begin = 0, end = 0; begin < all.size(); begin = end) {
      Index baselines = 0;
      for (end = begin; end < all.size(); ++end)
        if ((end == begin || all[end].from != all[end - 1].from) && ++baselines > batch) break;
      observer_->check_interrupt();
      visit(BaselinePart(all.subspan(begin, end - begin)));
      observer_->advance(static_cast<Index>(end - begin), "");
    }
  }
  /// With a disease: under that instead of their own.
  ForecastBatch batch_of(const BaselinePart& part, const Forecaster& f, const Tensor<float, Cpu>& baseline,
                         const std::string& disease = {}) const {
    ForecastBatch b{baseline, {}, part.stops, condition_rows(f.fields, data_.labels, part.rows()), {}};
    for (const VisitPair& p : part.first) {
      b.ages.push_back(p.age);
      b.ids.push_back(static_cast<std::uint32_t>(p.from));
    }
    if (disease.empty()) return b;
    const std::size_t field = find_condition(f.fields, "disease");
    for (ConditionRow& row : b.conditions) row[field] = condition_value(f.fields[field], disease);
    return b;
  }
  /// The follow-ups of all pairs of the part, decoded.
  ForecastDecoder::Decoded follow_ups(const Forecaster& f, const BaselinePart& part, const Tensor<float, Cpu>& baseline,
                                      const std::string& disease = {}) const {
    return decoder()(part.rows_of(f.follow_ups(batch_of(part, f, baseline, disease))));
  }
  static LatentData open_cohort(Context<B>& ctx, const ForecastingOptions& options, Observer& observer) {
    try {
      return open_latent_data(ctx,
                              {.latents = options.latents,
                               .labels = options.cohort.data,
                               .split = options.cohort.split,
                               .train = options.train,
                               .validation_set = options.validation,
                               .missing = options.cohort.missing,
                               .measure = false},
                              options.seed, [&](const std::string& text) { observer.warning(text); });
    } catch (const Error& e) {
      if (e.id() != "split.empty") throw;
      throw Error(e.kind(), e.id(),
                  concat(e.text(),
                         "; subjects are scored beside others, on whom rules, probes and intervals are fitted: "
                         "a single one can be forecast but not scored"),
                  options.cohort.split);
    }
  }
  ForecastDecoder::Decoded decoded(std::span<const Index> rows) const { return decoder()(latents(rows)); }
  static void add(RowStore<float>& to, const ForecastDecoder::Decoded& d) {
    append_rows<float>(to, row_count(d.blocks), elements_of(d.blocks));
  }
  static double max_abs_difference(const Tensor<float, Cpu>& x, const Tensor<float, Cpu>& y) {
    double most = 0;
    for (Index i = 0; i < x.size(); ++i)
      most = std::max(most, std::abs(static_cast<double>(x.data()[i]) - static_cast<double>(y.data()[i])));
    return most;
  }
  void compare(const ForecastDecoder::Decoded& made, const ForecastDecoder::Decoded& truth, std::vector<double>& psnrs,
               std::vector<double>& ssims) const {
    for (std::size_t i = 0; i < made.voxels.size(); ++i) {
      const Tensor<float, Cpu>&a = truth.voxels[i], &b = made.voxels[i];
      const std::span<const float> reference(a.data(), static_cast<std::size_t>(a.size())),
          output(b.data(), static_cast<std::size_t>(b.size()));
      psnrs.push_back(psnr(voxel_errors(*ctx_, reference, output).mse, reference_range(reference).percentile));
      ssims.push_back(ssim3d(*ctx_, reference, output, tokenizer_.contract.shape).whole);
    }
  }

  /// The latents are those of the tokenizer, and mean the same to this forecaster as to the first.
  void check(const Forecaster& f) const {
    const LatentStatistics &first = forecasters_.front().origin.latents, &own = f.origin.latents;
    if (own.mean != first.mean || own.sd != first.sd)
      throw Error(ErrorKind::config, "forecast.latents",
                  concat("expected the statistics of latents that ", forecasters_.front().name,
                         " learnt with, got others of ", f.name),
                  options_.bridge);
    if (std::count_if(forecasters_.begin(), forecasters_.end(),
                      [&](const Forecaster& other) { return other.name == f.name; }) > 1)
      throw Error(ErrorKind::argument, "forecasting.twice",
                  concat("expected a forecaster of another kind beside the first, got two of ", f.name),
                  options_.bridge);
    if (data_.file->channels() != static_cast<Index>(own.mean.size()) ||
        data_.file->grid() != tokenizer_.model.config.encoder.grid() ||
        (!data_.file->model_hash().empty() && data_.file->model_hash() != tokenizer_.hash))
      throw Error(ErrorKind::config, "forecast.tokenizer",
                  concat("expected latents of tokenizer ", tokenizer_.hash, ", got some of ",
                         data_.file->model_hash().empty() ? "another size" : data_.file->model_hash()),
                  data_.file->path());
  }

  Context<B>* ctx_;
  ForecastingOptions options_;
  Observer* observer_;
  LoadedTokenizer<Cpu, F32> tokenizer_;
  LatentData data_;
  std::vector<Forecaster> forecasters_;
  static constexpr Index batch = 32;
};

}  // namespace braing3n::inline BRAING3N_ABI::study
