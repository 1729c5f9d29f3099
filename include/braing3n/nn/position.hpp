// Fixed three-dimensional sine-cosine position tables and the sinusoidal embedding of a scalar.
#pragma once

#include <array>
#include <cmath>
#include <vector>

#include "braing3n/autograd/parameter.hpp"

namespace braing3n::inline BRAING3N_ABI {

inline Index volume_of(const Extent3& e) { return e[0] * e[1] * e[2]; }

/// Element `channel` of the position row of grid cell (i0, i1, i2): width / 6 frequencies w_m = 10000^(-m / (width / 6)) per
/// axis, [sin, cos] blocks, the SECOND axis first, then the first, then the third: MONAI's order, which its published weights
/// rely on. Throws Error (config) when width is not divisible by 6.
inline double sincos3d(const Extent3& cell, Index width, Index channel) {
  const Index frequencies = width / 6;
  constexpr int axis_of_block[3] = {1, 0, 2};
  const Index block = channel / (2 * frequencies), within = channel % (2 * frequencies), m = within % frequencies;
  const double angle = static_cast<double>(cell[static_cast<std::size_t>(axis_of_block[block])]) *
                       std::pow(10000.0, -static_cast<double>(m) / static_cast<double>(frequencies));
  return within < frequencies ? std::sin(angle) : std::cos(angle);
}

/// The rule of a table (1, [class row +] grid, width) of such rows; the class row is zero. Tokens are row-major over the grid.
inline Init sincos3d_table(const Extent3& grid, Index width, bool class_row) {
  if (width % 6 != 0)
    fail(ErrorKind::config, "position.width", "sine-cosine positions in 3D: expected a width divisible by 6, got ",
         width);
  return {Init::Kind::table, 0.0, [grid, width, class_row](Index i) {
            Index token = i / width;
            if (class_row && token-- == 0) return 0.0;
            const Extent3 cell = {token / (grid[1] * grid[2]), token / grid[2] % grid[1], token % grid[2]};
            return sincos3d(cell, width, i % width);
          }};
}

/// [cos(v f_0..), sin(v f_0..)] with f_k = 10000^(-k / half), half = size / 2, cosine first (Peebles and Xie 2023, after
/// Nichol et al.). Returns (n, size) row-major, computed in double.
inline std::vector<double> sinusoidal_features(const std::vector<double>& values, Index size) {
  const Index half = size / 2;
  std::vector<double> rows(values.size() * static_cast<std::size_t>(size));
  for (std::size_t n = 0; n < values.size(); ++n)
    for (Index k = 0; k < half; ++k) {
      const double angle = values[n] * std::pow(10000.0, -static_cast<double>(k) / static_cast<double>(half));
      rows[n * static_cast<std::size_t>(size) + static_cast<std::size_t>(k)] = std::cos(angle);
      rows[n * static_cast<std::size_t>(size) + static_cast<std::size_t>(half + k)] = std::sin(angle);
    }
  return rows;
}

}  // namespace braing3n::inline BRAING3N_ABI
