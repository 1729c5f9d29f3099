// What a model wants to see: the preprocessing contract.
//
// It is stored in every model file and applied by one function (preprocess.hpp), so training and use cannot drift apart.
// Every field is part of the meaning of a number a model prints. The rule for the background alone moves PSNR by 2 to 5 dB.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "braing3n/base/enum_names.hpp"
#include "braing3n/volume/orientation.hpp"
#include "braing3n/volume/volume.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// What lies on the middle of the model's grid: the middle of the scan, or its centre of mass.
enum class Centring { image, mass };

/// Intensities less their mean, in standard deviations, over the voxels that are not zero or over all; or as they are.
enum class Normalisation { zscore_nonzero, zscore_all, none };

template <>
struct EnumText<Normalisation> {
  static constexpr std::array<std::string_view, 3> names = {"zscore-nonzero", "zscore-all", "none"};
};

/// Zero voxels after zscore_nonzero: they stay 0, or become -mean / sd as every other voxel.
enum class Background { zero, shifted };

struct PreprocessingContract {
  std::string orientation = "LPS";         // where the three voxel axes run to (orientation.hpp)
  std::array<double, 3> spacing{1, 1, 1};  // mm between voxels, in that order
  std::array<Index, 3> shape{160, 192, 160};
  Centring centring = Centring::image;
  bool clip_negative = false;  // negative intensities become 0 before anything else
  Normalisation normalise = Normalisation::zscore_nonzero;
  Background background = Background::zero;
  bool skull_stripped = true;  // scans are expected without skull and scalp
  std::string space = "";      // name of the template that scans are registered to ("SRI24"); not checked

  /// Scans registered to an atlas at 1 mm.
  static PreprocessingContract paper() {
    PreprocessingContract c;
    c.space = "SRI24";
    return c;
  }
  /// The same 160 x 192 x 160 mm at 2 mm, for scans that need not be registered.
  static PreprocessingContract small() {
    PreprocessingContract c;
    c.spacing = {2, 2, 2};
    c.shape = {80, 96, 80};
    c.centring = Centring::mass;
    return c;
  }

  friend bool operator==(const PreprocessingContract&, const PreprocessingContract&) = default;

  static void visit(auto& self, auto&& v) {
    v("orientation", self.orientation);
    v("spacing", self.spacing);
    v("shape", self.shape);
    v("centring", self.centring);
    v("clip_negative", self.clip_negative);
    v("normalise", self.normalise);
    v("background", self.background);
    v("skull_stripped", self.skull_stripped);
    v("space", self.space);
  }

  /// mm along each axis.
  Vec3 extent() const {
    return {spacing[0] * static_cast<double>(shape[0]), spacing[1] * static_cast<double>(shape[1]),
            spacing[2] * static_cast<double>(shape[2])};
  }
};

/// Whether voxels of exactly 0 are kept as the background.
inline bool keeps_zero(const PreprocessingContract& c) {
  return c.normalise == Normalisation::zscore_nonzero && c.background == Background::zero;
}

/// Throws Error (config) unless every field is usable.
inline void require_valid(const PreprocessingContract& c) {
  (void)parse_orientation(c.orientation);
  for (std::size_t a = 0; a < 3; ++a) {
    if (!(c.spacing[a] >= 0.05 && c.spacing[a] <= 100))
      fail(ErrorKind::config, "contract.spacing", "contract: expected 0.05 to 100 mm between voxels of axis ", a,
           ", got ", c.spacing[a]);
    if (c.shape[a] < 1 || c.shape[a] > 4096)
      fail(ErrorKind::config, "contract.shape", "contract: expected 1 to 4096 voxels along axis ", a, ", got ",
           c.shape[a]);
  }
}

/// One line for logs and reports.
inline std::string describe(const PreprocessingContract& c) {
  return concat(c.orientation, ", ", describe(c.shape), " voxels of ",
                describe(Vec3{c.spacing[0], c.spacing[1], c.spacing[2]}), " mm, centred by ", enum_name(c.centring),
                ", ", c.clip_negative ? "negatives clipped, " : "", enum_name(c.normalise),
                c.normalise == Normalisation::zscore_nonzero ? concat(", background ", enum_name(c.background)) : "",
                c.skull_stripped ? ", skull-stripped" : "", c.space.empty() ? "" : ", in " + c.space);
}

}  // namespace braing3n::inline BRAING3N_ABI
