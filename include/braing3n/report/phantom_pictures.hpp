// Pictures of phantoms: how age, disease, modality and IDH1 state change them, in planes and from outside.
#pragma once

#include <functional>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/phantom/scanner.hpp"
#include "braing3n/phantom/tissue_maps.hpp"
#include "braing3n/report/planes.hpp"
#include "braing3n/report/surface_view.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// The first subject of a cohort for which `wanted` holds.
template <class Wanted>
phantom::Subject first_subject(const phantom::CohortOptions& cohort, Wanted&& wanted) {
  for (std::uint32_t index = 0;; ++index)
    if (const phantom::Subject p = phantom::draw_subject(cohort, index); wanted(p)) return p;
}

/// One healthy woman at 25, 55 and 85 years, without and with AD; her four modalities at 70; both IDH1 states in four modalities.
/// `between` is called before every head and may throw to stop.
inline Image draw_phantom_gallery(Context<Cpu>& ctx, const phantom::CohortOptions& cohort, const Extent3& shape,
                                  const std::function<void()>& between = {}) {
  std::vector<Image> tiles;
  std::vector<std::string> captions;
  const auto add = [&](phantom::Subject subject, double age, std::initializer_list<Modality> modalities,
                       const std::string& caption) {
    if (between) between();
    subject.first_age = age;
    const phantom::TissueMaps tissues = phantom::render_tissues(ctx, subject, age, 0, shape);
    PlaneOptions planes{.mm_per_pixel = 2.0, .labels = false};
    const Vec3 tumour{-subject.tumour.centre[0], -subject.tumour.centre[1], subject.tumour.centre[2]},
        middle{-6, -8, 0};
    planes.centre = subject.has_tumour() ? &tumour : &middle;
    for (const Modality m : modalities) {
      tiles.push_back(draw_planes(ctx, phantom::render_image(ctx, subject, tissues, {.modality = m}), planes));
      captions.push_back(concat(caption, " ", enum_name(m)));
    }
  };
  phantom::Subject woman = first_subject(cohort, [](const phantom::Subject& p) {
    return p.sex == Sex::female && p.disease == Disease::HC && p.site == 0;
  });
  for (const double age : {25.0, 55.0, 85.0})
    for (const Disease d : {Disease::HC, Disease::AD}) {
      woman.disease = d;
      woman.duration = 4;
      add(woman, age, {Modality::T1}, concat(enum_name(d), " ", age));
    }
  const auto all = {Modality::T1, Modality::T2, Modality::FLAIR, Modality::T1c};
  woman.disease = Disease::HC;
  add(woman, 70, all, "HC 70");
  for (const Idh1 state : {Idh1::wildtype, Idh1::mutant}) {
    const phantom::Subject p = first_subject(cohort, [&](const phantom::Subject& subject) {
      return subject.idh1 == state && (subject.tumour.necrosis > 0) == (state == Idh1::wildtype);
    });
    add(p, p.first_age, all, state == Idh1::wildtype ? "wild type" : "mutant");
  }
  return montage(tiles, 2, captions);
}

/// Healthy brains at three ages and one with AD, from the left and from above: sulci open with age. `between` as above.
inline Image draw_phantom_surfaces(Context<Cpu>& ctx, const phantom::CohortOptions& cohort, const Extent3& shape,
                                   const std::function<void()>& between = {}) {
  std::vector<Image> tiles;
  std::vector<std::string> captions;
  for (const SurfaceSide side : {SurfaceSide::left, SurfaceSide::superior})
    for (const auto& [age, disease] :
         {std::pair{40.0, Disease::HC}, {60.0, Disease::HC}, {80.0, Disease::HC}, {80.0, Disease::AD}}) {
      if (between) between();
      phantom::Subject subject = phantom::draw_subject(cohort, 0);
      subject.disease = disease, subject.duration = 4, subject.first_age = age;
      const phantom::TissueMaps tissues = phantom::render_tissues(ctx, subject, age, 0, shape);
      const Volume t1 = phantom::render_image(ctx, subject, tissues, {.modality = Modality::T1});
      tiles.push_back(draw_surface(ctx, t1, {.side = side, .width = 200, .height = 200}));
      captions.push_back(concat(enum_name(disease), " ", age, " ", surface_side_names[static_cast<std::size_t>(side)]));
    }
  return montage(tiles, 4, captions);
}

}  // namespace braing3n::inline BRAING3N_ABI
