// From the tissue maps of a phantom to the image of one modality: the signal of every tissue, then the scanner of the site.
#pragma once

#include "braing3n/phantom/tissue_maps.hpp"

namespace braing3n::inline BRAING3N_ABI::phantom {

struct ImageOptions {
  Modality modality = Modality::T1;
  std::uint32_t visit = 0;  // decides the noise
  bool scanner = true;      // bias field, gain, blur and noise of the subject's site
};

/// Signal of every tissue in a modality, in the order of Tissue; white matter has 1 in T1. The contrast of the cortex falls with age. In
/// Parkinson's disease the putamen is darker on T2 and FLAIR.
inline std::array<double, tissue_count> tissue_signals(Modality modality, const Subject& subject, double age) {
  // clang-format off
  // necrosis tumour hippocampus ventricle vessel fluid putamen deep cortex oedema lesion white
  constexpr double table[4][tissue_count] = {{0.28, 0.60, 0.67, 0.20, 0.30, 0.22, 0.75, 0.79, 0.67, 0.76, 0.86, 1.00},   // T1
                                             {1.15, 0.88, 0.74, 1.25, 1.00, 1.20, 0.58, 0.60, 0.72, 0.92, 0.80, 0.45},   // T2
                                             {0.45, 0.98, 0.82, 0.14, 0.20, 0.18, 0.70, 0.72, 0.80, 1.06, 1.05, 0.58},   // FLAIR
                                             {0.28, 0.60, 0.69, 0.20, 1.45, 0.24, 0.77, 0.81, 0.69, 0.76, 0.86, 1.00}};  // T1c
  // clang-format on
  std::array<double, tissue_count> s{};
  for (std::size_t t = 0; t < tissue_count; ++t) s[t] = table[static_cast<std::size_t>(modality)][t];
  const auto at = [&](Tissue t) -> double& { return s[static_cast<std::size_t>(t)]; };
  const double white = at(Tissue::white);
  for (const Tissue t : {Tissue::cortex, Tissue::hippocampus}) at(t) += 0.0025 * (age - 50) * (white - at(t)) / 0.38;
  if (subject.disease == Disease::PD && (modality == Modality::T2 || modality == Modality::FLAIR))
    at(Tissue::putamen) -= 0.16;
  if (subject.has_tumour()) {
    // IDH1 mutants are brighter on T2 and FLAIR; contrast agent shows on T1c only.
    if (subject.idh1 == Idh1::mutant && modality != Modality::T1 && modality != Modality::T1c)
      at(Tissue::tumour) += 0.12;
    if (modality == Modality::T1c) at(Tissue::tumour) += 1.1 * subject.tumour.enhancement;
  }
  return s;
}

namespace detail {

/// Blur along one axis of a (X, Y, Z) block with a Gaussian of `sigma` voxels; borders repeat.
inline void blur_axis(Context<Cpu>& ctx, float* v, const Extent3& n, int axis, double sigma) {
  if (sigma < 0.05) return;
  const Index radius = std::max<Index>(1, static_cast<Index>(std::ceil(3 * sigma)));
  std::vector<float> w(static_cast<std::size_t>(2 * radius + 1));
  float total = 0;
  for (Index r = -radius; r <= radius; ++r)
    total += w[static_cast<std::size_t>(r + radius)] =
        static_cast<float>(std::exp(-0.5 * static_cast<double>(r * r) / (sigma * sigma)));
  for (float& x : w) x /= total;
  // Lines along the axis, `width` of them side by side in memory.
  const Index stride = axis == 0 ? n[1] * n[2] : axis == 1 ? n[2] : 1, extent = n[static_cast<std::size_t>(axis)];
  const Index width = axis == 2 ? 1 : n[2], inner = stride / width, blocks = n[0] * n[1] * n[2] / (extent * width);
  ctx.parallel_range(blocks, 16, [&](Index begin, Index end) {
    std::vector<float> in(static_cast<std::size_t>(extent * width));
    for (Index block = begin; block < end; ++block) {
      float* p = v + block / inner * stride * extent + block % inner * width;
      for (Index i = 0; i < extent; ++i) std::copy_n(p + i * stride, width, in.data() + i * width);
      for (Index i = 0; i < extent; ++i) {
        std::fill_n(p + i * stride, width, 0.0f);
        for (Index r = -radius; r <= radius; ++r) {
          const float* from = in.data() + std::clamp<Index>(i + r, 0, extent - 1) * width;
          const float weight = w[static_cast<std::size_t>(r + radius)];
          for (Index c = 0; c < width; ++c) p[i * stride + c] += weight * from[c];
        }
      }
    }
  });
}

}  // namespace detail

/// The image of one visit in arbitrary units: skull-stripped, background exactly 0, never 0 inside.
inline Volume render_image(Context<Cpu>& ctx, const Subject& subject, const TissueMaps& tissues,
                           const ImageOptions& options = {}) {
  const Extent3& n = tissues.grid.shape;
  const Index plane = n[1] * n[2];
  Volume image(tissues.grid, Provenance::synthetic);
  float* out = image.data();
  std::vector<float> head(static_cast<std::size_t>(image.size()), 0.0f);
  const auto signal = tissue_signals(options.modality, subject, morphometry_at(subject, tissues.age).age);
  ctx.parallel(n[0], [&](Index i) {
    float* to = out + i * plane;
    float* all = head.data() + i * plane;
    std::fill_n(to, plane, 0.0f);
    for (std::size_t t = 0; t < tissue_count; ++t) {
      if (tissues.maps[t].empty()) continue;
      const float* map = tissues.maps[t].data() + i * plane;
      const float s = static_cast<float>(signal[t]);
      for (Index v = 0; v < plane; ++v) {
        to[v] += s * map[v];
        all[v] += map[v];
      }
    }
  });
  constexpr float mask_level = 0.5f, least = 1e-3f;
  if (!options.scanner) {
    for (Index v = 0; v < image.size(); ++v)
      out[v] = head[static_cast<std::size_t>(v)] > mask_level ? std::max(out[v], least) : 0.0f;
    return image;
  }

  const SiteEffects site = site_effects(subject.site);
  for (int a = 0; a < 3; ++a)
    detail::blur_axis(ctx, out, n, a,
                      site.blur_mm * static_cast<double>(n[static_cast<std::size_t>(a)]) /
                          field_of_view[static_cast<std::size_t>(a)]);
  const std::uint32_t session = static_cast<std::uint32_t>(Stream::session) + 1024 * (1 + options.visit) +
                                static_cast<std::uint32_t>(options.modality);
  Draws draw(subject.seed, subject.index, session);
  const double gain = site.gain * std::exp(draw.normal(0.1));
  const detail::SmoothField of_site(n, {3, 4, 3},
                                    Philox(777, Purpose::phantom, 3, static_cast<std::uint32_t>(subject.site)));
  const detail::SmoothField of_session(n, {3, 4, 3},
                                       Philox(subject.seed, Purpose::phantom, session + (1u << 24), subject.index));
  const Philox noise(subject.seed, Purpose::noise, session, subject.index);
  ctx.parallel(n[0], [&](Index i) {
    detail::SmoothField bias = of_site, drift = of_session;
    bias.start_slice(i);
    drift.start_slice(i);
    for (Index j = 0; j < n[1]; ++j) {
      bias.start_row(j);
      drift.start_row(j);
      Philox::Block bits{};
      std::uint64_t have = ~std::uint64_t{0};
      for (Index k = 0; k < n[2]; ++k) {
        const Index at = i * plane + j * n[2] + k;
        if (head[static_cast<std::size_t>(at)] <= mask_level) {
          out[at] = 0;
          continue;
        }
        const std::uint64_t number = static_cast<std::uint64_t>(at), block = number >> 2;
        if (block != have) bits = noise.block(static_cast<std::uint32_t>(have = block));
        const std::size_t pair = number >> 1 & 1;
        const double normal = Philox::box_muller(bits[2 * pair], bits[2 * pair + 1], (number & 1) != 0);
        const double field = std::exp(site.bias * bias.at(k) + 0.02 * drift.at(k));
        out[at] =
            std::max(static_cast<float>(gain * (static_cast<double>(out[at]) * field + site.noise * normal)), least);
      }
    }
  });
  return image;
}

}  // namespace braing3n::inline BRAING3N_ABI::phantom
