// Building blocks of the phantom: soft edges, tubes, smooth random fields and the folds of the cortex.
//
// Depths are in mm, positive inside. An edge is a smooth step as wide as a voxel, odd around the boundary, so a shape keeps its
// volume at every resolution, and a sheet thinner than a voxel keeps its share of it.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "braing3n/base/philox.hpp"
#include "braing3n/volume/volume.hpp"

namespace braing3n::inline BRAING3N_ABI::phantom::detail {

struct Point {
  double x, y, z;
};

inline double square(double v) { return v * v; }
/// 0 below -1, 1 above 1, smooth and odd around (0, 1/2).
inline double soft(double t) {
  t = std::clamp(t, -1.0, 1.0);
  return 0.5 + t * (0.75 - 0.25 * t * t);
}
/// The share of a layer from -half to half at distance s >= 0 from its middle, with edges of width w.
inline double soft_sheet(double s, double half, double w) { return soft((half - s) / w) - soft((-half - s) / w); }
/// The larger of two depths, rounded over k mm where they are close: joins two shapes.
inline double join(double a, double b, double k) {
  const double h = std::max(k - std::abs(a - b), 0.0);
  return std::max(a, b) + h * h / (4 * k);
}

/// Depth in an ellipsoid with half axes r around the origin, exact at its surface to first order.
inline double ellipsoid_depth(double x, double y, double z, double rx, double ry, double rz) {
  const double a = x / rx, b = y / ry, c = z / rz;
  const double one = std::sqrt(a * a + b * b + c * c) + 1e-9,
               two = std::sqrt(square(a / rx) + square(b / ry) + square(c / rz)) + 1e-9;
  return (1 - one) * one / two;
}

struct TubeKnot {
  double x, y, z, radius;
};

/// A chain of cones with round ends.
class Tube {
 public:
  Tube() = default;
  explicit Tube(std::vector<TubeKnot> knots) : knots_(std::move(knots)) {
    for (std::size_t i = 0; i + 1 < knots_.size(); ++i) {
      const TubeKnot &a = knots_[i], &b = knots_[i + 1];
      inverse_.push_back(1.0 / (square(b.x - a.x) + square(b.y - a.y) + square(b.z - a.z)));
    }
    for (const TubeKnot& k : knots_) {
      low_ = {std::min(low_.x, k.x - k.radius), std::min(low_.y, k.y - k.radius), std::min(low_.z, k.z - k.radius)};
      high_ = {std::max(high_.x, k.x + k.radius), std::max(high_.y, k.y + k.radius), std::max(high_.z, k.z + k.radius)};
    }
  }

  /// Depth of p; below -reach it may be any smaller number.
  double depth(const Point& p, double reach = 4) const {
    if (p.x < low_.x - reach || p.x > high_.x + reach || p.y < low_.y - reach || p.y > high_.y + reach ||
        p.z < low_.z - reach || p.z > high_.z + reach)
      return -1e3;
    double best = -1e3;
    for (std::size_t i = 0; i < inverse_.size(); ++i) {
      const TubeKnot &a = knots_[i], &b = knots_[i + 1];
      const double dx = b.x - a.x, dy = b.y - a.y, dz = b.z - a.z, px = p.x - a.x, py = p.y - a.y, pz = p.z - a.z;
      const double t = std::clamp((px * dx + py * dy + pz * dz) * inverse_[i], 0.0, 1.0);
      best = std::max(best, a.radius + t * (b.radius - a.radius) -
                                std::sqrt(square(px - t * dx) + square(py - t * dy) + square(pz - t * dz)));
    }
    return best;
  }

 private:
  std::vector<TubeKnot> knots_;
  std::vector<double> inverse_;
  Point low_{1e9, 1e9, 1e9}, high_{-1e9, -1e9, -1e9};
};

/// A smooth random field over the head: normal coefficients at the knots of a coarse grid, Gaussian interpolation, variance 1.
class SmoothField {
 public:
  SmoothField(const Extent3& shape, const Extent3& knots, const Philox& rng) : knots_(knots) {
    coefficients_.resize(static_cast<std::size_t>(knots[0] * knots[1] * knots[2]));
    for (std::size_t i = 0; i < coefficients_.size(); ++i) coefficients_[i] = rng.normal(i);
    for (std::size_t a = 0; a < 3; ++a) weights_[a] = axis_weights(shape[a], knots[a]);
  }

  /// The values of one slice (axis 0 fixed) and one row of it, cheaply: contracts axis 0 once per slice, axis 1 once per row.
  void start_slice(Index i) {
    plane_.assign(static_cast<std::size_t>(knots_[1] * knots_[2]), 0.0);
    for (Index a = 0; a < knots_[0]; ++a) {
      const double w = weights_[0][static_cast<std::size_t>(i * knots_[0] + a)];
      for (std::size_t j = 0; j < plane_.size(); ++j)
        plane_[j] += w * coefficients_[static_cast<std::size_t>(a) * plane_.size() + j];
    }
  }
  void start_row(Index j) {
    row_.assign(static_cast<std::size_t>(knots_[2]), 0.0);
    for (Index b = 0; b < knots_[1]; ++b) {
      const double w = weights_[1][static_cast<std::size_t>(j * knots_[1] + b)];
      for (std::size_t c = 0; c < row_.size(); ++c)
        row_[c] += w * plane_[static_cast<std::size_t>(b) * row_.size() + c];
    }
  }
  double at(Index k) const {
    double v = 0;
    for (std::size_t c = 0; c < row_.size(); ++c)
      v += row_[c] * weights_[2][static_cast<std::size_t>(k) * row_.size() + c];
    return v;
  }

 private:
  static std::vector<double> axis_weights(Index n, Index knots) {
    std::vector<double> w(static_cast<std::size_t>(n * knots));
    const double spacing = static_cast<double>(n) / static_cast<double>(knots - 1), width = 0.6 * spacing;
    for (Index i = 0; i < n; ++i) {
      double squares = 0;
      double* row = w.data() + i * knots;
      for (Index k = 0; k < knots; ++k) {
        const double d = (static_cast<double>(i) + 0.5 - static_cast<double>(k) * spacing) / width;
        row[k] = std::exp(-0.5 * d * d);
        squares += row[k] * row[k];
      }
      for (Index k = 0; k < knots; ++k) row[k] /= std::sqrt(squares);
    }
    return w;
  }

  Extent3 knots_;
  std::vector<double> coefficients_, plane_, row_;
  std::array<std::vector<double>, 3> weights_;
};

/// The positions of sulci: the zero sheets of a sum of plane waves of about one wavelength, tabulated with its gradient. The waves of
/// the template are the same for all subjects and mirrored between the hemispheres; every subject adds weaker ones of its own.
class FoldTable {
 public:
  FoldTable(std::uint64_t seed, std::uint32_t subject)
      : table_(static_cast<std::size_t>(nodes[0] * nodes[1] * nodes[2])) {
    add(Philox(4242, Purpose::phantom, 1, 0), 32, 1.0, true);
    add(Philox(seed, Purpose::phantom, 1 << 20, subject), 16, own_share, false);
  }

  struct Value {
    float g, x, y, z;  // the sum and its gradient per mm; variance of g about 1
  };

  Value at(const Point& p) const {
    const double u[3] = {(p.x - first[0]) / step, (p.y - first[1]) / step, (p.z - first[2]) / step};
    Index cell[3];
    float f[3];
    for (std::size_t a = 0; a < 3; ++a) {
      const double inside = std::clamp(u[a], 0.0, static_cast<double>(nodes[a]) - 1.001);
      cell[a] = static_cast<Index>(inside);
      f[a] = static_cast<float>(inside - static_cast<double>(cell[a]));
    }
    const Value* base = table_.data() + (cell[0] * nodes[1] + cell[1]) * nodes[2] + cell[2];
    const auto along_z = [&](const Value* v) { return mix(v[0], v[1], f[2]); };
    const auto along_y = [&](const Value* v) { return mix(along_z(v), along_z(v + nodes[2]), f[1]); };
    return mix(along_y(base), along_y(base + nodes[1] * nodes[2]), f[0]);
  }

  static constexpr double wavelength = 16.0, own_share = 0.45;

 private:
  static constexpr double step = 2.5, first[3] = {-72.5, -92.5, -72.5};
  static constexpr Index nodes[3] = {59, 75, 59};

  static Value mix(const Value& a, const Value& b, float t) {
    return {a.g + t * (b.g - a.g), a.x + t * (b.x - a.x), a.y + t * (b.y - a.y), a.z + t * (b.z - a.z)};
  }

  void add(const Philox& rng, int waves, double share, bool mirrored) {
    const float amplitude = static_cast<float>(share * std::sqrt(2.0 / waves));
    std::vector<float> cz(static_cast<std::size_t>(nodes[2])), sz(cz.size());
    for (int w = 0; w < waves; ++w) {
      const std::uint64_t draw = 8 * static_cast<std::uint64_t>(w);
      const double d[3] = {rng.normal(draw), rng.normal(draw + 1), rng.normal(draw + 2)};
      const double norm = std::sqrt(square(d[0]) + square(d[1]) + square(d[2])) + 1e-9;
      const double k =
          2 * 3.14159265358979 / wavelength * (1 + 0.15 * (2 * static_cast<double>(rng.uniform(draw + 4)) - 1));
      const double kx = k * d[0] / norm, ky = k * d[1] / norm, kz = k * d[2] / norm,
                   phase = 6.28318530717959 * static_cast<double>(rng.uniform(draw + 5));
      for (std::size_t i = 0; i < cz.size(); ++i) {
        const double z = kz * (first[2] + step * static_cast<double>(i));
        cz[i] = amplitude * static_cast<float>(std::cos(z));
        sz[i] = amplitude * static_cast<float>(std::sin(z));
      }
      for (Index i = 0; i < nodes[0]; ++i)
        for (Index j = 0; j < nodes[1]; ++j) {
          const double x = first[0] + step * static_cast<double>(i), y = first[1] + step * static_cast<double>(j);
          if (square(x / 72) + square(y / 92) > 1) continue;
          const double a = kx * (mirrored ? std::abs(x) : x) + ky * y + phase;
          const float c = static_cast<float>(std::cos(a)), s = static_cast<float>(std::sin(a));
          const float gx = static_cast<float>(mirrored && x < 0 ? -kx : kx), gy = static_cast<float>(ky),
                      gz = static_cast<float>(kz);
          Value* v = table_.data() + (i * nodes[1] + j) * nodes[2];
          for (std::size_t l = 0; l < cz.size(); ++l) {
            const float slope = -(s * cz[l] + c * sz[l]);
            v[l].g += c * cz[l] - s * sz[l];
            v[l].x += gx * slope;
            v[l].y += gy * slope;
            v[l].z += gz * slope;
          }
        }
    }
  }

  std::vector<Value> table_;
};

}  // namespace braing3n::inline BRAING3N_ABI::phantom::detail
