// A synthetic cohort whose truth is known: who the people are and by which laws age, disease, sex and IDH1 act on them.
//
// Nobody can share patients; a procedural cohort lets anyone test a whole system. Anatomy is in phantom.hpp; this file has the
// numbers. Every law is here, in one table, with its individual variation:
//
//   a = years of anatomical age beyond 20; anatomical age = age + N(0, 2.5); old = max(a - 30, 0); N: normal, with its deviation
//   lengths         men 1.017, women 0.953, x exp N(0, 0.021); each axis x exp N(0, 0.02)
//   ventricles ml   13.0 exp(N(0, 0.15) + (0.013 + N(0, 0.002)) a + 6e-5 a^2 + disease) size^3, sides exp N(0, 0.06) apart
//   hippocampi ml   7.6 exp(N(0, 0.09) - 0.0022 a - 4e-5 old^2 + disease) size^3
//   cortex mm       2.85 + N(0, 0.04) - 0.0085 a + disease
//   fluid mm        around the brain 0.3 + g + 0.028 a + disease with g = N(0, 0.08); half widths of sulci 0.30 + 0.010 a + disease,
//                   of the middle fissure 0.5 + 0.012 a, of the Sylvian fissure 0.7 + 0.025 a, of the third ventricle 1 + 0.022 a
//   lesions mm      white matter, reach around the ventricles 0.09 (anatomical age - 45) + 10 g
//   AD, y years     ventricles +0.12 + 0.035 y, hippocampi -0.18 - 0.030 y, cortex -0.06 - 0.010 y, around +0.1 + 0.04 y, sulci +0.04 +
//                   0.015 y, Sylvian +0.8 + 0.2 y, middle +0.2, third +0.5; y from 1 to 7 at the first visit and growing: AD ages faster
//   MCI             0.45 of AD, 0.6 of its speed
//   PD              ventricles +0.08; putamen darker on T2 and FLAIR
//   SCZ             ventricles +0.14, hippocampi -0.06
//   ASD             lengths +1 %, cortex +0.08 mm
//   GBM, glioma     a tumour in the white matter, 85 % and 30 % IDH1 wild type. Radius mm 17.5 (wild type) or 20.0 (mutant) + N(0, 3.0);
//                   oedema mm 7.0 or 4.0 + N(0, 2.6); 86 % of wild types and 16 % of mutants take up contrast 0.80 + N(0, 0.18) in a ring
//                   around a core of 0.52 + N(0, 0.09) of the radius, the others 0.12 + N(0, 0.09) without a core
//   site (six)      bias field, gain, noise, blur; independent of everything else unless `confound` asks
//
// Random numbers: Philox with the subject's index, so a subject is the same whatever the cohort's size and order.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>

#include "braing3n/base/error.hpp"
#include "braing3n/base/philox.hpp"

namespace braing3n::inline BRAING3N_ABI {

enum class Disease { HC, MCI, AD, PD, GBM, glioma, SCZ, ASD };
enum class Modality { T1, T2, FLAIR, T1c };
enum class Idh1 { none, wild, mutant };

inline constexpr std::array<const char*, 8> disease_names = {"HC", "MCI", "AD", "PD", "GBM", "glioma", "SCZ", "ASD"};
inline constexpr std::array<const char*, 4> modality_names = {"T1", "T2", "FLAIR", "T1c"};
inline constexpr int phantom_sites = 6;

/// Streams of a subject's random numbers.
enum class PhantomStream : std::uint32_t {
  person = 0,
  anatomy = 1,
  labels = 2,
  visits = 3,
  session = 16
};  // session + visit

/// Numbers one after the other from a stream: for laws that draw a handful.
class PhantomDraw {
 public:
  PhantomDraw(std::uint64_t seed, std::uint32_t subject, std::uint32_t stream)
      : rng_(seed, Purpose::phantom, stream, subject) {}
  // Every draw takes a block of its own.
  double normal(double sd = 1.0) { return sd * rng_.normal(4 * next_++); }
  double uniform(double from, double to) { return from + (to - from) * static_cast<double>(rng_.uniform(4 * next_++)); }
  bool chance(double p) { return uniform(0, 1) < p; }

 private:
  Philox rng_;
  std::uint64_t next_ = 0;
};

struct PhantomTumour {
  std::array<double, 3> centre{};  // mm from the centre of the head
  double radius = 0;               // mm
  double enhancement = 0;          // of the ring after contrast, 0 none to 1 strong
  double necrosis = 0;             // radius of the core / radius
  double oedema = 0;               // mm beyond the radius
};

/// What stays with a person over visits.
struct PhantomPerson {
  std::uint64_t seed = 0;
  std::uint32_t subject = 0;
  bool male = false;
  Disease disease = Disease::HC;
  Idh1 idh1 = Idh1::none;
  double first_age = 50;  // years, at the first visit
  int site = 0;
  double size = 1;
  std::array<double, 3> aspect{1, 1, 1};
  double age_offset = 0, ventricles = 0, asymmetry = 0, ventricle_rate = 0, hippocampi = 0, cortex = 0, gap = 0,
         duration = 0;
  PhantomTumour tumour;

  bool has_tumour() const { return disease == Disease::GBM || disease == Disease::glioma; }
};

struct PhantomCohortOptions {
  std::uint64_t seed = 1;
  bool confound = false;  // site follows the disease, for tests of confound probes
};

namespace detail {

inline PhantomTumour draw_tumour(PhantomDraw& draw, Idh1 idh1) {
  PhantomTumour t;
  for (;;) {  // in the white matter of one hemisphere, away from the midline
    t.centre = {draw.uniform(-48, 48), draw.uniform(-52, 50), draw.uniform(-12, 40)};
    const double r =
        std::sqrt(std::pow(t.centre[0] / 52, 2) + std::pow(t.centre[1] / 66, 2) + std::pow(t.centre[2] / 52, 2));
    if (r > 0.35 && r < 0.80 && std::abs(t.centre[0]) > 20) break;
  }
  // One in seven wild types looks like a mutant, and one in six mutants like a wild type.
  const bool wild = idh1 == Idh1::wild, ring = wild ? !draw.chance(0.14) : draw.chance(0.16);
  t.radius = std::clamp((wild ? 17.5 : 20.0) + draw.normal(3.0), 11.0, 29.0);
  t.enhancement = std::clamp((ring ? 0.80 : 0.12) + draw.normal(ring ? 0.18 : 0.09), 0.0, 1.2);
  t.necrosis = ring ? std::clamp(0.52 + draw.normal(0.09), 0.25, 0.75) : 0.0;
  t.oedema = std::clamp((wild ? 7.0 : 4.0) + draw.normal(2.6), 0.0, 14.0);
  return t;
}

}  // namespace detail

/// Subject number `subject` of the cohort. Labels come first and anatomy follows from them.
inline PhantomPerson draw_person(const PhantomCohortOptions& options, std::uint32_t subject) {
  PhantomDraw labels(options.seed, subject, static_cast<std::uint32_t>(PhantomStream::labels));
  PhantomPerson p;
  p.seed = options.seed;
  p.subject = subject;
  p.male = labels.chance(0.5);
  //                                    HC   MCI  AD   PD   GBM  glioma SCZ  ASD
  constexpr double share[] = {0.30, 0.10, 0.16, 0.08, 0.12, 0.12, 0.06, 0.06};
  constexpr double youngest[] = {20, 55, 55, 48, 30, 22, 20, 20}, oldest[] = {90, 90, 90, 86, 84, 74, 62, 45};
  double u = labels.uniform(0, 1);
  std::size_t d = 0;
  while (d < 7 && u >= share[d]) u -= share[d++];
  p.disease = static_cast<Disease>(d);
  p.first_age = labels.uniform(youngest[d], oldest[d]);
  if (p.has_tumour()) p.idh1 = labels.chance(p.disease == Disease::GBM ? 0.85 : 0.30) ? Idh1::wild : Idh1::mutant;
  p.site = std::min(static_cast<int>(labels.uniform(0, phantom_sites)), phantom_sites - 1);
  if (options.confound) p.site = static_cast<int>(d) % phantom_sites;

  PhantomDraw draw(options.seed, subject, static_cast<std::uint32_t>(PhantomStream::person));
  p.size = (p.male ? 1.017 : 0.953) * std::exp(draw.normal(0.021)) * (p.disease == Disease::ASD ? 1.01 : 1.0);
  for (double& a : p.aspect) a = std::exp(draw.normal(0.02));
  p.age_offset = draw.normal(2.5);
  p.ventricles = draw.normal(0.15);
  p.asymmetry = draw.normal(0.06);
  p.ventricle_rate = draw.normal(0.002);
  p.hippocampi = draw.normal(0.09);
  p.cortex = draw.normal(0.04);
  p.gap = draw.normal(0.08);
  p.duration = draw.uniform(1, 7);
  if (p.has_tumour()) p.tumour = detail::draw_tumour(draw, p.idh1);
  return p;
}

/// The laws at an age in years (>= first_age for later visits).
struct PhantomState {
  double age = 0;                                                      // anatomical age, years
  double ventricles_ml = 0;                                            // both lateral ventricles
  double hippocampi_ml = 0;                                            // both
  double cortex_mm = 0;                                                // thickness of the ribbon
  double gap_mm = 0;                                                   // fluid between skull and brain
  double sulcus_mm = 0, fissure_mm = 0, sylvian_mm = 0, third_mm = 0;  // half widths
  double lesion_mm = 0;       // reach of white-matter lesions around the ventricles
  double dementia_years = 0;  // duration weighted by how far the disease has gone; 0 for others
};

inline PhantomState state_at(const PhantomPerson& p, double age) {
  PhantomState s;
  s.age = age + p.age_offset;
  const double a = std::max(s.age - 20, 0.0), old = std::max(a - 30, 0.0), scale = p.size * p.size * p.size;
  const double stage = p.disease == Disease::AD ? 1.0 : p.disease == Disease::MCI ? 0.45 : 0.0;
  const double speed = p.disease == Disease::MCI ? 0.6 : 1.0;
  const double years = stage > 0 ? p.duration + speed * (age - p.first_age) : 0.0;
  double ventricles = stage * (0.12 + 0.035 * years), hippocampi = -stage * (0.18 + 0.030 * years),
         cortex = -stage * (0.06 + 0.010 * years);
  if (p.disease == Disease::PD) ventricles += 0.08;
  if (p.disease == Disease::SCZ) ventricles += 0.14, hippocampi -= 0.06;
  if (p.disease == Disease::ASD) cortex += 0.08;
  s.ventricles_ml = 13.0 * std::exp(p.ventricles + (0.013 + p.ventricle_rate) * a + 6e-5 * a * a + ventricles) * scale;
  s.hippocampi_ml = 7.6 * std::exp(p.hippocampi - 0.0022 * a - 4e-5 * old * old + hippocampi) * scale;
  s.cortex_mm = 2.85 + p.cortex - 0.0085 * a + cortex;
  s.gap_mm = std::max(0.1, 0.3 + p.gap + 0.028 * a + stage * (0.1 + 0.04 * years));
  s.sulcus_mm = 0.30 + 0.010 * a + stage * (0.04 + 0.015 * years);
  s.fissure_mm = 0.5 + 0.012 * a + stage * 0.2;
  s.sylvian_mm = 0.7 + 0.025 * a + stage * (0.8 + 0.2 * years);
  s.third_mm = 1.0 + 0.022 * a + stage * 0.5;
  s.lesion_mm = std::max(0.0, 0.09 * (s.age - 45) + 10 * p.gap);
  s.dementia_years = stage * years;
  return s;
}

/// When visit number `visit` (0: the first) takes place: 0.8 to 2.2 years after the one before.
struct PhantomVisit {
  double age = 0;  // years
  Index days = 0;  // since the first visit
};
inline PhantomVisit phantom_visit(const PhantomPerson& p, std::uint32_t visit) {
  PhantomDraw draw(p.seed, p.subject, static_cast<std::uint32_t>(PhantomStream::visits));
  PhantomVisit v;
  for (std::uint32_t i = 0; i < visit; ++i) v.days += static_cast<Index>(draw.uniform(0.8, 2.2) * 365.25);
  v.age = p.first_age + static_cast<double>(v.days) / 365.25;
  return v;
}

/// The clinical dementia rating that goes with the state: 0, 0.5, 1, 2.
inline double dementia_rating(const PhantomPerson& p, const PhantomState& s) {
  if (p.disease == Disease::MCI) return 0.5;
  if (p.disease != Disease::AD) return 0.0;
  return s.dementia_years < 3 ? 0.5 : s.dementia_years < 7 ? 1.0 : 2.0;
}

/// How a site's scanner changes an image.
struct PhantomSite {
  double bias, gain, noise, blur_mm;
};
inline PhantomSite phantom_site(int site) {
  constexpr PhantomSite table[phantom_sites] = {{0.05, 100, 0.020, 0.0},  {0.09, 420, 0.032, 0.4},
                                                {0.13, 1000, 0.045, 0.0}, {0.05, 900, 0.030, 0.8},
                                                {0.09, 260, 0.024, 0.6},  {0.13, 640, 0.038, 0.2}};
  if (site < 0 || site >= phantom_sites)
    fail(ErrorKind::argument, "phantom.site", "phantom: site ", site, " is outside [0, ", phantom_sites, ")");
  return table[site];
}

}  // namespace braing3n::inline BRAING3N_ABI
