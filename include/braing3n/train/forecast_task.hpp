// What the tasks of train/trainer.hpp that learn pairs of visits share: the stream of pairs, their conditions, validation.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/data/latent_data.hpp"
#include "braing3n/data/pair_stream.hpp"
#include "braing3n/objective/flow_matching.hpp"
#include "braing3n/ops/transfer.hpp"
#include "braing3n/report/image.hpp"
#include "braing3n/train/forecast_pairs.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Task has, for this class as a friend: fields(), the conditions of its model; condition(pair), a row of them; make(pairs, times, noise, rows), a
/// batch; loss(pass, batch). Latents are read on `host`; the model runs on its own backend, in its own precision.
template <class Task, class Config, Backend B, class T>
class ForecastTask {
 public:
  /// Noise, times and unobserved conditions are functions of the seed and of the sample's place in the stream.
  auto next() {
    const PairStream::Draw draw = stream_.next();
    const std::span<const Index> positions(draw.positions);
    std::vector<ConditionRow> rows;
    for (std::size_t i = 0; i < draw.pairs.size(); ++i)
      rows.push_back(observe_conditions(task().fields(), task().condition(draw.pairs[i]),
                                        draw_observed(task().fields(), config_.drop, seed_, draw.positions[i])));
    return task().make(draw.pairs, draw_times(seed_, positions, TimeDistribution::uniform),
                       draw_noise<T>(*context_, seed_, positions, latent_shape()), rows);
  }
  Index position() const { return stream_.position(); }
  Index scans() const { return stream_.pairs(); }
  const PairStream& stream() const { return stream_; }

  /// Mean loss of validation pairs, evenly chosen, at times and with noise that never change.
  double validate(ScanFailures&) const {
    const Index n = std::ssize(pairs_->validation), all = std::min(n, config_.validation_pairs);
    double sum = 0;
    for (Index begin = 0; begin < all; begin += config_.training.batch) {
      std::vector<VisitPair> some;
      std::vector<std::uint32_t> ids;
      std::vector<ConditionRow> rows;
      for (Index i = begin; i < std::min(all, begin + config_.training.batch); ++i) {
        some.push_back(pairs_->validation[static_cast<std::size_t>(i * n / all)]);
        ids.push_back(static_cast<std::uint32_t>(i));
        rows.push_back(task().condition(some.back()));
      }
      const std::span<const std::uint32_t> numbers(ids);
      const auto batch = task().make(some, draw_times(seed_, validation_step, numbers, TimeDistribution::uniform),
                                     draw_noise<T>(*context_, seed_, validation_step, numbers, latent_shape()), rows);
      Pass<B> pass(*context_);
      sum += item(task().loss(pass, batch)) * static_cast<double>(some.size());
    }
    return sum / static_cast<double>(all);
  }

  /// Makes the picture of a validation.
  Image preview(ScanFailures&) const { return make_preview ? make_preview() : Image(1, 1); }
  std::function<Image()> make_preview;

 protected:
  ForecastTask(Context<B>& context, Context<Cpu>& host, const LatentData& data, const ForecastTrainingPairs& pairs,
               const Config& config, std::uint64_t seed, Index start)
      : context_(&context), host_(&host), data_(&data), pairs_(&pairs), config_(config), seed_(seed),
        stream_(pairs.train, config.stream, config.training.batch, seed, start) {}

  /// The labels of the baseline.
  const ConditionRow& labels(const VisitPair& pair) const {
    return data_->conditions.at(static_cast<std::size_t>(pair.from));
  }
  /// Latents of the first, or of the second visits (N, L, C).
  Tensor<T, B> latents(const std::vector<VisitPair>& pairs, Index VisitPair::* visit) const {
    std::vector<Index> rows;
    for (const VisitPair& p : pairs) rows.push_back(p.*visit);
    return to_backend<T>(*context_, latent_batch(*host_, *data_, rows));
  }

  Context<B>* context_;
  Context<Cpu>* host_;
  const LatentData* data_;
  const ForecastTrainingPairs* pairs_;
  Config config_;
  std::uint64_t seed_;

 private:
  Task& task() { return static_cast<Task&>(*this); }
  const Task& task() const { return static_cast<const Task&>(*this); }
  Shape latent_shape() const { return {data_->file->tokens(), data_->file->channels()}; }

  PairStream stream_;
};

}  // namespace braing3n::inline BRAING3N_ABI
