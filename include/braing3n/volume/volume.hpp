// A scan: values on a grid, and where the grid lies in the patient.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "braing3n/base/shape.hpp"
#include "braing3n/base/text.hpp"
#include "braing3n/volume/affine.hpp"
#include "braing3n/volume/xtensor.hpp"

namespace braing3n::inline BRAING3N_ABI {

inline Index voxel_count(const Extent3& shape) { return shape[0] * shape[1] * shape[2]; }

/// "240 x 240 x 155"
inline std::string describe(const Extent3& shape) { return concat(shape[0], " x ", shape[1], " x ", shape[2]); }
/// "1 x 1 x 1.25", four significant digits
inline std::string describe(const Vec3& v) {
  return joined(v, " x ", [](double x) { return significant(x); });
}

/// Extents and place of a volume.
struct Grid {
  Extent3 shape{0, 0, 0};
  Affine affine;
  friend bool operator==(const Grid&, const Grid&) = default;
};

/// Where values come from. It goes with a volume through every operation and into the file that is written of it.
enum class Provenance {
  scan,            // a scanner, or not known
  reconstruction,  // a scan that went through a model and back
  synthetic,       // a sample of a model, or a phantom
};

/// The word that marks files: "RECONSTRUCTION", "SYNTHETIC"; none for scans.
constexpr std::string_view mark_of(Provenance provenance) {
  switch (provenance) {
    case Provenance::scan:
      return "";
    case Provenance::reconstruction:
      return "RECONSTRUCTION";
    case Provenance::synthetic:
      return "SYNTHETIC";
  }
  return "";
}
constexpr Provenance provenance_of_mark(std::string_view mark) {
  for (const Provenance p : {Provenance::reconstruction, Provenance::synthetic})
    if (mark == mark_of(p)) return p;
  return Provenance::scan;
}

/// Values (X, Y, Z): axis 0 is the first voxel axis of the file, and the last axis lies next to each other in memory
/// (row-major, although a NIfTI file stores the first axis next to each other). values(i, j, k) is nibabel's array[i, j, k].
struct Volume {
  xt::xtensor<float, 3> values;
  Affine affine;  // voxel index -> mm
  Provenance provenance = Provenance::scan;

  Volume() = default;
  /// Uninitialised values.
  explicit Volume(const Grid& grid, Provenance from = Provenance::scan)
      : values(uninitialised(grid.shape)), affine(grid.affine), provenance(from) {}
  Volume(xt::xtensor<float, 3> v, const Affine& a, Provenance from = Provenance::scan)
      : values(std::move(v)), affine(a), provenance(from) {}

  Extent3 shape() const {
    return {static_cast<Index>(values.shape()[0]), static_cast<Index>(values.shape()[1]),
            static_cast<Index>(values.shape()[2])};
  }
  Index size() const { return static_cast<Index>(values.size()); }
  Grid grid() const { return {shape(), affine}; }
  float* data() { return values.data(); }
  const float* data() const { return values.data(); }

  static xt::xtensor<float, 3> uninitialised(const Extent3& s) {
    (void)Shape{s[0], s[1], s[2]};  // refuses negative and overflowing extents
    return xt::xtensor<float, 3>::from_shape(
        {static_cast<std::size_t>(s[0]), static_cast<std::size_t>(s[1]), static_cast<std::size_t>(s[2])});
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
