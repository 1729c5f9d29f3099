// The template head of the phantom: positions and shapes of its parts, in mm; x to the left, y to the back, z up,
// origin in the middle of the head. One hemisphere stands for both: m.x >= 0.
#pragma once

#include <cmath>

#include "braing3n/phantom/shapes.hpp"

namespace braing3n::inline BRAING3N_ABI::phantom::detail {

inline double cube(double v) { return v * v * v; }
/// Scale of the shapes below for one ventricle's, or both hippocampi's, ml at size 1; fits to rendered heads.
inline double ventricle_scale(double ml) { return std::pow(ml / 4.6, 0.529); }
inline double hippocampus_scale(double ml) { return std::sqrt(ml / 5.78); }

inline const Tube& brainstem() {
  static const Tube tube({{0, 0, -8, 15}, {0, 6, -19, 14.5}, {0, 6, -34, 15}, {0, 11, -44, 11.5}, {0, 17, -66, 7.5}});
  return tube;
}

/// Depth in the cerebrum without its sulci: an egg, flat below, with temporal lobes.
inline double cerebrum_depth(const Point& m) {
  static const Tube temporal({{34, -25, -31, 16.5}, {42, -5, -31, 18.5}, {46, 24, -22, 18.5}, {38, 42, -14, 14}});
  const double x = m.x * (1 - 0.0011 * m.y) + 0.4, z = m.z - 4;  // narrower in front
  const double rz = z > 0 ? 60 : 35, a = x / 65, b = m.y / 81, c = z / rz;
  const double flat = std::sqrt(std::sqrt(square(a * a) + square(b * b) + square(c * c)));
  const double one = std::sqrt(a * a + b * b + c * c) + 1e-9,
               two = std::sqrt(square(a / 65) + square(b / 81) + square(c / rz)) + 1e-9;
  return join((1 - 0.62 * one - 0.38 * flat) * one / two, temporal.depth(m, 30), 5);
}

inline double cerebellum_depth(const Point& m) {
  return join(ellipsoid_depth(m.x - 21, m.y - 42, m.z + 42, 28, 26, 20),
              ellipsoid_depth(m.x, m.y - 40, m.z + 37, 13, 23, 22), 5);
}

/// Height in which a lateral ventricle is round: it is flat and droops to the side.
inline double upright(double x, double z) { return 1.3 * z + 0.35 * (x - 12); }

/// Lateral ventricle: frontal horn, body, atrium, occipital and temporal horn, in upright() heights. It widens to the side.
inline Tube ventricle_tube(double k) {
  const double out = 3.0 * (k - 1);
  const auto knot = [&](double x, double y, double z, double r, double move) {
    return TubeKnot{x + move * out, y, upright(x + move * out, z), r * k};
  };
  return Tube({knot(10.5, -41, -5, 2.2, 1), knot(8, -30, 2, 4.6, 1), knot(9.5, -12, 10.5, 4.0, 1),
               knot(13, 6, 11.5, 3.9, 1), knot(23.5, 21, 3, 5.2, 0.6), knot(24, 45 + 2 * (k - 1), -3, 1.6, 0.3),
               knot(24, 27, 0, 4.0, 0.5), knot(33.5, 14, -11, 2.1, 0.2), knot(32.5, -6, -21.5, 1.8, 0)});
}

/// From its head below the amygdala up and back to the tail behind the thalamus.
inline Tube hippocampus_tube(double k) {
  return Tube({{21, -9, -27.5, 5.2 * k},
               {25.5, 1, -25, 5.0 * k},
               {28.5, 11, -19, 4.3 * k},
               {24.5, 20, -10, 3.0 * k},
               {20, 23, -4, 1.8 * k}});
}

/// Head and tail along the ventricle, which pushes it aside by w mm.
inline Tube caudate_tube(double w) {
  return Tube({{15 + w, -35, -7, 4.5},
               {15.5 + w, -27, 3, 5},
               {18 + w, -12, 12, 3.3},
               {19.5 + w, 4, 13.5, 2.4},
               {25 + w, 16, 5, 1.6}});
}

}  // namespace braing3n::inline BRAING3N_ABI::phantom::detail
