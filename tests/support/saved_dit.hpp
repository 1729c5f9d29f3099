// A small untrained diffusion transformer on the disk.
#pragma once

#include <filesystem>
#include <string>

#include "braing3n/checkpoint/saved_dit.hpp"
#include "braing3n/nn/initialize.hpp"

namespace braing3n::test {

/// On the latents of saved_tokenizer(), whose hash is `hash`; conditions sex and age.
inline void save_small_dit(Context<Cpu>& ctx, const std::filesystem::path& path, const std::string& hash,
                           const LatentStatistics& latents) {
  Dit3dConfig c;
  c.channels = 5, c.grid = {2, 3, 2}, c.width = 24, c.depth = 1, c.heads = 2, c.mlp = 32;
  c.conditions = {{"sex", ConditionKind::categorical, {"F", "M"}},
                  {"age", ConditionKind::continuous, {}, 0.1, false, 0, 120}};
  Dit3d<Cpu, F32> model(ctx, c);
  initialize(model, 3);
  // Layers that start at zero would make every condition the same.
  for_each_parameter(model, [&](const std::string&, auto& p) {
    if (p.shape().size() == 0) return;
    for (Index i = 0; i < p.value().size(); ++i)
      if (p.value().data()[i] == 0.0f) p.value().data()[i] = 0.01f * static_cast<float>(i % 7 - 3);
    p.refresh();
  });
  save_dit(path, model, latents, hash, "", {});
}

}  // namespace braing3n::test
