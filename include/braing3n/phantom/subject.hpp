// The subjects of a synthetic cohort: the distributions of their labels, and how age, disease, sex and IDH1 status act on their anatomy.
//
// Patients' scans cannot be shared; a procedural cohort, whose truth is known, lets anyone test a whole pipeline. All numbers are here, each
// with its variation between subjects. N(m, sd) is a normal distribution; a is the anatomical age in years beyond 20:
//
//   anatomical age = age + N(0, 2.5); a = max(anatomical age - 20, 0); old = max(a - 30, 0)
//   lengths         men 1.017, women 0.953, x exp N(0, 0.021); each axis x exp N(0, 0.02)
//   ventricles ml   13.0 exp(N(0, 0.15) + (0.013 + N(0, 0.002)) a + 6e-5 a^2 + disease) size^3, sides exp N(0, 0.06) apart
//   hippocampi ml   7.6 exp(N(0, 0.09) - 0.0022 a - 4e-5 old^2 + disease) size^3
//   cortex mm       2.85 + N(0, 0.04) - 0.0085 a + disease
//   fluid mm        around the brain 0.3 + g + 0.028 a + disease with g = N(0, 0.08); half widths of sulci 0.30 + 0.010 a + disease,
//                   of the middle fissure 0.5 + 0.012 a, of the Sylvian fissure 0.7 + 0.025 a, of the third ventricle 1 + 0.022 a
//   lesions mm      white matter, reach around the ventricles 0.09 (anatomical age - 45) + 10 g
//   AD, y years     ventricles +0.12 + 0.035 y, hippocampi -0.18 - 0.030 y, cortex -0.06 - 0.010 y, around +0.1 + 0.04 y, sulci +0.04 +
//                   0.015 y, Sylvian +0.8 + 0.2 y, middle +0.2, third +0.5; y is uniform in [1, 7] at the first visit and grows
//   MCI             0.45 of AD, 0.6 of its speed
//   PD              ventricles +0.08; putamen darker on T2 and FLAIR
//   SCZ             ventricles +0.14, hippocampi -0.06
//   ASD             lengths +1 %, cortex +0.08 mm
//   GBM, glioma     a tumour in the white matter, 85 % and 30 % IDH1 wild type. Radius mm 17.5 (wild type) or 20.0 (mutant) + N(0, 3.0);
//                   oedema mm 7.0 or 4.0 + N(0, 2.6); 86 % of wild types and 16 % of mutants take up contrast 0.80 + N(0, 0.18) in a ring
//                   around a core of 0.52 + N(0, 0.09) of the radius, the others 0.12 + N(0, 0.09) without a core
//   phantom-2       the second distribution (rates.hpp) replaces 0.15 of the ventricles by 0.39 and 0.04 mm of the cortex by 0.08 mm, and
//                   gives every subject a pace exp(0.43 z - 0.092), z = 0.15 v - 0.35 c + 0.925 N(0, 1) within [-2, 2], v and c the
//                   subject's ventricles and cortex in those sd: after the first visit the anatomical age grows by pace years a year,
//                   y of AD too, of MCI by 0.6 pace. Ventricles of V ml have V / (1 + (V / 200)^4)^(1/4)
//   site (six)      bias field, gain, noise, blur; independent of every other label unless `confound` asks
//
// Random numbers: Philox with the index of the subject, so a subject does not depend on the cohort's size and order.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include "braing3n/base/error.hpp"
#include "braing3n/base/philox.hpp"
#include "braing3n/base/vocabulary.hpp"
#include "braing3n/base/years.hpp"
#include "braing3n/phantom/rates.hpp"

namespace braing3n::inline BRAING3N_ABI::phantom {

inline constexpr int site_count = 6;
inline constexpr double oldest_first_age = 90, most_age = 120;  // years: at the first visit, that can be rendered

/// Streams of a subject's random numbers.
enum class Stream : std::uint32_t {
  subject = 0,
  anatomy = 1,
  labels = 2,
  visits = 3,
  rates = 4,
  folding = 5,  // of draw_folding(); heads have fields of their own
  session = 16  // session + visit
};

/// Random numbers one after the other from a stream.
class Draws {
 public:
  Draws(std::uint64_t seed, std::uint32_t subject, std::uint32_t stream)
      : rng_(seed, Purpose::phantom, stream, subject) {}
  // Every draw takes a block of its own.
  double normal(double sd = 1.0) { return sd * rng_.normal(4 * next_++); }
  double uniform(double from, double to) { return from + (to - from) * static_cast<double>(rng_.uniform(4 * next_++)); }
  bool chance(double p) { return uniform(0, 1) < p; }

 private:
  Philox rng_;
  std::uint64_t next_ = 0;
};

struct Tumour {
  std::array<double, 3> centre{};  // mm from the centre of the head
  double radius = 0;               // mm
  double enhancement = 0;          // of the ring after contrast, 0 none to 1 strong
  double necrosis = 0;             // radius of the core / radius
  double oedema = 0;               // mm beyond the radius
};

/// The properties of a subject that do not change over visits. Effects on anatomy are those of the table above.
struct Subject {
  std::uint64_t seed = 0;
  std::uint32_t index = 0;  // in the cohort
  Sex sex = Sex::female;
  Disease disease = Disease::HC;
  std::optional<Idh1> idh1;  // of subjects with a tumour
  double first_age = 50;     // years, at the first visit
  int site = 0;
  double size = 1;
  std::array<double, 3> aspect{1, 1, 1};
  double age_offset = 0, ventricles = 0, asymmetry = 0, ventricle_rate = 0, hippocampi = 0, cortex = 0, gap = 0,
         duration = 0;
  double pace = 1;             // years of change per year after the first visit
  double most_ventricles = 0;  // ml at which they saturate; 0: never
  Tumour tumour;

  bool has_tumour() const { return braing3n::has_tumour(disease); }
};

struct CohortOptions {
  std::uint64_t seed = 1;
  bool confound = false;  // site follows the disease, for tests of confound probes
  PhantomDistribution distribution = PhantomDistribution::phantom_2;
  std::vector<Disease> diseases{};  // of its subjects, as often to each other as in a whole cohort; empty: all eight
};

namespace detail {

/// Shares of the diseases that are wanted, which then sum to 1; none: as they are. Returns the last of them.
inline std::size_t keep_diseases(std::array<double, 8>& share, const std::vector<Disease>& wanted) {
  if (wanted.empty()) return share.size() - 1;
  for (const Disease d : wanted)
    if (std::find(paper_diseases.begin(), paper_diseases.end(), d) == paper_diseases.end())
      fail(ErrorKind::argument, "phantom.diseases", "phantom: expected some of ", joined(names_of(paper_diseases)),
           ", got ", enum_name(d));
  double sum = 0;
  std::size_t last = 0;
  for (std::size_t d = 0; d < share.size(); ++d) {
    if (std::find(wanted.begin(), wanted.end(), paper_diseases[d]) == wanted.end()) share[d] = 0;
    else last = d;
    sum += share[d];
  }
  for (double& s : share) s /= sum;
  return last;
}

inline Tumour draw_tumour(Draws& draw, Idh1 idh1) {
  Tumour t;
  for (;;) {  // in the white matter of one hemisphere, away from the midline
    t.centre = {draw.uniform(-48, 48), draw.uniform(-52, 50), draw.uniform(-12, 40)};
    const double r =
        std::sqrt(std::pow(t.centre[0] / 52, 2) + std::pow(t.centre[1] / 66, 2) + std::pow(t.centre[2] / 52, 2));
    if (r > 0.35 && r < 0.80 && std::abs(t.centre[0]) > 20) break;
  }
  // One in seven wild types has the appearance of a mutant, and one in six mutants that of a wild type.
  const bool wild = idh1 == Idh1::wildtype, ring = wild ? !draw.chance(0.14) : draw.chance(0.16);
  t.radius = std::clamp((wild ? 17.5 : 20.0) + draw.normal(3.0), 11.0, 29.0);
  t.enhancement = std::clamp((ring ? 0.80 : 0.12) + draw.normal(ring ? 0.18 : 0.09), 0.0, 1.2);
  t.necrosis = ring ? std::clamp(0.52 + draw.normal(0.09), 0.25, 0.75) : 0.0;
  t.oedema = std::clamp((wild ? 7.0 : 4.0) + draw.normal(2.6), 0.0, 14.0);
  return t;
}

}  // namespace detail

/// A subject of the cohort by its index. Labels are drawn first; the distribution of the anatomy depends on them.
inline Subject draw_subject(const CohortOptions& options, std::uint32_t index) {
  Draws labels(options.seed, index, static_cast<std::uint32_t>(Stream::labels));
  Subject s;
  s.seed = options.seed;
  s.index = index;
  s.sex = labels.chance(0.5) ? Sex::male : Sex::female;
  //                                    HC   MCI  AD   PD   GBM  glioma SCZ  ASD
  std::array<double, 8> share = {0.30, 0.10, 0.16, 0.08, 0.12, 0.12, 0.06, 0.06};
  constexpr double youngest[] = {20, 55, 55, 48, 30, 22, 20, 20}, oldest[] = {90, 90, 90, 86, 84, 74, 62, 45};
  const std::size_t last = detail::keep_diseases(share, options.diseases);
  double u = labels.uniform(0, 1);
  std::size_t d = 0;
  while (d < last && u >= share[d]) u -= share[d++];
  s.disease = paper_diseases[d];
  s.first_age = labels.uniform(youngest[d], oldest[d]);
  if (s.has_tumour()) s.idh1 = labels.chance(s.disease == Disease::GBM ? 0.85 : 0.30) ? Idh1::wildtype : Idh1::mutant;
  s.site = std::min(static_cast<int>(labels.uniform(0, site_count)), site_count - 1);
  if (options.confound) s.site = static_cast<int>(d) % site_count;

  const Variation variation = variation_of(options.distribution);
  Draws draw(options.seed, index, static_cast<std::uint32_t>(Stream::subject));
  s.size =
      (s.sex == Sex::male ? 1.017 : 0.953) * std::exp(draw.normal(0.021)) * (s.disease == Disease::ASD ? 1.01 : 1.0);
  for (double& a : s.aspect) a = std::exp(draw.normal(0.02));
  s.age_offset = draw.normal(2.5);
  s.ventricles = draw.normal(variation.ventricles);
  s.asymmetry = draw.normal(0.06);
  s.ventricle_rate = draw.normal(0.002);
  s.hippocampi = draw.normal(0.09);
  s.cortex = draw.normal(variation.cortex);
  s.gap = draw.normal(0.08);
  s.duration = draw.uniform(1, 7);
  if (s.has_tumour()) s.tumour = detail::draw_tumour(draw, *s.idh1);
  Draws rates(options.seed, index, static_cast<std::uint32_t>(Stream::rates));
  s.pace = pace_of(variation, s.ventricles / variation.ventricles, s.cortex / variation.cortex, rates.normal());
  s.most_ventricles = variation.most_ventricles;
  return s;
}

/// Sizes at an age, before rendering: the expected values of the table above for this subject.
struct Morphometry {
  double age = 0;                                                      // anatomical age, years
  double ventricles_ml = 0;                                            // both lateral ventricles
  double hippocampi_ml = 0;                                            // both
  double cortex_mm = 0;                                                // thickness of the ribbon
  double gap_mm = 0;                                                   // fluid between skull and brain
  double sulcus_mm = 0, fissure_mm = 0, sylvian_mm = 0, third_mm = 0;  // half widths
  double lesion_mm = 0;       // reach of white-matter lesions around the ventricles
  double dementia_years = 0;  // years with AD, weighted by the stage; 0 for other diseases
};

/// age: years, at least first_age for later visits.
inline Morphometry morphometry_at(const Subject& s, double age) {
  Morphometry m;
  m.age = age + s.age_offset + (s.pace - 1) * (age - s.first_age);
  const double a = std::max(m.age - 20, 0.0), old = std::max(a - 30, 0.0), scale = s.size * s.size * s.size;
  const double stage = s.disease == Disease::AD ? 1.0 : s.disease == Disease::MCI ? 0.45 : 0.0;
  const double speed = s.disease == Disease::MCI ? 0.6 : 1.0;
  const double years = stage > 0 ? s.duration + speed * s.pace * (age - s.first_age) : 0.0;
  double ventricles = stage * (0.12 + 0.035 * years), hippocampi = -stage * (0.18 + 0.030 * years),
         cortex = -stage * (0.06 + 0.010 * years);
  if (s.disease == Disease::PD) ventricles += 0.08;
  if (s.disease == Disease::SCZ) ventricles += 0.14, hippocampi -= 0.06;
  if (s.disease == Disease::ASD) cortex += 0.08;
  m.ventricles_ml = saturated_ventricles(
      13.0 * std::exp(s.ventricles + (0.013 + s.ventricle_rate) * a + 6e-5 * a * a + ventricles) * scale,
      s.most_ventricles);
  m.hippocampi_ml = 7.6 * std::exp(s.hippocampi - 0.0022 * a - 4e-5 * old * old + hippocampi) * scale;
  m.cortex_mm = 2.85 + s.cortex - 0.0085 * a + cortex;
  m.gap_mm = std::max(0.1, 0.3 + s.gap + 0.028 * a + stage * (0.1 + 0.04 * years));
  m.sulcus_mm = 0.30 + 0.010 * a + stage * (0.04 + 0.015 * years);
  m.fissure_mm = 0.5 + 0.012 * a + stage * 0.2;
  m.sylvian_mm = 0.7 + 0.025 * a + stage * (0.8 + 0.2 * years);
  m.third_mm = 1.0 + 0.022 * a + stage * 0.5;
  m.lesion_mm = std::max(0.0, 0.09 * (m.age - 45) + 10 * s.gap);
  m.dementia_years = stage * years;
  return m;
}

/// The time of a visit.
struct Visit {
  double age = 0;  // years
  Index days = 0;  // since the first visit
};
inline Visit visit_on_day(const Subject& s, Index days) {
  return {s.first_age + static_cast<double>(days) / days_per_year, days};
}
/// Visit number `visit`, 0 for the first. Intervals are uniform in [0.8, 2.2] years.
inline Visit draw_visit(const Subject& s, std::uint32_t visit) {
  Draws draw(s.seed, s.index, static_cast<std::uint32_t>(Stream::visits));
  Index days = 0;
  for (std::uint32_t i = 0; i < visit; ++i) days += static_cast<Index>(draw.uniform(0.8, 2.2) * days_per_year);
  return visit_on_day(s, days);
}
/// A visit at a requested time: whole days after the first.
inline Visit visit_after(const Subject& s, double years) {
  return visit_on_day(s, static_cast<Index>(std::llround(years * days_per_year)));
}

/// The clinical dementia rating: 0, 0.5, 1 or 2.
inline double dementia_rating(const Subject& s, const Morphometry& m) {
  if (s.disease == Disease::MCI) return 0.5;
  if (s.disease != Disease::AD) return 0.0;
  return m.dementia_years < 3 ? 0.5 : m.dementia_years < 7 ? 1.0 : 2.0;
}

/// How a site's scanner changes an image.
struct SiteEffects {
  double bias, gain, noise, blur_mm;
};
inline SiteEffects site_effects(int site) {
  constexpr SiteEffects table[site_count] = {{0.05, 100, 0.020, 0.0}, {0.09, 420, 0.032, 0.4}, {0.13, 1000, 0.045, 0.0},
                                             {0.05, 900, 0.030, 0.8}, {0.09, 260, 0.024, 0.6}, {0.13, 640, 0.038, 0.2}};
  if (site < 0 || site >= site_count)
    fail(ErrorKind::argument, "phantom.site", "phantom: expected a site in [0, ", site_count, "), got ", site);
  return table[site];
}

}  // namespace braing3n::inline BRAING3N_ABI::phantom
