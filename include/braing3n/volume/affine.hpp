// From voxel indices to millimetres.
//
// An affine maps a voxel index (i, j, k) to world coordinates in mm: world = linear * index + translation. The world is
// NIfTI's: x grows to the patient's right, y to the front (anterior), z to the top (superior). Indices name voxel centres.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>

#include "braing3n/base/error.hpp"

namespace braing3n::inline BRAING3N_ABI {

using Vec3 = std::array<double, 3>;

struct Affine {
  std::array<std::array<double, 4>, 3> rows{{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}}};

  double& operator()(int row, int column) {
    return rows[static_cast<std::size_t>(row)][static_cast<std::size_t>(column)];
  }
  double operator()(int row, int column) const {
    return rows[static_cast<std::size_t>(row)][static_cast<std::size_t>(column)];
  }
  friend bool operator==(const Affine&, const Affine&) = default;

  /// World position of a voxel index.
  Vec3 operator*(const Vec3& index) const {
    Vec3 world{};
    for (std::size_t r = 0; r < 3; ++r)
      world[r] = rows[r][0] * index[0] + rows[r][1] * index[1] + rows[r][2] * index[2] + rows[r][3];
    return world;
  }

  /// (a * b) maps an index through b first.
  friend Affine operator*(const Affine& a, const Affine& b) {
    Affine c;
    for (int r = 0; r < 3; ++r)
      for (int k = 0; k < 4; ++k)
        c(r, k) = a(r, 0) * b(0, k) + a(r, 1) * b(1, k) + a(r, 2) * b(2, k) + (k == 3 ? a(r, 3) : 0.0);
    return c;
  }

  Vec3 column(int k) const { return {(*this)(0, k), (*this)(1, k), (*this)(2, k)}; }

  bool finite() const {
    for (const auto& row : rows)
      for (const double v : row)
        if (!std::isfinite(v)) return false;
    return true;
  }

  double determinant() const {
    const Affine& m = *this;
    return m(0, 0) * (m(1, 1) * m(2, 2) - m(1, 2) * m(2, 1)) - m(0, 1) * (m(1, 0) * m(2, 2) - m(1, 2) * m(2, 0)) +
           m(0, 2) * (m(1, 0) * m(2, 1) - m(1, 1) * m(2, 0));
  }
};

inline Affine translation(const Vec3& by) {
  Affine a;
  for (int r = 0; r < 3; ++r) a(r, 3) = by[static_cast<std::size_t>(r)];
  return a;
}
inline Affine scaling(const Vec3& by) {
  Affine a;
  for (int r = 0; r < 3; ++r) a(r, r) = by[static_cast<std::size_t>(r)];
  return a;
}

/// Distance between neighbouring voxel centres along each voxel axis, mm.
inline Vec3 spacing(const Affine& a) {
  Vec3 s{};
  for (int k = 0; k < 3; ++k)
    s[static_cast<std::size_t>(k)] = std::sqrt(a(0, k) * a(0, k) + a(1, k) * a(1, k) + a(2, k) * a(2, k));
  return s;
}

/// Volume of a voxel relative to the box with its edge lengths: 1 for orthogonal axes, 0 when they lie in a plane.
inline double independence(const Affine& a) {
  const Vec3 s = spacing(a);
  const double box = s[0] * s[1] * s[2];
  return box > 0 && std::isfinite(box) ? std::abs(a.determinant()) / box : 0.0;
}

/// No position can be computed back to a voxel: a zero or non-finite column, or axes in one plane.
inline bool singular(const Affine& a) { return !a.finite() || !(independence(a) > 1e-6); }

inline Affine inverse(const Affine& a) {
  if (singular(a))
    fail(ErrorKind::format, "affine.singular",
         "affine: the voxel axes do not span space, positions cannot be mapped back");
  const double d = 1.0 / a.determinant();
  Affine b;
  for (int r = 0; r < 3; ++r)
    for (int c = 0; c < 3; ++c) {  // cofactors; the cyclic indices carry their sign
      const int r1 = (c + 1) % 3, r2 = (c + 2) % 3, c1 = (r + 1) % 3, c2 = (r + 2) % 3;
      b(r, c) = (a(r1, c1) * a(r2, c2) - a(r1, c2) * a(r2, c1)) * d;
    }
  for (int r = 0; r < 3; ++r) b(r, 3) = -(b(r, 0) * a(0, 3) + b(r, 1) * a(1, 3) + b(r, 2) * a(2, 3));
  return b;
}

/// The largest |cosine| between two voxel axes: 0 when they are orthogonal.
inline double shear(const Affine& a) {
  const Vec3 s = spacing(a);
  double worst = 0;
  for (int i = 0; i < 3; ++i)
    for (int j = i + 1; j < 3; ++j) {
      const double dot = a(0, i) * a(0, j) + a(1, i) * a(1, j) + a(2, i) * a(2, j);
      worst = std::max(worst, std::abs(dot) / (s[static_cast<std::size_t>(i)] * s[static_cast<std::size_t>(j)]));
    }
  return worst;
}

/// The orthogonal matrix nearest to the directions of the voxel axes (the polar factor, by Newton's iteration
/// X <- (X + X^-T) / 2; Higham 1986). Translation is zero. Written out for 3 x 3: every program with volumes includes this header, and
/// Eigen's SVD would cost it seconds to compile.
inline Affine nearest_rotation(const Affine& a) {
  const Vec3 s = spacing(a);
  Affine x;
  for (int r = 0; r < 3; ++r)
    for (int c = 0; c < 3; ++c) x(r, c) = a(r, c) / s[static_cast<std::size_t>(c)];
  for (int iteration = 0; iteration < 100; ++iteration) {
    const Affine y = inverse(x);
    double change = 0;
    Affine next;
    for (int r = 0; r < 3; ++r)
      for (int c = 0; c < 3; ++c) {
        next(r, c) = 0.5 * (x(r, c) + y(c, r));
        change = std::max(change, std::abs(next(r, c) - x(r, c)));
      }
    x = next;
    if (change < 1e-15) break;
  }
  return x;
}

}  // namespace braing3n::inline BRAING3N_ABI
