// Which way each voxel axis runs through the patient.
//
// A code of three letters names, for each voxel axis in file order, the direction in which its index grows: L or R, P or A,
// I or S. "LPS": the first index grows to the patient's left, the second to the back, the third to the top. (The same
// convention as nibabel's aff2axcodes; DICOM tools that speak of "LPS" mean their world axes instead.)
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "braing3n/volume/affine.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// For each voxel axis the world axis (0 = left-right, 1 = back-front, 2 = down-up) and the sense (+1: to R, A, S).
struct Orientation {
  std::array<int, 3> axis{0, 1, 2};
  std::array<int, 3> sign{1, 1, 1};
  friend bool operator==(const Orientation&, const Orientation&) = default;
};

inline std::string to_string(const Orientation& o) {
  constexpr std::string_view up = "RAS", down = "LPI";
  std::string code;
  for (std::size_t a = 0; a < 3; ++a) code += (o.sign[a] > 0 ? up : down)[static_cast<std::size_t>(o.axis[a])];
  return code;
}

/// "LPS" -> Orientation. Throws Error (config) for anything that is not one letter of each pair.
inline Orientation parse_orientation(std::string_view code) {
  Orientation o;
  bool good = code.size() == 3;
  unsigned seen = 0;
  for (std::size_t a = 0; good && a < 3; ++a) {
    const std::size_t up = std::string_view("RAS").find(code[a]), down = std::string_view("LPI").find(code[a]);
    good = up != std::string_view::npos || down != std::string_view::npos;
    if (!good) break;
    o.axis[a] = static_cast<int>(up != std::string_view::npos ? up : down);
    o.sign[a] = up != std::string_view::npos ? 1 : -1;
    seen |= 1u << o.axis[a];
  }
  if (!good || seen != 7u)
    fail(ErrorKind::config, "orientation.code",
         "orientation: expected three letters, one of each pair L/R, P/A, I/S (for example LPS or RAS), got \"", code,
         "\"");
  return o;
}

/// All 48, in a fixed order.
inline std::vector<Orientation> all_orientations() {
  std::vector<Orientation> all;
  for (const std::array<int, 3> axis : {std::array{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}})
    for (int flips = 0; flips < 8; ++flips)
      all.push_back({axis, {flips & 1 ? -1 : 1, flips & 2 ? -1 : 1, flips & 4 ? -1 : 1}});
  return all;
}

/// The orientation whose axes lie nearest to the voxel axes: of the six ways to pair them, the one with the largest sum of
/// |cosines| (the first of equals). Shears are taken out first. Throws Error (format) for a singular affine.
inline Orientation orientation_of(const Affine& affine) {
  if (singular(affine))
    fail(ErrorKind::format, "affine.singular", "affine: the voxel axes do not span space, so they have no orientation");
  const Affine r = nearest_rotation(affine);
  Orientation best;
  double best_sum = -1;
  for (const std::array<int, 3> axis : {std::array{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}) {
    double sum = 0;
    for (int a = 0; a < 3; ++a) sum += std::abs(r(axis[static_cast<std::size_t>(a)], a));
    if (sum > best_sum + 1e-9) {
      best_sum = sum;
      best.axis = axis;
    }
  }
  for (int a = 0; a < 3; ++a)
    best.sign[static_cast<std::size_t>(a)] = r(best.axis[static_cast<std::size_t>(a)], a) < 0 ? -1 : 1;
  return best;
}

/// The largest angle between a voxel axis and the anatomical axis it stands for, degrees. 0 for a straight scan.
inline double tilt_degrees(const Affine& affine) {
  const Orientation o = orientation_of(affine);
  const Vec3 s = spacing(affine);
  double worst = 0;
  for (int a = 0; a < 3; ++a) {
    const double cosine = std::abs(affine(o.axis[static_cast<std::size_t>(a)], a)) / s[static_cast<std::size_t>(a)];
    worst = std::max(worst, std::acos(std::min(1.0, cosine)) * (180.0 / 3.14159265358979323846));
  }
  return worst;
}

/// How to get from one orientation to another: axis a of the result is axis from[a] of the source, reversed when flip[a].
struct AxisOrder {
  std::array<int, 3> from{0, 1, 2};
  std::array<bool, 3> flip{false, false, false};
};

inline AxisOrder axis_order(const Orientation& source, const Orientation& target) {
  AxisOrder order;
  for (std::size_t a = 0; a < 3; ++a)
    for (std::size_t b = 0; b < 3; ++b)
      if (source.axis[b] == target.axis[a]) {
        order.from[a] = static_cast<int>(b);
        order.flip[a] = source.sign[b] != target.sign[a];
      }
  return order;
}

/// The affine after reordering: it sends every voxel to the place where it was. Exact up to one rounding of the translation.
inline Affine reordered(const Affine& affine, const std::array<Index, 3>& source_shape, const AxisOrder& order) {
  Affine result = affine;
  for (int a = 0; a < 3; ++a) {
    const int b = order.from[static_cast<std::size_t>(a)];
    const bool flip = order.flip[static_cast<std::size_t>(a)];
    for (int r = 0; r < 3; ++r) {
      result(r, a) = flip ? -affine(r, b) : affine(r, b);
      if (flip) result(r, 3) += affine(r, b) * static_cast<double>(source_shape[static_cast<std::size_t>(b)] - 1);
    }
  }
  return result;
}

}  // namespace braing3n::inline BRAING3N_ABI
