// What a diffusion transformer over latent tokens is built from.
#pragma once

#include <algorithm>
#include <cstddef>
#include <type_traits>
#include <vector>

#include "braing3n/models/conditions.hpp"
#include "braing3n/models/gaussian_place.hpp"
#include "braing3n/nn/position.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct Dit3dConfig {
  Index channels = 32;
  Extent3 grid = {10, 12, 10};
  Index width = 1152, depth = 12, heads = 18, mlp = 4608;
  double layer_norm_eps = 1e-6;
  double time_scale = 1000.0;  // the time in [0, 1] is multiplied by this before its sinusoidal embedding
  // Above 0: the network adds to the velocity of a normal distribution with so many directions (gaussian_velocity.hpp).
  Index gaussian_rank = 0;
  // Above 0: a second input of so many channels, a baseline for instance, whose embedding starts at zero and is added to that of x.
  Index context_channels = 0;
  Index outputs = 1;  // velocities that are predicted, in channels one after the other
  std::vector<ConditionField> conditions = paper_conditions();

  static void visit(auto& self, auto&& v) {
    v("channels", self.channels);
    v("grid", self.grid);
    v("width", self.width);
    v("depth", self.depth);
    v("heads", self.heads);
    v("mlp", self.mlp);
    v("layer_norm_eps", self.layer_norm_eps);
    v("time_scale", self.time_scale);
    v("gaussian_rank", self.gaussian_rank);
    // Written where they are used, so that files of models without them keep their bytes.
    constexpr bool writing = std::is_const_v<std::remove_reference_t<decltype(self)>>;
    if (!writing || self.context_channels != 0) v("context_channels", self.context_channels);
    if (!writing || self.outputs != 1) v("outputs", self.outputs);
    v("conditions", self.conditions);
  }

  void validate() const {
    if (width % 6 != 0)
      fail(ErrorKind::config, "dit3d.width",
           "dit3d: expected a width divisible by 6, for sine-cosine positions in 3D, got ", width);
    if (heads < 1 || width % heads != 0)
      fail(ErrorKind::config, "dit3d.heads", "dit3d: expected a width that ", heads, " heads divide, got ", width);
    if (channels < 1 || volume_of(grid) < 1 || depth < 0 || mlp < 1)
      fail(ErrorKind::config, "dit3d.sizes", "dit3d: ", channels, " channels on ", volume_of(grid), " tokens, depth ",
           depth, ", mlp ", mlp);
    if (!(time_scale > 0))
      fail(ErrorKind::config, "dit3d.time_scale", "dit3d: a time scale of ", time_scale,
           ", expected a positive number");
    if (gaussian_rank < 0 || gaussian_rank > channels * volume_of(grid))
      fail(ErrorKind::config, "dit3d.gaussian_rank", "dit3d: expected 0 to ", channels * volume_of(grid),
           " directions of the normal distribution, as many as a sample has values, got ", gaussian_rank);
    if (context_channels < 0)
      fail(ErrorKind::config, "dit3d.context_channels", "dit3d: expected 0 (no context) or more context channels, got ",
           context_channels);
    if (outputs < 1 || outputs > 2 || (outputs > 1 && gaussian_rank > 0))
      fail(ErrorKind::config, "dit3d.outputs", "dit3d: expected ",
           gaussian_rank > 0 ? "1 output, which the velocity of a normal distribution is added to" : "1 or 2 outputs",
           ", got ", outputs);
    validate_conditions(conditions);
  }

  /// The paper's model of a follow-up, which goes along the bridge of objective/bridge.hpp and sees the baseline as its start only:
  /// 296,099,744 parameters.
  static Dit3dConfig paper_longitudinal() {
    Dit3dConfig c;
    c.conditions = longitudinal_conditions();
    return c;
  }
};

/// Bytes of the prepared conditions of `samples` samples at one time, with values of `element` bytes.
inline Index condition_bytes(const Dit3dConfig& c, Index samples, std::size_t element) {
  const Index closed_form =
      c.gaussian_rank > 0 ? gaussian_numbers(c.gaussian_rank, feature_count(c.conditions)) : Index{0};
  return samples *
         (c.width * (6 * c.depth + 2) * static_cast<Index>(element) + closed_form * static_cast<Index>(sizeof(double)));
}

/// Prepared steps take at most so many bytes at a time, unless a single one takes more.
inline constexpr Index prepared_bytes = Index{64} << 20;
/// As many steps of so many samples as are prepared together, at least one.
inline Index prepared_steps(const Dit3dConfig& c, Index samples, std::size_t element) {
  return std::max<Index>(1, prepared_bytes / std::max<Index>(1, condition_bytes(c, samples, element)));
}

}  // namespace braing3n::inline BRAING3N_ABI
