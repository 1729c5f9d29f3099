// Tissue maps of a phantom head at one visit, and their volumes in ml.
//
//   phantom::TissueMaps tissues = phantom::render_tissues(ctx, subject, age, visit, shape);
//   Volume t1 = phantom::render_image(ctx, subject, tissues, {.modality = Modality::T1, .visit = visit});
//
// The numbers are in subject.hpp, the shapes in anatomy.hpp, render_image in scanner.hpp. Slices are rendered in parallel and summed in
// order: the result does not depend on the number of threads.
#pragma once

#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "braing3n/backend/cpu/context/context.hpp"
#include "braing3n/phantom/anatomy.hpp"
#include "braing3n/phantom/truth.hpp"

namespace braing3n::inline BRAING3N_ABI::phantom {

/// The share of each voxel that a tissue fills, one map (X, Y, Z) per tissue; maps of tumour tissues are empty in subjects without one.
struct TissueMaps {
  Grid grid;
  std::array<std::vector<float>, tissue_count> maps;
  Truth truth;
  double age = 0;

  const std::vector<float>& map(Tissue t) const { return maps[static_cast<std::size_t>(t)]; }
  /// Share of the voxel that lies in the head.
  float head(Index at) const {
    float sum = 0;
    for (const std::vector<float>& m : maps)
      if (!m.empty()) sum += m[static_cast<std::size_t>(at)];
    return sum;
  }
};

inline constexpr Vec3 field_of_view = {160, 192, 160};  // mm

/// A grid of that shape over the field of view, in LPS order; the middle of the head is at 0. Throws Error (argument) outside 40 x 48 x 40 to 160 x 192 x 160.
inline Grid head_grid(const Extent3& shape) {
  constexpr Extent3 smallest = {40, 48, 40}, largest = {160, 192, 160};
  Grid grid;
  for (std::size_t a = 0; a < 3; ++a)
    if (shape[a] < smallest[a] || shape[a] > largest[a])
      fail(ErrorKind::argument, "phantom.shape", "phantom: expected a shape from ", describe(smallest), " to ",
           describe(largest), ", got ", describe(shape));
  grid.shape = shape;
  // Voxel axes run to the left, to the back and up; world axes of NIfTI run to the right, to the front and up.
  constexpr double sign[3] = {-1, -1, 1};
  for (int a = 0; a < 3; ++a) {
    const double cover = field_of_view[static_cast<std::size_t>(a)],
                 voxel = cover / static_cast<double>(shape[static_cast<std::size_t>(a)]);
    grid.affine(a, a) = sign[a] * voxel;
    grid.affine(a, 3) = -sign[a] * 0.5 * (cover - voxel);
  }
  return grid;
}

/// One head at one age (years, 0 to 120; visit: 0 for the first). Voxels are averages over points at most 2 mm apart.
/// Throws Error (argument).
inline TissueMaps render_tissues(Context<Cpu>& ctx, const Subject& subject, double age, std::uint32_t visit,
                                 const Extent3& shape) {
  if (!(age >= 0 && age <= most_age))
    fail(ErrorKind::argument, "phantom.age", "phantom: expected an age of 0 to ", most_age, " years, got ", age);
  TissueMaps result;
  result.grid = head_grid(shape);
  result.age = age;
  const Index voxels = voxel_count(shape), plane = shape[1] * shape[2];
  for (std::size_t t = 0; t < tissue_count; ++t) {
    const bool of_tumour = t == static_cast<std::size_t>(Tissue::necrosis) ||
                           t == static_cast<std::size_t>(Tissue::tumour) ||
                           t == static_cast<std::size_t>(Tissue::oedema);
    if (subject.has_tumour() || !of_tumour) result.maps[t].assign(static_cast<std::size_t>(voxels), 0.0f);
  }
  Extent3 fine = shape, per{};
  double step[3], mm = 0;
  for (std::size_t a = 0; a < 3; ++a) {
    per[a] = static_cast<Index>(std::ceil(field_of_view[a] / static_cast<double>(shape[a]) / 2.0 - 1e-9));
    fine[a] *= per[a];
    step[a] = field_of_view[a] / static_cast<double>(fine[a]);
    mm = std::max(mm, step[a]);
  }
  const double weight = 1.0 / static_cast<double>(voxel_count(per));
  const detail::Anatomy brain(subject, age, visit, fine, mm);
  std::vector<std::array<double, tissue_count>> sums(static_cast<std::size_t>(shape[0]));

  ctx.parallel(shape[0], [&](Index i) {
    detail::Anatomy b = brain;
    std::vector<TissueShares> slice(static_cast<std::size_t>(plane), TissueShares{});
    for (Index fi = i * per[0]; fi < (i + 1) * per[0]; ++fi) {
      b.start_slice(fi);
      const double x = (static_cast<double>(fi) + 0.5) * step[0] - 0.5 * field_of_view[0];
      for (Index fj = 0; fj < fine[1]; ++fj) {
        b.start_row(fj);
        const double y = (static_cast<double>(fj) + 0.5) * step[1] - 0.5 * field_of_view[1];
        TissueShares* row = slice.data() + fj / per[1] * shape[2];
        for (Index fk = 0; fk < fine[2]; ++fk)
          b.sample(fk, x, y, (static_cast<double>(fk) + 0.5) * step[2] - 0.5 * field_of_view[2], weight,
                   row[fk / per[2]]);
      }
    }
    std::array<double, tissue_count> sum{};
    for (std::size_t v = 0; v < slice.size(); ++v)
      for (std::size_t t = 0; t < tissue_count; ++t) {
        sum[t] += slice[v][t];
        if (!result.maps[t].empty())
          result.maps[t][static_cast<std::size_t>(i * plane) + v] = static_cast<float>(slice[v][t]);
      }
    sums[static_cast<std::size_t>(i)] = sum;
  });

  std::array<double, tissue_count> ml{};
  for (const auto& sum : sums)
    for (std::size_t t = 0; t < tissue_count; ++t)
      ml[t] += sum[t] * field_of_view[0] * field_of_view[1] * field_of_view[2] / static_cast<double>(voxels) / 1000;
  const auto of = [&](Tissue t) { return ml[static_cast<std::size_t>(t)]; };
  Truth& truth = result.truth;
  truth.grey_matter = of(Tissue::cortex) + of(Tissue::deep) + of(Tissue::putamen) + of(Tissue::hippocampus);
  truth.white_matter = of(Tissue::white) + of(Tissue::lesion) + of(Tissue::oedema);
  truth.ventricles = of(Tissue::ventricle);
  truth.hippocampi = of(Tissue::hippocampus);
  truth.necrosis = of(Tissue::necrosis);
  truth.tumour = of(Tissue::tumour) + truth.necrosis;
  truth.oedema = of(Tissue::oedema);
  truth.enhancing = of(Tissue::tumour) * subject.tumour.enhancement;
  truth.brain = truth.grey_matter + truth.white_matter + truth.tumour;
  return result;
}

}  // namespace braing3n::inline BRAING3N_ABI::phantom
