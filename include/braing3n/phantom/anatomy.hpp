// The anatomy of the phantom: which tissue is where in one brain at one age.
//
// All parts lie in the template head (template.hpp), which smooth fields warp and the subject's size scales. The cortex is a ribbon of
// constant thickness below all surfaces that touch fluid: the hull, the fissure between the hemispheres, the Sylvian fissures with the
// insula, and the sulci. A sulcus is a sheet below the hull where the field of FoldTable is zero. The field is read at the nearest point of
// the surface, so that sheets stand upright. Tissues are painted from the front: each takes a share of what is left of the voxel, so the
// shares sum to the head.
#pragma once

#include <memory>

#include "braing3n/phantom/subject.hpp"
#include "braing3n/phantom/template.hpp"

namespace braing3n::inline BRAING3N_ABI::phantom {

/// In the order of painting. `vessel` takes up contrast; `lesion` is white matter that is bright on T2 and FLAIR.
enum class Tissue {
  necrosis,
  tumour,
  hippocampus,
  ventricle,
  vessel,
  fluid,
  putamen,
  deep,
  cortex,
  oedema,
  lesion,
  white
};
inline constexpr std::size_t tissue_count = 12;
/// Shares of a voxel; their sum is the share that lies in the head.
using TissueShares = std::array<double, tissue_count>;

namespace detail {

class Anatomy {
 public:
  /// fine: the grid on which samples are taken; mm: the largest distance of its points.
  Anatomy(const Subject& subject, double age, std::uint32_t visit, const Extent3& fine, double mm)
      : subject_(subject), sizes_(morphometry_at(subject, age)), edge_(0.3 + 0.75 * mm),
        folds_(std::make_shared<const FoldTable>(subject.seed, subject.index)),
        fields_{field(fine, {5, 6, 5}, 1), field(fine, {5, 6, 5}, 2), field(fine, {5, 6, 5}, 3),
                field(fine, {7, 8, 7}, 4), field(fine, {9, 11, 9}, 5)} {
    Draws session(subject.seed, subject.index, static_cast<std::uint32_t>(Stream::session) + visit);
    for (double& m : move_) m = session.normal(0.4);
    for (std::size_t a = 0; a < 3; ++a) scale_[a] = subject.size * subject.aspect[a];
    const double one = 0.5 * sizes_.ventricles_ml / cube(subject.size);
    ventricles_[0] = ventricle_tube(ventricle_scale(one * std::exp(-subject.asymmetry)));
    ventricles_[1] = ventricle_tube(ventricle_scale(one * std::exp(subject.asymmetry)));
    hippocampus_ = hippocampus_tube(hippocampus_scale(sizes_.hippocampi_ml / cube(subject.size)));
    bed_ = hippocampus_tube(1.12);
    caudate_ = caudate_tube(4.0 * (ventricle_scale(one) - 1));
  }

  void start_slice(Index i) {
    for (SmoothField& f : fields_) f.start_slice(i);
  }
  void start_row(Index j) {
    for (SmoothField& f : fields_) f.start_row(j);
  }

  /// Adds the shares at point k of the current row, at (x, y, z) mm, to out.
  void sample(Index k, double x, double y, double z, double weight, TissueShares& out) const {
    if (square(x / 84) + square(y / 104) + square(z / 84) > square(1.03 * subject_.size)) return;
    const Point head{x - move_[0], y - move_[1], z - move_[2]};
    const double irregular = fields_[4].at(k);
    const Point q{head.x / scale_[0] + 1.6 * fields_[0].at(k), head.y / scale_[1] + 1.6 * fields_[1].at(k),
                  head.z / scale_[2] + 1.6 * fields_[2].at(k)};
    const double w = edge_ / subject_.size;
    const Point m{std::abs(q.x), q.y, q.z};  // both hemispheres in one

    // The three parts of the brain, and the head around them.
    const double below = cerebellum_depth(m), stem = brainstem().depth(m, 20);
    double upper = cerebrum_depth(m);
    const double hull = join(join(upper, below, 6), stem, 8) + 1.6;
    if (hull < -w) return;
    upper = std::min(upper, -below - 0.6 - 0.6 * sizes_.gap_mm);
    double rest = weight * soft(hull / w);
    const auto take = [&](Tissue t, double share) {
      const double amount = rest * std::clamp(share, 0.0, 1.0);
      out[static_cast<std::size_t>(t)] += amount;
      rest -= amount;
    };

    if (subject_.has_tumour()) {
      const Tumour& t = subject_.tumour;
      const double u =
          std::sqrt(square(head.x - t.centre[0]) + square(head.y - t.centre[1]) + square(head.z - t.centre[2])) *
          (1 + 0.11 * irregular + 0.10 * fields_[3].at(k));
      const double inside = soft((upper + 2) / 3);
      if (t.necrosis > 0) take(Tissue::necrosis, soft((t.necrosis * t.radius - u) / edge_) * inside);
      take(Tissue::tumour, soft((t.radius - u) / edge_) * inside);
    }
    const Cortex c = cortex({q, m, k, upper, stem, irregular, w});
    if (m.x < 48 && std::abs(q.y) < 62 && q.z < 36) paint_inside(q, m, w, take);
    const double brain = std::max({1 - c.fluid, soft(below / w), soft(stem / w)});
    if (c.fluid > 0.02 && hull < 3.5) take(Tissue::vessel, 0.5 * vessel(m, hull) * (1 - brain));
    take(Tissue::fluid, 1 - brain);
    paint_deep(m, w, take);
    // Cerebellar cortex: thin leaves around a white core.
    const double leaf = cerebellum_grey(m, below, w);
    take(Tissue::cortex, std::max(c.grey, leaf));
    if (subject_.has_tumour() && subject_.tumour.oedema > 0.5) {
      const Tumour& t = subject_.tumour;
      const double u =
          std::sqrt(square(head.x - t.centre[0]) + square(head.y - t.centre[1]) + square(head.z - t.centre[2])) *
          (1 + 0.18 * irregular);
      take(Tissue::oedema, 0.85 * soft((t.radius + t.oedema - u) / 2.5) * soft((upper - 3) / 2));
    }
    if (sizes_.lesion_mm > 0 && m.x < 48) {
      const double distance = -ventricles_[q.x < 0 ? 0 : 1].depth({m.x, m.y, upright(m.x, m.z)}, 14);
      take(Tissue::lesion,
           0.9 * soft((sizes_.lesion_mm * (1 + 0.5 * irregular) - distance) / 2.5) * soft((upper - 8) / 3));
    }
    out[static_cast<std::size_t>(Tissue::white)] += rest;
  }

 private:
  struct Cortex {
    double fluid, grey;  // shares outside the brain and in the ribbon
  };
  struct SamplePoint {
    Point q, m;          // in the template; the same with x >= 0, both hemispheres in one
    Index k;             // in its row
    double upper, stem;  // depth in the cerebrum; in the brainstem, which has no cortex
    double irregular;    // of the edges
    double w;            // half width of an edge
  };

  SmoothField field(const Extent3& shape, const Extent3& knots, std::uint32_t number) const {
    return SmoothField(shape, knots,
                       Philox(subject_.seed, Purpose::phantom,
                              static_cast<std::uint32_t>(Stream::anatomy) + 4096 * number, subject_.index));
  }

  double cerebellum_grey(const Point& m, double depth, double w) const {
    if (depth < -w || depth > 16) return 0;
    const double u = 0.95 * std::hypot(m.y - 24, m.z + 38) + 0.12 * m.x, near = std::abs(u - 4.1 * std::round(u / 4.1));
    const double sheet = std::hypot(near, std::max(0.0, depth - 11.5)), grey = 1.7 - 0.12 * sizes_.gap_mm;
    return std::max(soft_sheet(sheet, grey, w), soft((2.2 - depth) / w)) * soft((depth + w) / w);
  }

  /// Ribbon and fluid of the cerebrum.
  Cortex cortex(const SamplePoint& at) const {
    const Point &q = at.q, &m = at.m;
    const double w = at.w, stem = at.stem, irregular = at.irregular;
    const double outer = at.upper - sizes_.gap_mm;
    if (outer < -w) return {1, 0};
    const double t = sizes_.cortex_mm;
    double fluid = soft(-outer / w), ribbon = soft((t - outer) / w);
    double nearest = outer;
    const auto cleft = [&](double distance, double half) {
      fluid = std::max(fluid, soft_sheet(distance, half, w));
      ribbon = std::max(ribbon, soft_sheet(distance, half + t, w));
    };
    // Between the hemispheres, down to the corpus callosum.
    const double cy = (m.y + 9) / 36, cz = std::max(m.z + 6, 0.0) / 23.5;
    const double callosum = (std::sqrt(cy * cy + cz * cz) - 1) * 26;  // outside it > 0
    double medial = 1e3;
    if (callosum > 0) {
      medial = m.x;
      fluid = std::max(fluid, soft_sheet(m.x, sizes_.fissure_mm, w) * soft(callosum / w));
      ribbon = std::max(ribbon, soft_sheet(m.x, sizes_.fissure_mm + t, w) * soft((callosum - 1.5) / 2));
      nearest = std::min(nearest, m.x - sizes_.fissure_mm);
    }
    // The Sylvian fissure, rising to the back, and the insula at its end.
    if (m.x > 14 && m.y > -50 && m.y < 40) {
      const double v = m.z + 2.5 - 0.45 * m.y + 2.0 * fields_[3].at(at.k) + 1.5 * irregular,
                   end = 36 - 1.4 * std::clamp(-20 - m.y, 0.0, 14.0);
      const double open = sizes_.sylvian_mm * soft((m.x - 30) / 8);
      cleft(std::hypot(v, std::hypot(std::max(0.0, end - m.x), std::max(0.0, std::abs(m.y + 6) - 29))), 0.25 + open);
      const double sheet = m.x - 37 + 0.014 * square(m.y + 6) + 0.012 * v * v + 0.8 * irregular;
      cleft(std::hypot(sheet, std::hypot(std::max(0.0, std::abs(v - 1) - 11), std::max(0.0, std::abs(m.y + 8) - 20))),
            0.25 + 0.6 * open);
    }
    // Sulci.
    const double core = ellipsoid_depth(m.x, m.y + 5, m.z - 1, 37, 50, 23);  // no sulci around the deep grey matter
    const double deepest = (medial < outer ? 9.0 : 14.5) + 2.0 * fields_[3].at(at.k) + 2.0 * irregular;
    if (nearest < deepest + t + 4 && stem < 2 && core < t + 4) {
      const double r = std::sqrt(square(m.x / 66) + square(m.y / 82) + square((m.z - 4) / 58)) + 1e-6,
                   shrink = std::min(0.92 / r, 3.0);
      const double beside = soft((outer - medial) / 5);  // how much nearer the middle wall is
      const double side = q.x < 0 ? -1.0 : 1.0;
      const double lean = 0.22 * std::max(nearest, 0.0);  // sulci do not stand quite upright
      const Point surface{(1 - beside) * q.x * shrink + beside * side * 5 + lean * fields_[3].at(at.k),
                          (1 - beside) * q.y * shrink + beside * q.y + lean * irregular,
                          (1 - beside) * (4 + (q.z - 4) * shrink) + beside * q.z - lean * irregular};
      const FoldTable::Value f = folds_->at(surface);
      // Normal of the surface, along which the field does not count.
      double nx = (1 - beside) * q.x / square(66) + beside * side / 66, ny = (1 - beside) * q.y / square(82),
             nz = (1 - beside) * (q.z - 4) / square(58);
      const double length = 1.0 / (std::sqrt(nx * nx + ny * ny + nz * nz) + 1e-9);
      nx *= length, ny *= length, nz *= length;
      const double along =
          nx * static_cast<double>(f.x) + ny * static_cast<double>(f.y) + nz * static_cast<double>(f.z);
      const double slope =
          std::sqrt(square(static_cast<double>(f.x) - along * nx) + square(static_cast<double>(f.y) - along * ny) +
                    square(static_cast<double>(f.z) - along * nz));
      const double stretch = (1 - beside) * std::min(r / 0.92, 1.0) + beside;
      const double sheet = std::abs(static_cast<double>(f.g)) / std::max(slope, 0.13) * stretch;
      const double half = sizes_.sulcus_mm * (0.7 + 0.9 * std::exp(-std::max(nearest, 0.0) / 5));
      cleft(std::hypot(sheet, std::max({0.0, nearest - deepest, core})), half);
    }
    const double no_cortex = 1 - soft((stem + 1) / 2);
    return {std::clamp(fluid, 0.0, 1.0), std::max(0.0, ribbon - fluid) / std::max(1e-6, 1 - fluid) * no_cortex};
  }

  template <class Take>
  void paint_inside(const Point& q, const Point& m, double w, Take&& take) const {
    const double hippocampus = hippocampus_.depth(m);
    take(Tissue::hippocampus, soft(hippocampus / w));
    double lateral = ventricles_[q.x < 0 ? 0 : 1].depth({m.x, m.y, upright(m.x, m.z)});
    lateral = std::min(lateral, m.x - 0.9);  // the septum
    take(Tissue::ventricle, soft(lateral / w));
    // Third ventricle, aqueduct and fourth ventricle.
    const double third =
        soft_sheet(m.x, sizes_.third_mm, w) * soft((13 - std::abs(q.y + 5)) / 3) * soft((9 - std::abs(q.z + 9)) / 3);
    const double fourth =
        soft(ellipsoid_depth(m.x, q.y - 22, q.z + 37, 7 + 0.6 * sizes_.third_mm, 3.2 + 0.4 * sizes_.third_mm, 9) / w);
    take(Tissue::fluid, std::max(third, fourth));
    take(Tissue::fluid, 0.8 * soft(bed_.depth(m) / w));  // what a shrunken hippocampus leaves
  }

  template <class Take>
  void paint_deep(const Point& m, double w, Take&& take) const {
    if (m.x > 36 || m.y < -50 || m.y > 26 || m.z < -38 || m.z > 24) return;
    const double x = m.x - 25.5 - 0.13 * (m.y + 20);
    take(Tissue::putamen, soft(ellipsoid_depth(x, m.y + 19, m.z + 4, 4.6, 16, 9) / w));
    const double thalamus = ellipsoid_depth(m.x - 10.5 - 0.25 * (m.y - 1), m.y - 1, m.z - 1, 7.5, 14, 8.5);
    const double amygdala = ellipsoid_depth(m.x - 21.5, m.y + 15, m.z + 26, 7, 6.5, 7),
                 accumbens = ellipsoid_depth(m.x - 10, m.y + 33, m.z + 11, 5, 5, 4);
    const double pallidum = ellipsoid_depth(x + 7, m.y + 13, m.z + 6, 3.2, 8.5, 5);
    take(Tissue::deep, soft(std::max({thalamus, caudate_.depth(m), amygdala, accumbens}) / w));
    take(Tissue::deep, 0.45 * soft(pallidum / w));
    take(Tissue::deep,
         0.5 * soft(ellipsoid_depth(m.x - 6, m.y - 6, m.z + 15, 3, 3.5, 3.5) / w));  // red nucleus and substantia nigra
  }

  static double vessel(const Point& m, double hull) {
    return soft((2.0 - std::abs(hull - 1)) / 1.5) * 0.5 + soft((2.2 - m.x) / 1.5) * soft((m.z - 25) / 6);
  }

  Subject subject_;
  Morphometry sizes_;
  double edge_;
  std::shared_ptr<const FoldTable> folds_;
  std::array<SmoothField, 5> fields_;  // three of the warp, depth of the sulci, edges of a tumour
  double move_[3] = {0, 0, 0}, scale_[3] = {1, 1, 1};
  Tube ventricles_[2], hippocampus_, bed_, caudate_;
};

}  // namespace detail
}  // namespace braing3n::inline BRAING3N_ABI::phantom
