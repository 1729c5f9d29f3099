// The training of a transformer on latents, for open_training() (device/training_run.hpp).
#pragma once

#include <functional>
#include <memory>

#include "braing3n/device/training_run.hpp"
#include "braing3n/train/dit_preview.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// A training of a diffusion transformer; its options are resolved.
struct DitTrainingJob {
  Dit3d<Cpu, F32>* model = nullptr;
  const LatentData* data = nullptr;
  DitTrainingConfig config{};
  std::uint64_t seed = 0;
  std::function<void(Index samples, const TimeBins&)> on_bins{};  // losses by time of a validation
  LatentPicture picture{};                                        // of previews
  SamplingOptions preview{};
  Index preview_rows = 0;

  template <Backend B, Precision P>
  using Model = Dit3d<B, P>;
  template <Backend B, Precision P>
  using Task = DitTask<B, P>;

  template <Backend B, Precision P>
  std::unique_ptr<Task<B, P>> task(Context<B>& context, Context<Cpu>& host, const Dit3d<B, P>& m, Index start) const {
    auto made = std::make_unique<Task<B, P>>(context, host, m, *data, config, seed, start);
    if (on_bins) made->on_bins = [on = on_bins, t = made.get()](const TimeBins& bins) { on(t->position(), bins); };
    made->make_preview = [&context, &host, &m, job = *this] {
      return preview_samples(context, host, m, *job.data, job.picture, job.preview, job.preview_rows);
    };
    return made;
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
