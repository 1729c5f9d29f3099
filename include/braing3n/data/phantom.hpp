// The phantom brain: from a person and an age to a volume and its truth.
//
// Anatomy is a set of soft shapes in millimetres (x to the left, y to the back, z up, origin in the middle of the head), warped
// by smooth random fields: a hull; a cortex folded by waves whose phases are a template that all people share plus 30 % of
// their own; deep grey matter; ventricles, hippocampi in their bed of fluid, fissures and sulci that open with age; a tumour.
// Edges are as wide as the voxels need, so the same brain can be rendered at any size. The laws and their numbers are in
// phantom_law.hpp.
#pragma once

#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "braing3n/backend/cpu/context.hpp"
#include "braing3n/data/phantom_law.hpp"
#include "braing3n/volume/volume.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Millilitres, measured on the rendered anatomy before noise.
struct PhantomTruth {
  double brain = 0;        // tissue inside the hull, without fluid
  double grey_matter = 0;
  double ventricles = 0;   // lateral
  double hippocampi = 0;
  double tumour = 0;       // without oedema
  double enhancing = 0;    // the part that takes up contrast, weighted by how much
};

struct PhantomVolume {
  Volume image;
  PhantomTruth truth;
};

/// The shape covers 160 x 192 x 160 mm.
inline Grid phantom_grid(const Extent3& shape) {
  constexpr Extent3 smallest = {40, 48, 40}, largest = {160, 192, 160};
  constexpr double cover[3] = {160, 192, 160};
  Grid grid;
  for (std::size_t a = 0; a < 3; ++a)
    if (shape[a] < smallest[a] || shape[a] > largest[a])
      fail(ErrorKind::argument, "phantom.shape", "phantom: shape ", describe(shape), ", expected between ", describe(smallest), " and ", describe(largest));
  grid.shape = shape;
  // Voxel axes run to the left, to the back and up (LPS); world axes of NIfTI run to the right, to the front and up.
  constexpr double sign[3] = {-1, -1, 1};
  for (int a = 0; a < 3; ++a) {
    const double voxel = cover[a] / static_cast<double>(shape[static_cast<std::size_t>(a)]);
    grid.affine(a, a) = sign[a] * voxel;
    grid.affine(a, 3) = -sign[a] * 0.5 * (cover[a] - voxel);
  }
  return grid;
}

namespace detail {

inline double soft_step(double x) { return 1.0 / (1.0 + std::exp(-std::clamp(x, -30.0, 30.0))); }
/// 1 inside an ellipsoid with half axes r, falling off over `edge` mm.
inline double soft_ellipsoid(double x, double y, double z, double rx, double ry, double rz, double edge) {
  const double u = std::sqrt(x * x / (rx * rx) + y * y / (ry * ry) + z * z / (rz * rz));
  return soft_step((1.0 - u) * std::cbrt(rx * ry * rz) / edge);
}

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
      for (std::size_t j = 0; j < plane_.size(); ++j) plane_[j] += w * coefficients_[static_cast<std::size_t>(a) * plane_.size() + j];
    }
  }
  void start_row(Index j) {
    row_.assign(static_cast<std::size_t>(knots_[2]), 0.0);
    for (Index b = 0; b < knots_[1]; ++b) {
      const double w = weights_[1][static_cast<std::size_t>(j * knots_[1] + b)];
      for (std::size_t c = 0; c < row_.size(); ++c) row_[c] += w * plane_[static_cast<std::size_t>(b) * row_.size() + c];
    }
  }
  double at(Index k) const {
    double v = 0;
    for (std::size_t c = 0; c < row_.size(); ++c) v += row_[c] * weights_[2][static_cast<std::size_t>(k) * row_.size() + c];
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

/// Signal of the tissues: fluid, grey, white, tumour core, ring without contrast, oedema, homogeneous tumour.
struct TissueSignal {
  double csf, grey, white, core, ring, oedema, mutant;
};
inline TissueSignal tissue_signal(Modality m) {
  switch (m) {
    case Modality::T1: return {0.20, 0.62, 1.00, 0.28, 0.66, 0.70, 0.52};
    case Modality::T2: return {1.15, 0.70, 0.45, 1.10, 0.78, 0.90, 1.02};
    case Modality::FLAIR: return {0.15, 0.80, 0.60, 0.42, 0.95, 1.05, 1.00};
    case Modality::T1c: return {0.20, 0.66, 1.00, 0.26, 0.66, 0.70, 0.52};
  }
  return {};
}

/// Blur along one axis of a (X, Y, Z) block with a Gaussian of `sigma` voxels; borders repeat.
inline void blur_axis(std::vector<float>& v, const Extent3& n, int axis, double sigma) {
  if (sigma < 0.05) return;
  const Index radius = std::max<Index>(1, static_cast<Index>(std::ceil(3 * sigma)));
  std::vector<double> w(static_cast<std::size_t>(radius + 1));
  double total = 0;
  for (Index r = 0; r <= radius; ++r) total += (r == 0 ? 1 : 2) * (w[static_cast<std::size_t>(r)] = std::exp(-0.5 * static_cast<double>(r * r) / (sigma * sigma)));
  const Index stride = axis == 0 ? n[1] * n[2] : axis == 1 ? n[2] : 1, extent = n[static_cast<std::size_t>(axis)];
  std::vector<float> line(static_cast<std::size_t>(extent));
  for (Index outer = 0; outer < static_cast<Index>(v.size()) / (stride * extent); ++outer)
    for (Index inner = 0; inner < stride; ++inner) {
      float* p = v.data() + outer * stride * extent + inner;
      for (Index i = 0; i < extent; ++i) line[static_cast<std::size_t>(i)] = p[i * stride];
      for (Index i = 0; i < extent; ++i) {
        double s = w[0] * static_cast<double>(line[static_cast<std::size_t>(i)]);
        for (Index r = 1; r <= radius; ++r)
          s += w[static_cast<std::size_t>(r)] * (static_cast<double>(line[static_cast<std::size_t>(std::max<Index>(0, i - r))]) +
                                                 static_cast<double>(line[static_cast<std::size_t>(std::min(extent - 1, i + r))]));
        p[i * stride] = static_cast<float>(s / total);
      }
    }
}

struct Anatomy {
  double inside, fluid, ventricle, grey, hippocampus, tumour_ring, tumour_core, oedema, putamen, depth;
};

/// One brain at one age; knows how much of which tissue is at a point.
class PhantomAnatomy {
 public:
  PhantomAnatomy(const PhantomPerson& person, double age, const Extent3& shape, std::uint32_t visit)
      : p_(person), s_(state_at(person, age)),
        warp_{field(shape, {5, 6, 5}, 1), field(shape, {5, 6, 5}, 2), field(shape, {5, 6, 5}, 3)},
        fold_{field(shape, {9, 11, 9}, 4), field(shape, {9, 11, 9}, 5)},
        shared_{SmoothField(shape, {9, 11, 9}, Philox(4242, Purpose::phantom, 1, 0)), SmoothField(shape, {9, 11, 9}, Philox(4242, Purpose::phantom, 2, 0))} {
    PhantomDraw session(person.seed, person.subject, static_cast<std::uint32_t>(PhantomStream::session) + visit);
    for (double& m : move_) m = session.normal(0.4);
    const double coarse = 160.0 / static_cast<double>(shape[0]);
    edge_ = std::max(0.9, 0.45 * coarse);
  }

  const PhantomState& state() const { return s_; }
  void start_slice(Index i) {
    for (SmoothField* f : fields()) f->start_slice(i);
  }
  void start_row(Index j) {
    for (SmoothField* f : fields()) f->start_row(j);
  }

  /// Tissue at voxel k of the current row, whose centre is at (px, py, pz) mm.
  Anatomy at(Index k, double px, double py, double pz) const {
    Anatomy t{};
    const double size = p_.size, hull_edge = std::max(1.2, edge_);
    const double x = px + 1.6 * warp_[0].at(k) - move_[0], y = py + 1.6 * warp_[1].at(k) - move_[1], z = pz + 1.6 * warp_[2].at(k) - move_[2];
    const double low = z < 0 ? 1.12 * z : z;  // flat below
    const double r = std::sqrt(sq(x / (66 * size * p_.aspect[0])) + sq(y / (82 * size * p_.aspect[1])) + sq(low / (64 * size * p_.aspect[2])));
    t.depth = (1.0 - r) * 70.0 * size;
    t.inside = soft_step(t.depth / hull_edge);
    if (t.inside < 1e-3) return t;

    const double f1 = shared_[0].at(k) + 0.3 * fold_[0].at(k), f2 = shared_[1].at(k) + 0.3 * fold_[1].at(k);
    const double fold = (std::sin(x / 5.2 + 2.2 * f1) + std::sin(y / 5.6 + 2.2 * f2) + std::sin(z / 5.4 + 1.5 * f1 - 1.5 * f2)) / 1.7;
    const double e = edge_ / 1.3;
    const double sulci = soft_step((fold - 1.35 + 1.5 * s_.sulci) / 0.22) * soft_step((13 - t.depth) / 2.5);
    const double fissure = soft_step((1.6 + 3.0 * s_.sulci - std::abs(x)) / (1.2 * e)) * soft_step((z - 18 * size + 0.004 * y * y) / 4) * soft_step((26 - t.depth) / 3);
    const double sylvian = soft_step((0.8 + s_.sylvian_mm - std::abs(z + 4 * size + 0.12 * (y - 5))) / (1.3 * e)) *
                           soft_step((std::abs(x) - 30 * size) / 2.5) * soft_step((34 - std::abs(y - 2)) / 4) * soft_step((38 - t.depth) / 3);
    t.fluid = std::clamp(0.9 * sulci + fissure + 0.9 * sylvian, 0.0, 1.0);
    const double cortex = soft_step((s_.cortex_mm + 4.0 * std::clamp(fold + 0.6, 0.0, 2.2) - t.depth) / (1.5 * e));
    double deep = 0;
    for (const double side : {-1.0, 1.0}) {
      deep = std::max(deep, soft_ellipsoid(x - side * 10 * size, y - 10, z - 2, 8, 13, 9, 1.4 * e));                              // thalamus
      t.putamen = std::max(t.putamen, soft_ellipsoid(x - side * 25 * size, y + 4, z, 5.5, 17, 9, 1.3 * e));
      const double volume = 0.5 * s_.ventricles_ml * std::exp(side * p_.asymmetry);
      const double kv = std::cbrt(volume / (4.0 / 3.0 * 3.14159265358979 * 7.0 * 30 * 9 / 1000));
      t.ventricle = std::max(t.ventricle, soft_ellipsoid(x - side * (9 + 4.5 * kv + 0.10 * std::abs(y)), y - 4, z - 14 + 0.006 * y * y, 7 * kv, 30 * kv, 9 * kv, 1.2 * e));
      const double kh = std::cbrt(0.5 * s_.hippocampi_ml / (4.0 / 3.0 * 3.14159265358979 * 7 * 17 * 7.5 / 1000));
      const double hx = x - side * 27 * size, hy = y - 8, hz = z + 20 * size;
      t.hippocampus = std::max(t.hippocampus, soft_ellipsoid(hx, hy, hz, 7 * kh, 17 * kh, 7.5 * kh, 1.1 * e));
      const double bed = soft_ellipsoid(hx, hy, hz, 9.5, 20, 10, 1.2 * e);  // fluid fills what a shrunken hippocampus leaves
      t.fluid = std::max(t.fluid, 0.75 * bed * (1 - t.hippocampus));
    }
    deep = std::max(deep, t.putamen);
    t.grey = std::max({cortex, deep, t.hippocampus});
    t.ventricle *= 1 - t.hippocampus;
    t.fluid *= 1 - t.hippocampus;
    if (p_.has_tumour()) {
      const PhantomTumour& m = p_.tumour;
      const double u = std::sqrt(sq(x - m.centre[0]) + sq(y - m.centre[1]) + sq(z - m.centre[2])) * (1 + 0.06 * f1);
      t.tumour_ring = soft_step((m.radius - u) / (1.4 * e));
      t.tumour_core = m.necrosis > 0 ? soft_step((m.necrosis * m.radius - u) / (1.4 * e)) : 0.0;
      t.oedema = m.oedema > 0.5 ? soft_step((m.radius + m.oedema - u) / 2.5) * (1 - cortex) : 0.0;
      t.ventricle *= 1 - t.tumour_ring;
      t.fluid *= 1 - t.tumour_ring;
      t.hippocampus *= 1 - t.tumour_ring;
      t.grey *= 1 - t.tumour_ring;
    }
    return t;
  }

  /// Noise-free signal of what is there, about 0 to 1.6.
  double signal(const Anatomy& t, Modality modality, double px, double py, double pz) const {
    const TissueSignal tissue = tissue_signal(modality);
    const double age = s_.age;
    double grey = tissue.grey + 0.0032 * (age - 50) * (tissue.white > tissue.grey ? 1 : -1) * std::abs(tissue.white - tissue.grey) / 0.38;
    double v = tissue.white;
    if (modality == Modality::T2 || modality == Modality::FLAIR) {  // white-matter hyperintensities around the ventricles
      const double u = std::sqrt(sq(px / 26) + sq(py / 44) + sq((pz - 14) / 20));
      v += 0.40 * std::clamp((age - 40) / 50, 0.0, 1.2) * soft_step((1 - u) * 6);
      if (p_.disease == Disease::PD) grey -= 0.22 * t.putamen;
    }
    v += (grey - v) * t.grey;
    if (p_.has_tumour()) {
      v += (tissue.oedema - v) * 0.8 * t.oedema;
      const bool wild = p_.idh1 == Idh1::wild;
      double body = wild ? tissue.ring : tissue.mutant;
      if (modality == Modality::T1c) body += 1.15 * p_.tumour.enhancement;
      v += (body - v) * t.tumour_ring;
      if (wild) v += (tissue.core - v) * t.tumour_core;
    }
    v += (tissue.csf - v) * t.fluid;
    v += (tissue.csf - v) * t.ventricle;
    if (modality == Modality::T1c)  // vessels and the falx take up contrast
      v += 0.30 * std::exp(-0.5 * sq((t.depth - 2) / 2.5)) + 0.4 * std::exp(-0.5 * sq(px / 2.5)) * soft_step((pz - 30) / 4) * soft_step((10 - t.depth) / 3);
    return v * t.inside;
  }

 private:
  static double sq(double v) { return v * v; }
  SmoothField field(const Extent3& shape, const Extent3& knots, std::uint32_t number) const {
    return SmoothField(shape, knots, Philox(p_.seed, Purpose::phantom, static_cast<std::uint32_t>(PhantomStream::anatomy) + 4096 * number, p_.subject));
  }
  std::array<SmoothField*, 7> fields() { return {&warp_[0], &warp_[1], &warp_[2], &fold_[0], &fold_[1], &shared_[0], &shared_[1]}; }

  PhantomPerson p_;
  PhantomState s_;
  SmoothField warp_[3], fold_[2], shared_[2];
  double move_[3] = {0, 0, 0};
  double edge_ = 1;
};

}  // namespace detail

struct PhantomOptions {
  Extent3 shape{80, 96, 80};
  Modality modality = Modality::T1;
  bool scanner = true;  // bias field, gain, blur and noise of the person's site
};

/// The volume of one visit (0 = first), in arbitrary units, background exactly 0. Slices run in parallel; the bytes do not depend
/// on the number of threads.
inline PhantomVolume render_phantom(Context<Cpu>& ctx, const PhantomPerson& person, double age, std::uint32_t visit, const PhantomOptions& options) {
  const Extent3& n = options.shape;
  PhantomVolume result;
  result.image = Volume(phantom_grid(n));
  float* image = result.image.data();
  const Index plane = n[1] * n[2];
  const double voxel[3] = {160.0 / static_cast<double>(n[0]), 192.0 / static_cast<double>(n[1]), 160.0 / static_cast<double>(n[2])};
  const double ml = voxel[0] * voxel[1] * voxel[2] / 1000;
  const detail::PhantomAnatomy brain(person, age, n, visit);
  std::vector<PhantomTruth> partial(static_cast<std::size_t>(n[0]));
  std::vector<float> inside(static_cast<std::size_t>(n[0] * plane));

  ctx.parallel(n[0], [&](Index i) {
    detail::PhantomAnatomy b = brain;
    PhantomTruth& truth = partial[static_cast<std::size_t>(i)];
    b.start_slice(i);
    const double x = (static_cast<double>(i) + 0.5) * voxel[0] - 80;
    for (Index j = 0; j < n[1]; ++j) {
      b.start_row(j);
      const double y = (static_cast<double>(j) + 0.5) * voxel[1] - 96;
      for (Index k = 0; k < n[2]; ++k) {
        const double z = (static_cast<double>(k) + 0.5) * voxel[2] - 80;
        const detail::Anatomy t = b.at(k, x, y, z);
        const Index at = i * plane + j * n[2] + k;
        inside[static_cast<std::size_t>(at)] = static_cast<float>(t.inside);
        image[at] = t.inside < 1e-3 ? 0.0f : static_cast<float>(b.signal(t, options.modality, x, y, z));
        const double tissue = t.inside * (1 - std::clamp(t.fluid + t.ventricle, 0.0, 1.0));
        truth.brain += tissue * ml;
        truth.grey_matter += tissue * t.grey * (1 - t.tumour_ring) * ml;
        truth.ventricles += t.inside * t.ventricle * ml;
        truth.hippocampi += t.inside * t.hippocampus * (1 - t.ventricle) * ml;
        truth.tumour += t.inside * t.tumour_ring * ml;
        truth.enhancing += t.inside * t.tumour_ring * (1 - t.tumour_core) * person.tumour.enhancement * ml;
      }
    }
  });
  for (const PhantomTruth& t : partial) {
    result.truth.brain += t.brain;
    result.truth.grey_matter += t.grey_matter;
    result.truth.ventricles += t.ventricles;
    result.truth.hippocampi += t.hippocampi;
    result.truth.tumour += t.tumour;
    result.truth.enhancing += t.enhancing;
  }

  constexpr float mask_level = 0.3f;
  if (options.scanner) {
    const PhantomSite site = phantom_site(person.site);
    std::vector<float> blurred(image, image + n[0] * plane);
    for (int a = 0; a < 3; ++a) detail::blur_axis(blurred, n, a, site.blur_mm / voxel[a]);
    const std::uint32_t session = static_cast<std::uint32_t>(PhantomStream::session) + 1024 * (1 + visit) + static_cast<std::uint32_t>(options.modality);
    PhantomDraw draw(person.seed, person.subject, session);
    const double gain = site.gain * std::exp(draw.normal(0.1));
    detail::SmoothField of_site(n, {3, 4, 3}, Philox(777, Purpose::phantom, 3, static_cast<std::uint32_t>(person.site)));
    detail::SmoothField of_session(n, {3, 4, 3}, Philox(person.seed, Purpose::phantom, session + 512, person.subject));
    const Philox noise(person.seed, Purpose::noise, session, person.subject);
    ctx.parallel(n[0], [&](Index i) {
      detail::SmoothField bias = of_site, drift = of_session;
      bias.start_slice(i);
      drift.start_slice(i);
      for (Index j = 0; j < n[1]; ++j) {
        bias.start_row(j);
        drift.start_row(j);
        for (Index k = 0; k < n[2]; ++k) {
          const Index at = i * plane + j * n[2] + k;
          if (inside[static_cast<std::size_t>(at)] <= mask_level) continue;
          const double field = std::exp(site.bias * bias.at(k) + 0.02 * drift.at(k));
          const double v = static_cast<double>(blurred[static_cast<std::size_t>(at)]) * field + site.noise * noise.normal(static_cast<std::uint64_t>(at));
          image[at] = static_cast<float>(gain * v);
        }
      }
    });
  }
  // Skull-stripped: exactly 0 outside, and never 0 inside.
  for (Index i = 0; i < n[0] * plane; ++i) image[i] = inside[static_cast<std::size_t>(i)] > mask_level ? std::max(image[i], 1e-3f) : 0.0f;
  return result;
}

}  // namespace braing3n::inline BRAING3N_ABI
