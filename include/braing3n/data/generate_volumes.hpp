// From planned samples to volumes: batches through the sampler, one by one through the decoder, with their records.
#pragma once

#include <algorithm>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/checkpoint/saved_dit.hpp"
#include "braing3n/data/sample_plan.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// A path as a sidecar names it.
inline std::string recorded_path(const std::filesystem::path& path) {
  return std::filesystem::absolute(model_path(path)).lexically_normal().string();
}

/// Samples that go through the transformer together: `wanted`, or with 0 as many as make about 1,200 tokens; at most `count`.
/// The samples do not depend on it.
inline Index sampling_batch(const Dit3dConfig& model, Index count, Index wanted = 0) {
  return std::clamp<Index>(wanted > 0 ? wanted : 1200 / volume_of(model.grid), 1, count);
}

struct GenerationOptions {
  SampleRecord record{};  // what the samples share: seed, sampling, precision, provider, weights
  Index batch = 1;        // samples that are computed together
};

/// What a caller does while volumes are made. Empty ones are left out.
struct GenerationHooks {
  std::function<void(std::span<const PlannedSample>)> on_batch{};  // before a batch is sampled
  std::function<void()> before_evaluation{};                       // of the transformer; may throw to stop
  std::function<void(const PlannedSample&, Volume, SampleRecord)> on_volume{};
};

/// Makes the samples in order. Each volume gets a copy of the record with its own file, number and conditions. Throws Error: argument
/// (guidance that does not fit the conditions), numeric.
inline void generate_volumes(Context<Cpu>& ctx, const AnySampler& dit, const AnyDecoder& decoder,
                             std::span<const PlannedSample> samples, const GenerationOptions& options,
                             const GenerationHooks& hooks) {
  const SampleRecord& record = options.record;
  const std::vector<ConditionField>& fields = dit.config().conditions;
  record.sampling.guidance.validate(fields);
  const auto batch = static_cast<std::size_t>(std::max<Index>(options.batch, 1));
  const auto before = [&] {
    if (hooks.before_evaluation) hooks.before_evaluation();
  };
  for (std::size_t begin = 0; begin < samples.size(); begin += batch) {
    const std::span<const PlannedSample> part = samples.subspan(begin, std::min(batch, samples.size() - begin));
    if (hooks.on_batch) hooks.on_batch(part);
    std::vector<std::uint32_t> ids;
    std::vector<ConditionRow> rows;
    for (const PlannedSample& s : part) ids.push_back(s.id), rows.push_back(s.row);
    const Tensor<float, Cpu> latents =
        sampled_latents(dit, dit.sample(ctx, ids, rows, record.seed, record.sampling, before));
    for (std::size_t i = 0; i < part.size(); ++i) {
      SampleRecord own = record;
      own.file = part[i].name + ".nii.gz";
      own.sample = part[i].id;
      own.conditions = conditions_json(fields, part[i].row);
      const Index at = static_cast<Index>(i);
      if (hooks.on_volume)
        hooks.on_volume(part[i], decoded_volume(ctx, decoder, latents.slice(at, at + 1)), std::move(own));
    }
  }
}

}  // namespace braing3n::inline BRAING3N_ABI
