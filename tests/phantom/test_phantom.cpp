// The phantom: distributions, anatomy, truth, images; neither threads nor the size of a cohort change a byte.
#include <doctest/doctest.h>

#include <cstring>

#include "braing3n/backend/cpu/providers/providers.hpp"
#include "braing3n/phantom/cohort.hpp"

using namespace braing3n;
using namespace braing3n::phantom;

namespace {

constexpr Extent3 tiny = {40, 48, 40};
constexpr CohortOptions cohort{.seed = 5};

Context<Cpu>& context() {
  static Context<Cpu> ctx({.threads = 2});
  return ctx;
}
template <class F>
Subject first_subject(F&& wanted) {
  for (std::uint32_t s = 0;; ++s)
    if (const Subject p = draw_subject(cohort, s); wanted(p)) return p;
}
template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.id();
  }
  return "none";
}
template <class A, class B>
bool same_bytes(const A& a, const B& b) {
  return a.size() == b.size() &&
         std::memcmp(a.data(), b.data(), static_cast<std::size_t>(a.size()) * sizeof(*a.data())) == 0;
}
double ml_of(const TissueMaps& t, Tissue tissue) {
  double sum = 0;
  for (const float share : t.map(tissue)) sum += static_cast<double>(share);
  const Extent3& n = t.grid.shape;
  return sum * 160 * 192 * 160 / static_cast<double>(voxel_count(n)) / 1000;
}
/// Mean of the image where more than `least` of a voxel is that tissue.
double mean_in(const Volume& image, const TissueMaps& t, Tissue tissue, float least = 0.8f) {
  double sum = 0, count = 0;
  for (Index i = 0; i < image.size(); ++i)
    if (t.map(tissue)[static_cast<std::size_t>(i)] > least) sum += static_cast<double>(image.data()[i]), count += 1;
  REQUIRE(count > 5);
  return sum / count;
}
double correlation(const std::vector<float>& a, const std::vector<float>& b) {
  double n = static_cast<double>(a.size()), sa = 0, sb = 0, saa = 0, sbb = 0, sab = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
    sa += x, sb += y, saa += x * x, sbb += y * y, sab += x * y;
  }
  return (sab - sa * sb / n) / std::sqrt((saa - sa * sa / n) * (sbb - sb * sb / n));
}
double sum_of(const Truth& t) {
  double sum = 0;
  for (const double v : truth_values(t)) sum += v;
  return sum;
}

}  // namespace

TEST_CASE("the distributions of anatomy by age and disease") {
  int people = 0, faster = 0, patients = 0;
  for (std::uint32_t s = 0; s < 300; ++s) {
    Subject p = draw_subject(cohort, s);
    CHECK(p.first_age >= 20);
    CHECK(p.first_age < 90);
    CHECK(p.idh1.has_value() == p.has_tumour());
    CHECK(p.site >= 0);
    CHECK(p.site < site_count);
    p.first_age = 60;  // the dates of the disease count from here
    p.disease = Disease::HC;
    const Morphometry young = morphometry_at(p, 60), old = morphometry_at(p, 66);
    p.disease = Disease::AD;
    const Morphometry ill = morphometry_at(p, 60), later = morphometry_at(p, 66);
    p.disease = Disease::MCI;
    const Morphometry between = morphometry_at(p, 60);
    CHECK(old.ventricles_ml > young.ventricles_ml);
    CHECK(old.hippocampi_ml < young.hippocampi_ml);
    CHECK(old.cortex_mm < young.cortex_mm);
    CHECK(old.gap_mm >= young.gap_mm);
    CHECK(ill.ventricles_ml > between.ventricles_ml);
    CHECK(between.ventricles_ml > young.ventricles_ml);
    CHECK(ill.hippocampi_ml < between.hippocampi_ml);
    CHECK(between.hippocampi_ml < young.hippocampi_ml);
    CHECK(ill.cortex_mm < young.cortex_mm);
    ++patients;
    faster += later.ventricles_ml / ill.ventricles_ml > old.ventricles_ml / young.ventricles_ml &&
              later.hippocampi_ml / ill.hippocampi_ml < old.hippocampi_ml / young.hippocampi_ml;
    ++people;
  }
  CHECK(faster == patients);
  CHECK(people == 300);

  Subject p = draw_subject(cohort, 0);
  p.first_age = 70, p.disease = Disease::HC;
  CHECK(dementia_rating(p, morphometry_at(p, 70)) == 0);
  p.disease = Disease::MCI;
  CHECK(dementia_rating(p, morphometry_at(p, 70)) == 0.5);
  p.disease = Disease::AD, p.duration = 2;
  CHECK(dementia_rating(p, morphometry_at(p, 70)) == 0.5);
  CHECK(dementia_rating(p, morphometry_at(p, 72)) == 1);
  CHECK(dementia_rating(p, morphometry_at(p, 76)) == 2);
}

TEST_CASE("subjects and visits follow their distributions") {
  int male = 0, disease[8] = {}, wild[2] = {}, tumours[2] = {};
  double male_size = 0, female_size = 0;
  constexpr int n = 4000;
  for (std::uint32_t s = 0; s < n; ++s) {
    const Subject p = draw_subject(cohort, s);
    male += p.sex == Sex::male;
    (p.sex == Sex::male ? male_size : female_size) += p.size;
    ++disease[static_cast<int>(p.disease)];
    if (p.has_tumour())
      ++tumours[p.disease == Disease::GBM], wild[p.disease == Disease::GBM] += p.idh1 == Idh1::wildtype;
  }
  // Four standard deviations of a share q of n are 4 sqrt(q (1 - q) / n).
  const auto near = [](int count, int of, double q) {
    return std::abs(count / static_cast<double>(of) - q) < 4 * std::sqrt(q * (1 - q) / of);
  };
  CHECK(near(male, n, 0.5));
  CHECK(near(disease[0], n, 0.30));
  CHECK(near(disease[2], n, 0.16));
  CHECK(near(disease[7], n, 0.06));
  CHECK(near(wild[1], tumours[1], 0.85));
  CHECK(near(wild[0], tumours[0], 0.30));
  CHECK(male_size / male / (female_size / (n - male)) == doctest::Approx(1.067).epsilon(0.004));

  const Subject p = draw_subject(cohort, 17);
  Visit before = draw_visit(p, 0);
  CHECK(before.days == 0);
  CHECK(before.age == p.first_age);
  for (std::uint32_t v = 1; v < 5; ++v) {
    const Visit visit = draw_visit(p, v);
    CHECK(visit.days - before.days >= 292);
    CHECK(visit.days - before.days <= 804);
    CHECK(visit.age == doctest::Approx(p.first_age + static_cast<double>(visit.days) / 365.25));
    before = visit;
  }
  CHECK(draw_subject({.seed = 6}, 17).size != p.size);
  CHECK(draw_subject(cohort, 18).size != p.size);
  CohortOptions dementia = cohort;
  dementia.diseases = {Disease::HC, Disease::MCI, Disease::AD};
  int kept[8] = {};
  for (std::uint32_t s = 0; s < n; ++s) ++kept[static_cast<int>(draw_subject(dementia, s).disease)];
  CHECK(kept[0] + kept[1] + kept[2] == n);
  CHECK(near(kept[0], n, 0.30 / 0.56));
  CHECK(near(kept[2], n, 0.16 / 0.56));
  CHECK_THROWS_WITH(draw_subject({.seed = 6, .diseases = {Disease::ADHD}}, 0),
                    doctest::Contains("phantom: expected some of HC, "));
}

TEST_CASE("the site knows nothing about the labels, unless it is asked to") {
  // Chi-square of a table sites x diseases: 35 degrees of freedom, 99.9 % below 66.6.
  const auto chi_square = [](bool confound) {
    double table[site_count][8] = {}, rows[site_count] = {}, columns[8] = {}, total = 0, chi = 0;
    for (std::uint32_t s = 0; s < 3000; ++s) {
      const Subject p = draw_subject({.seed = 5, .confound = confound}, s);
      ++table[p.site][static_cast<int>(p.disease)], ++rows[p.site], ++columns[static_cast<int>(p.disease)], ++total;
    }
    for (int r = 0; r < site_count; ++r)
      for (int c = 0; c < 8; ++c)
        chi += std::pow(table[r][c] - rows[r] * columns[c] / total, 2) / (rows[r] * columns[c] / total);
    return chi;
  };
  CHECK(chi_square(false) < 66.6);
  CHECK(chi_square(true) > 3000);
}

TEST_CASE("four lines make a brain") {
  Context<Cpu> ctx({.threads = 2});
  // [render]
  const phantom::Subject subject = phantom::draw_subject({.seed = 7}, 0);
  const phantom::TissueMaps tissues = phantom::render_tissues(ctx, subject, subject.first_age, 0, {40, 48, 40});
  const Volume t1 = phantom::render_image(ctx, subject, tissues, {.modality = Modality::T1});
  const double ventricles_ml = tissues.truth.ventricles;
  // [render]
  CHECK(ventricles_ml > 5);
  CHECK(t1.size() == 40 * 48 * 40);
}

TEST_CASE("same bytes for 1, 2 and 3 threads") {
  const Subject p =
      first_subject([](const Subject& q) { return q.site == 1 && q.disease == Disease::GBM; });  // a site with blur
  Context<Cpu> one({.threads = 1}), three({.threads = 3});
  const TissueMaps a = render_tissues(one, p, 60, 1, tiny), b = render_tissues(three, p, 60, 1, tiny);
  for (std::size_t t = 0; t < tissue_count; ++t) CHECK(same_bytes(a.maps[t], b.maps[t]));
  CHECK(sum_of(a.truth) == sum_of(b.truth));
  const ImageOptions options{.modality = Modality::FLAIR, .visit = 1};
  const Volume image = render_image(one, p, a, options);
  CHECK(same_bytes(image.values, render_image(three, p, a, options).values));
  CHECK(same_bytes(image.values, render_image(context(), p, a, options).values));
  // The noise belongs to the visit, the modality and the subject.
  CHECK(!same_bytes(image.values, render_image(one, p, a, {.modality = Modality::FLAIR, .visit = 2}).values));
}

TEST_CASE("tissue maps, truth and expected truth agree; the shape changes little") {
  const Subject p = first_subject([](const Subject& q) { return q.idh1 == Idh1::wildtype && q.tumour.necrosis > 0; });
  const TissueMaps t = render_tissues(context(), p, 50, 0, tiny);
  for (Index i = 0; i < voxel_count(tiny); i += 7) {
    CHECK(t.head(i) <= 1.0f + 1e-5f);
    CHECK(t.head(i) >= 0.0f);
  }
  const double grey =
      ml_of(t, Tissue::cortex) + ml_of(t, Tissue::deep) + ml_of(t, Tissue::putamen) + ml_of(t, Tissue::hippocampus);
  const double white = ml_of(t, Tissue::white) + ml_of(t, Tissue::lesion) + ml_of(t, Tissue::oedema);
  CHECK(t.truth.grey_matter == doctest::Approx(grey).epsilon(1e-5));
  CHECK(t.truth.white_matter == doctest::Approx(white).epsilon(1e-5));
  CHECK(t.truth.ventricles == doctest::Approx(ml_of(t, Tissue::ventricle)).epsilon(1e-5));
  CHECK(t.truth.hippocampi == doctest::Approx(ml_of(t, Tissue::hippocampus)).epsilon(1e-5));
  CHECK(t.truth.tumour == doctest::Approx(ml_of(t, Tissue::tumour) + ml_of(t, Tissue::necrosis)).epsilon(1e-5));
  CHECK(t.truth.necrosis == doctest::Approx(ml_of(t, Tissue::necrosis)).epsilon(1e-5));
  CHECK(t.truth.oedema == doctest::Approx(ml_of(t, Tissue::oedema)).epsilon(1e-5));
  CHECK(t.truth.brain == doctest::Approx(grey + white + t.truth.tumour).epsilon(1e-5));
  CHECK(t.truth.enhancing == doctest::Approx(p.tumour.enhancement * (t.truth.tumour - t.truth.necrosis)).epsilon(1e-9));

  // A finer grid with unequal axes sees the same brain.
  const TissueMaps other = render_tissues(context(), p, 50, 0, {80, 48, 53});
  const auto a = truth_values(t.truth), b = truth_values(other.truth);
  for (std::size_t i = 0; i < a.size(); ++i)
    CHECK_MESSAGE(a[i] == doctest::Approx(b[i]).epsilon(0.06), truth_columns[i]);

  const Subject healthy = first_subject([](const Subject& q) { return q.disease == Disease::HC; });
  const Truth truth = render_tissues(context(), healthy, 40, 0, tiny).truth, expected = expected_truth(healthy, 40);
  CHECK(truth.brain == doctest::Approx(expected.brain).epsilon(0.08));
  CHECK(truth.grey_matter == doctest::Approx(expected.grey_matter).epsilon(0.10));
  CHECK(truth.ventricles == doctest::Approx(expected.ventricles).epsilon(0.18));
  CHECK(truth.hippocampi == doctest::Approx(expected.hippocampi).epsilon(0.18));
  CHECK(truth.grey_matter / truth.brain > 0.42);
  CHECK(truth.grey_matter / truth.brain < 0.55);
  CHECK(truth.tumour == 0);
}

TEST_CASE("a later visit is the same subject, older") {
  const Subject p = first_subject([](const Subject& q) { return q.disease == Disease::AD; });
  Subject other = first_subject([&](const Subject& q) { return q.disease == Disease::AD && q.index != p.index; });
  const TissueMaps first = render_tissues(context(), p, p.first_age, 0, tiny);
  const double later_age = p.first_age + 6;
  const TissueMaps later = render_tissues(context(), p, later_age, 1, tiny),
                   stranger = render_tissues(context(), other, p.first_age, 0, tiny);
  CHECK(later.truth.ventricles > 1.1 * first.truth.ventricles);
  CHECK(later.truth.hippocampi < 0.95 * first.truth.hippocampi);
  CHECK(later.truth.brain < first.truth.brain);
  const double same = correlation(first.map(Tissue::cortex), later.map(Tissue::cortex)),
               different = correlation(first.map(Tissue::cortex), stranger.map(Tissue::cortex));
  MESSAGE("correlation of the cortex: same subject ", same, ", other subject ", different);
  CHECK(same > 0.75);
  CHECK(different < same - 0.2);
}

TEST_CASE("modalities have their contrasts, and what takes up contrast shows on T1c only") {
  const auto images = [](const Subject& p, const TissueMaps& t) {
    std::vector<Volume> all;
    for (const Modality m : {Modality::T1, Modality::T2, Modality::FLAIR, Modality::T1c})
      all.push_back(render_image(context(), p, t, {.modality = m, .scanner = false}));
    return all;
  };
  const Subject wild = first_subject(
      [](const Subject& q) { return q.idh1 == Idh1::wildtype && q.tumour.enhancement > 0.7 && q.tumour.radius > 17; });
  const TissueMaps t = render_tissues(context(), wild, wild.first_age, 0, tiny);
  const std::vector<Volume> v = images(wild, t);
  const auto of = [&](int modality, Tissue tissue) {
    return mean_in(v[static_cast<std::size_t>(modality)], t, tissue);
  };
  const int t1 = 0, t2 = 1, flair = 2, t1c = 3;
  CHECK(of(t1, Tissue::ventricle) < of(t1, Tissue::cortex));
  CHECK(of(t1, Tissue::cortex) < of(t1, Tissue::white));
  CHECK(of(t2, Tissue::ventricle) > of(t2, Tissue::cortex));
  CHECK(of(t2, Tissue::cortex) > of(t2, Tissue::white));
  CHECK(of(flair, Tissue::ventricle) < of(flair, Tissue::white));
  CHECK(of(flair, Tissue::cortex) > of(flair, Tissue::white));
  CHECK(of(flair, Tissue::oedema) > 1.3 * of(flair, Tissue::white));
  CHECK(of(t1c, Tissue::tumour) > 1.2 * of(t1c, Tissue::white));
  CHECK(of(t1, Tissue::tumour) < 0.8 * of(t1, Tissue::white));
  CHECK(of(t1c, Tissue::necrosis) < 0.5 * of(t1c, Tissue::tumour));
  // Parkinson's disease darkens the putamen on T2 and FLAIR, nothing else.
  Subject ill = wild;
  ill.disease = Disease::PD, ill.idh1 = std::nullopt;
  Subject well = ill;
  well.disease = Disease::HC;
  for (const Modality m : {Modality::T1, Modality::T2, Modality::FLAIR, Modality::T1c}) {
    const auto a = tissue_signals(m, ill, 60), b = tissue_signals(m, well, 60);
    for (std::size_t s = 0; s < tissue_count; ++s) {
      const bool marked = s == static_cast<std::size_t>(Tissue::putamen) && (m == Modality::T2 || m == Modality::FLAIR);
      CHECK((a[s] < b[s]) == marked);
      if (!marked) CHECK(a[s] == b[s]);
    }
  }
  const Subject mutant =
      first_subject([](const Subject& q) { return q.idh1 == Idh1::mutant && q.tumour.enhancement < 0.2; });
  const auto with = tissue_signals(Modality::T1c, mutant, 50), without = tissue_signals(Modality::T1, mutant, 50);
  CHECK(with[static_cast<std::size_t>(Tissue::tumour)] < without[static_cast<std::size_t>(Tissue::tumour)] + 0.25);
  CHECK(mutant.tumour.necrosis == 0);
}

TEST_CASE("scanners of sites differ, and the background is exactly 0") {
  Subject p = first_subject([](const Subject& q) { return q.disease == Disease::HC; });
  const TissueMaps t = render_tissues(context(), p, 30, 0, tiny);
  double means[2], deviations[2];
  for (const int site : {0, 2}) {
    p.site = site;
    const Volume image = render_image(context(), p, t), clean = render_image(context(), p, t, {.scanner = false});
    Index head = 0, differing = 0;
    for (Index i = 0; i < image.size(); ++i) {
      const bool inside = t.head(i) > 0.5f;
      head += inside;
      differing += inside != (image.data()[i] != 0) || inside != (clean.data()[i] != 0) || image.data()[i] < 0;
    }
    CHECK(differing == 0);
    CHECK(static_cast<double>(head) * 0.064 == doctest::Approx(1400).epsilon(0.25));  // ml
    // Noise in white matter, relative to its signal.
    double sum = 0, squares = 0, n = 0;
    for (Index i = 0; i < image.size(); ++i)
      if (t.map(Tissue::white)[static_cast<std::size_t>(i)] > 0.95f) {
        const double v = static_cast<double>(image.data()[i]);
        sum += v, squares += v * v, n += 1;
      }
    means[site / 2] = sum / n;
    deviations[site / 2] = std::sqrt(squares / n - sum / n * sum / n) / (sum / n);
  }
  CHECK(means[1] > 5 * means[0]);              // gains 100 and 1000
  CHECK(deviations[1] > 1.5 * deviations[0]);  // noise and bias field
  CHECK(error_of([] { (void)site_effects(6); }) == "phantom.site");
  CHECK(error_of([] { (void)site_effects(-1); }) == "phantom.site");
}

TEST_CASE("noise is white, of the site's size, and never takes a voxel out of the head") {
  Subject p = first_subject([](const Subject& q) { return q.disease == Disease::HC; });
  p.site = 2;
  const double sigma = site_effects(p.site).noise, gain = site_effects(p.site).gain;
  TissueMaps t;  // nothing but fluid
  t.grid.shape = {32, 28, 36};
  t.age = 40;
  const Extent3& n = t.grid.shape;
  t.maps[static_cast<std::size_t>(Tissue::fluid)].assign(static_cast<std::size_t>(voxel_count(n)), 1.0f);
  // Two visits, each divided by its mean: the bias field goes out of the difference, the noise does not.
  const double signal = tissue_signals(Modality::T1, p, 40)[static_cast<std::size_t>(Tissue::fluid)];
  std::vector<double> noise(static_cast<std::size_t>(voxel_count(n)), 0.0);
  for (const std::uint32_t visit : {0u, 1u}) {
    const Volume image = render_image(context(), p, t, {.visit = visit});
    double sum = 0;
    for (Index i = 0; i < image.size(); ++i) sum += static_cast<double>(image.data()[i]);
    CHECK(sum / static_cast<double>(image.size()) == doctest::Approx(gain * signal).epsilon(0.6));
    const double scale = signal * static_cast<double>(image.size()) / sum * (visit == 0 ? 1 : -1);
    for (Index i = 0; i < image.size(); ++i)
      noise[static_cast<std::size_t>(i)] += scale * static_cast<double>(image.data()[i]);
  }
  const auto product = [&](Index di, Index dj, Index dk) {
    double sum = 0, count = 0;
    for (Index i = 0; i + di < n[0]; ++i)
      for (Index j = 0; j + dj < n[1]; ++j)
        for (Index k = 0; k + dk < n[2]; ++k, count += 1)
          sum += noise[static_cast<std::size_t>((i * n[1] + j) * n[2] + k)] *
                 noise[static_cast<std::size_t>(((i + di) * n[1] + j + dj) * n[2] + k + dk)];
    return sum / count;
  };
  const double variance = product(0, 0, 0);
  CHECK(std::sqrt(variance / 2) == doctest::Approx(sigma).epsilon(0.2));
  for (const Index lag : {1, 2, 3, 4, 8})  // chance alone: 0.006
    for (int axis = 0; axis < 3; ++axis) {
      const double c = product(axis == 0 ? lag : 0, axis == 1 ? lag : 0, axis == 2 ? lag : 0) / variance;
      CHECK_MESSAGE(std::abs(c) < 0.06, "neighbours ", lag, " apart along axis ", axis, " correlate by ", c);
    }

  // Fluid that fills 6 voxels in 10 lies less than 3 deviations above 0 on FLAIR: some voxels would fall below.
  for (float& share : t.maps[static_cast<std::size_t>(Tissue::fluid)]) share = 0.6f;
  const Volume dark = render_image(context(), p, t, {.modality = Modality::FLAIR});
  Index least = 0, below = 0;
  for (Index i = 0; i < dark.size(); ++i) least += dark.data()[i] == 1e-3f, below += !(dark.data()[i] >= 1e-3f);
  CHECK(least > 20);
  CHECK(below == 0);
}

TEST_CASE("two subjects share the sulci of the template and no others") {
  using phantom::detail::FoldTable;
  const FoldTable a(5, 0), b(5, 1), c(6, 0), again(5, 0);
  double ab = 0, ac = 0, aa = 0, bb = 0, cc = 0;
  int differing = 0;
  for (double x = -60; x <= 60; x += 7.5)
    for (double y = -80; y <= 80; y += 7.5)
      for (double z = -60; z <= 60; z += 7.5) {
        const auto at = [&](const FoldTable& t) { return static_cast<double>(t.at({x, y, z}).g); };
        const double u = at(a), v = at(b), w = at(c);
        ab += u * v, ac += u * w, aa += u * u, bb += v * v, cc += w * w;
        differing += u != at(again);
      }
  CHECK(differing == 0);
  // The template alone is common: 1 / (1 + own_share^2) of the variance.
  const double common = 1 / (1 + FoldTable::own_share * FoldTable::own_share);
  CHECK(ab / std::sqrt(aa * bb) == doctest::Approx(common).epsilon(0.08));
  CHECK(ac / std::sqrt(aa * cc) == doctest::Approx(common).epsilon(0.08));
}

TEST_CASE("grids cover the head in LPS; what cannot be made is refused") {
  for (const Extent3& shape : {tiny, Extent3{160, 192, 160}, Extent3{41, 50, 43}}) {
    const Grid g = head_grid(shape);
    for (int a = 0; a < 3; ++a) {
      const double n = static_cast<double>(shape[static_cast<std::size_t>(a)]), cover = a == 1 ? 192.0 : 160.0;
      CHECK(std::abs(g.affine(a, a)) * n == doctest::Approx(cover));
      CHECK((g.affine(a, a) < 0) == (a < 2));
      CHECK(g.affine(a, a) * 0.5 * (n - 1) + g.affine(a, 3) == doctest::Approx(0));
    }
  }
  for (const Extent3& shape : {Extent3{39, 48, 40}, Extent3{40, 47, 40}, Extent3{40, 48, 161}, Extent3{0, 48, 40},
                               Extent3{40, -48, 40}, Extent3{40, 193, 40}})
    CHECK(error_of([&] { (void)render_tissues(context(), draw_subject(cohort, 0), 50, 0, shape); }) == "phantom.shape");
  CHECK(error_of([] { (void)parse_enum<Modality>("modality", "T3"); }) == "enum.name");
  CHECK(parse_enum<Modality>("modality", "FLAIR") == Modality::FLAIR);
  CHECK(error_of([] { (void)render_tissues(context(), draw_subject(cohort, 0), std::nan(""), 0, tiny); }) ==
        "phantom.age");
  CHECK(error_of([] { (void)render_tissues(context(), draw_subject(cohort, 0), -1, 0, tiny); }) == "phantom.age");
}

TEST_CASE("names and labels") {
  CHECK(subject_id(0) == "sub-0001");
  CHECK(subject_id(12344) == "sub-12345");
  CHECK(volume_id(9, 1, Modality::T1c) == "sub-0010_ses-2_T1c");
  Subject p = first_subject([](const Subject& q) { return q.idh1 == Idh1::mutant; });
  Labels l = labels_at(p, 50);
  CHECK(l.idh1 == "mutant");
  CHECK(!l.cdr);
  p.disease = Disease::MCI, p.idh1 = std::nullopt, p.sex = Sex::male, p.site = 2;
  l = labels_at(p, 60);
  CHECK(!l.idh1);
  CHECK(l.cdr == 0.5);
  CHECK(l.sex == "M");
  CHECK(l.disease == "MCI");
  CHECK(l.site == "site-3");
}
