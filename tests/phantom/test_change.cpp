// How phantoms change: rates of the two distributions, their table in docs/phantom.md, and what can be known of a change at baseline.
#include <doctest/doctest.h>

#include <cstring>
#include <map>
#include <sstream>

#include "braing3n/phantom/change_oracle.hpp"
#include "braing3n/phantom/scanner.hpp"

using namespace braing3n;
using namespace braing3n::phantom;

namespace {

constexpr std::array<Disease, 3> groups = {Disease::HC, Disease::MCI, Disease::AD};
constexpr std::array<double, 4> horizons = {1, 2, 5, 10};

CohortOptions options_of(PhantomDistribution distribution, std::uint64_t seed) {
  return {.seed = seed, .confound = false, .distribution = distribution};
}

/// HC, MCI and AD (57, 16 and 27 %) of 50 to 85 years among the first `draws` subjects.
std::vector<Subject> population(const CohortOptions& options, std::uint32_t draws) {
  std::vector<Subject> all;
  for (std::uint32_t i = 0; i < draws; ++i) {
    const Subject s = draw_subject(options, i);
    if (s.first_age < 50 || s.first_age > 85) continue;
    if (s.disease == Disease::HC || ((s.disease == Disease::MCI || s.disease == Disease::AD) && i % 2 == 0))
      all.push_back(s);
  }
  return all;
}

struct Mean {
  double n = 0, sum = 0, squares = 0;
  void add(double v) { n += 1, sum += v, squares += v * v; }
  double mean() const { return sum / n; }
  double sd() const { return std::sqrt(squares / n - mean() * mean()); }
};

/// Change of every subject over a number of years.
std::vector<VolumeChanges> true_changes(const std::vector<Subject>& subjects, double years, TrueVolumes kind) {
  std::vector<VolumeChanges> all;
  for (const Subject& s : subjects)
    all.push_back(
        changes_of(phantom::detail::TrueVolumesOf(s, kind)(0), phantom::detail::TrueVolumesOf(s, kind)(years)));
  return all;
}
ExpectedChanges forecast(const ChangeOracle& oracle, const Subject& s, double years, TrueVolumes kind) {
  return oracle.predict(s.disease, s.first_age, s.sex, phantom::detail::TrueVolumesOf(s, kind)(0), years);
}

/// Mean squared errors of four forecasts of one volume's change.
struct Errors {
  double nothing = 0, mean = 0, group = 0, volumes = 0;
  double over_nothing(double e) const { return 1 - e / nothing; }
  double over_mean(double e) const { return 1 - e / mean; }
  double volumes_over_group() const { return 1 - volumes / group; }
};

/// Rates are fitted on `fit`, as the oracle is; errors are those of `scored`.
std::array<Errors, 4> errors_of(const std::vector<Subject>& fit, const std::vector<Subject>& scored, TrueVolumes kind) {
  constexpr double years = 5;
  const ChangeOracle oracle(fit, horizons, kind);
  std::array<Mean, 4> mean;
  std::map<Disease, std::array<Mean, 4>> group;
  const std::vector<VolumeChanges> known = true_changes(fit, years, kind), changes = true_changes(scored, years, kind);
  for (std::size_t i = 0; i < fit.size(); ++i)
    for (std::size_t m = 0; m < 4; ++m) mean[m].add(known[i][m]), group[fit[i].disease][m].add(known[i][m]);
  std::array<Errors, 4> errors;
  for (std::size_t i = 0; i < scored.size(); ++i) {
    const Subject& s = scored[i];
    const ExpectedChanges e = forecast(oracle, s, years, kind);
    for (std::size_t m = 0; m < 4; ++m) {
      const auto square = [&](double forecast) {
        return (changes[i][m] - forecast) * (changes[i][m] - forecast) / static_cast<double>(scored.size());
      };
      errors[m].nothing += square(0);
      errors[m].mean += square(mean[m].mean());
      errors[m].group += square(group[s.disease][m].mean());
      errors[m].volumes += square(e.ml[m]);
    }
  }
  return errors;
}

/// Mean yearly change of AD over that of HC, coefficients of variation within HC and AD, over five years.
struct Rates {
  double ratio, healthy, ill;
};
std::array<Rates, 4> rates_of(const std::vector<Subject>& subjects) {
  std::array<Mean, 4> healthy, ill;
  const std::vector<VolumeChanges> changes = true_changes(subjects, 5, TrueVolumes::expected);
  for (std::size_t i = 0; i < subjects.size(); ++i)
    for (std::size_t m = 0; m < 4; ++m) {
      if (subjects[i].disease == Disease::HC) healthy[m].add(changes[i][m] / 5);
      if (subjects[i].disease == Disease::AD) ill[m].add(changes[i][m] / 5);
    }
  std::array<Rates, 4> rates{};
  for (std::size_t m = 0; m < 4; ++m)
    rates[m] = {ill[m].mean() / healthy[m].mean(), healthy[m].sd() / std::abs(healthy[m].mean()),
                ill[m].sd() / std::abs(ill[m].mean())};
  return rates;
}

/// Standard deviation of the logarithm of the ventricles among subjects whose ages differ by less than five years.
double spread_of_ventricles(const std::vector<Subject>& subjects) {
  std::map<int, Mean> ages;
  for (const Subject& s : subjects)
    ages[static_cast<int>(s.first_age / 5)].add(std::log(expected_truth(s, s.first_age).ventricles));
  double squares = 0, n = 0;
  for (const auto& [age, m] : ages) squares += m.n * m.sd() * m.sd(), n += m.n;
  return std::sqrt(squares / n);
}

struct Measured {
  std::array<Rates, 4> rates;
  std::array<Errors, 4> errors;
  double ventricles;
};
Measured measure(const std::vector<Subject>& fit, const std::vector<Subject>& scored,
                 TrueVolumes kind = TrueVolumes::expected) {
  return {rates_of(scored), errors_of(fit, scored, kind), spread_of_ventricles(scored)};
}
void print(const std::string& name, const Measured& m) {
  MESSAGE(name, ": sd of log ventricles ", m.ventricles);
  for (std::size_t q = 0; q < 4; ++q) {
    const Rates& r = m.rates[q];
    const Errors& e = m.errors[q];
    MESSAGE(name, " ", std::string(change_columns[q]), ": AD:HC ", r.ratio, ", CV ", r.healthy, " ", r.ill,
            "; over LOCF: mean ", e.over_nothing(e.mean), ", group ", e.over_nothing(e.group), ", volumes ",
            e.over_nothing(e.volumes), "; over the mean rate: group ", e.over_mean(e.group), ", volumes ",
            e.over_mean(e.volumes), "; volumes over the group ", e.volumes_over_group());
  }
}
bool within(double v, double low, double high) { return v >= low && v <= high; }

template <class F>
std::string refusal_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.id();
  }
  return "none";
}

}  // namespace

TEST_CASE("phantom-1: the disease forecasts nearly all of the change") {
  const auto p1 = PhantomDistribution::phantom_1;
  const Measured m = measure(population(options_of(p1, 11), 12000), population(options_of(p1, 2025), 12000));
  print("phantom-1", m);
  const auto& [brain, ventricles, hippocampi, grey] = m.rates;
  CHECK(within(brain.ratio, 2.8, 3.3));
  CHECK(within(ventricles.ratio, 3.6, 4.5));
  CHECK(within(hippocampi.ratio, 5.6, 6.9));
  CHECK(within(brain.healthy, 0.11, 0.17));
  CHECK(within(ventricles.healthy, 0.36, 0.47));
  CHECK(within(m.ventricles, 0.22, 0.28));
  for (const Errors& e : m.errors) CHECK(e.over_nothing(e.group) > 0.88);
  CHECK(draw_subject(options_of(p1, 2025), 3).pace == 1);
}

TEST_CASE("phantom-2: subjects have rates of their own, of which the first scan tells a part") {
  const auto p2 = PhantomDistribution::phantom_2;
  const std::vector<Subject> fit = population(options_of(p2, 11), 24000),
                             scored = population(options_of(p2, 2025), 12000);
  const Measured m = measure(fit, scored);
  print("phantom-2", m);
  const auto& [brain, ventricles, hippocampi, grey] = m.rates;
  CHECK(within(brain.ratio, 2.7, 3.3));
  CHECK(within(ventricles.ratio, 3.6, 4.6));
  CHECK(within(hippocampi.ratio, 5.3, 6.6));
  CHECK(within(brain.healthy, 0.41, 0.53));
  CHECK(within(brain.ill, 0.45, 0.57));
  CHECK(within(ventricles.healthy, 0.70, 0.86));
  CHECK(within(ventricles.ill, 0.68, 0.84));
  CHECK(within(m.ventricles, 0.41, 0.48));
  CHECK(within(m.errors[0].volumes_over_group(), 0.19, 0.32));
  CHECK(within(m.errors[1].volumes_over_group(), 0.45, 0.58));
  CHECK(within(m.errors[2].volumes_over_group(), 0.19, 0.31));

  // In rendered heads folding hides a part of it.
  const Measured rendered = measure(fit, scored, TrueVolumes::rendered);
  print("phantom-2, rendered", rendered);
  for (const std::size_t q : {0u, 2u, 3u})
    CHECK(rendered.errors[q].volumes_over_group() < m.errors[q].volumes_over_group() - 0.005);
  CHECK(within(rendered.errors[1].volumes_over_group(), 0.45, 0.58));

  // The same subjects with paces that their volumes know nothing of: what is left is that large ventricles grow by more.
  const auto exchanged = [](std::vector<Subject> subjects) {
    std::map<Disease, std::vector<Subject*>> of;
    for (Subject& s : subjects) of[s.disease].push_back(&s);
    for (auto& [disease, list] : of) {
      const double first = list.front()->pace;
      for (std::size_t i = 0; i + 1 < list.size(); ++i) list[i]->pace = list[i + 1]->pace;
      list.back()->pace = first;
    }
    return subjects;
  };
  const Measured b = measure(exchanged(fit), exchanged(scored));
  print("phantom-2, exchanged paces", b);
  CHECK(within(b.errors[0].volumes_over_group(), 0.04, 0.17));
  CHECK(within(b.errors[1].volumes_over_group(), 0.34, 0.47));
  CHECK(within(b.errors[2].volumes_over_group(), 0.05, 0.20));
  CHECK(within(b.errors[1].over_nothing(b.errors[1].group), 0.60, 0.70));
  CHECK(within(b.errors[1].over_nothing(b.errors[1].volumes), 0.75, 0.83));
  for (std::size_t q = 0; q < 3; ++q) CHECK(m.errors[q].volumes_over_group() > b.errors[q].volumes_over_group() + 0.05);
}

TEST_CASE("the anatomy of a subject with its own pace is a function of age, monotone, and starts as it is today") {
  const CohortOptions p2 = options_of(PhantomDistribution::phantom_2, 7),
                      p1 = options_of(PhantomDistribution::phantom_1, 7);
  Mean pace;
  for (std::uint32_t i = 0; i < 3000; ++i) {
    const Subject s = draw_subject(p2, i), same = draw_subject(p1, i);
    pace.add(s.pace);
    CHECK(s.pace > 0.3);
    CHECK(s.pace < 2.4);
    CHECK(s.disease == same.disease);
    CHECK(s.first_age == same.first_age);
    if (i >= 300 || s.has_tumour() || s.first_age + s.age_offset < 20) continue;  // nothing changes before 20
    Truth before = expected_truth(s, s.first_age);
    const double thickness = morphometry_at(s, s.first_age).cortex_mm;
    for (double years = 0.5; years <= 12; years += 0.5) {
      const Truth t = expected_truth(s, s.first_age + years);
      CHECK(t.ventricles > before.ventricles);
      CHECK(t.ventricles < 1.2 * 200);
      CHECK(t.hippocampi < before.hippocampi);
      CHECK(t.brain < before.brain);
      CHECK(t.grey_matter < before.grey_matter);
      before = t;
    }
    CHECK(morphometry_at(s, s.first_age + 12).cortex_mm < thickness);
    // A year at a pace of 2 is two years.
    Subject slow = s, fast = s;
    slow.pace = 1, fast.pace = 2;
    CHECK(expected_truth(fast, s.first_age + 2).ventricles ==
          doctest::Approx(expected_truth(slow, s.first_age + 4).ventricles).epsilon(1e-9));
    CHECK(expected_truth(fast, s.first_age).brain == expected_truth(slow, s.first_age).brain);
  }
  CHECK(pace.mean() == doctest::Approx(0.99).epsilon(0.03));
  CHECK(pace.sd() / pace.mean() == doctest::Approx(0.45).epsilon(0.06));
}

TEST_CASE("two visits on one day differ by noise only") {
  Context<Cpu> ctx({.threads = 2});
  constexpr Extent3 shape = {40, 48, 40};
  const Subject s = draw_subject(options_of(PhantomDistribution::phantom_2, 9), 4);
  const TissueMaps first = render_tissues(ctx, s, s.first_age, 0, shape),
                   again = render_tissues(ctx, s, s.first_age, 1, shape),
                   later = render_tissues(ctx, s, s.first_age + 5, 1, shape);
  const VolumeChanges none = changes_of(first.truth, again.truth), five = changes_of(first.truth, later.truth);
  for (std::size_t m = 0; m < 4; ++m) {  // the head lies elsewhere by some tenths of a millimetre
    MESSAGE(std::string(change_columns[m]), ": ", none[m], " ml on one day, ", five[m], " ml after five years");
    CHECK(std::abs(none[m]) < 0.1 * std::abs(five[m]));
  }
  const Volume a = render_image(ctx, s, first, {.visit = 0}), b = render_image(ctx, s, first, {.visit = 1});
  CHECK(std::memcmp(a.data(), b.data(), static_cast<std::size_t>(a.size()) * sizeof(float)) != 0);
  const Volume clean = render_image(ctx, s, first, {.visit = 0, .scanner = false}),
               other = render_image(ctx, s, first, {.visit = 1, .scanner = false});
  CHECK(std::memcmp(clean.data(), other.data(), static_cast<std::size_t>(a.size()) * sizeof(float)) == 0);
}

TEST_CASE("the oracle is unbiased and knows its error") {
  const auto p2 = PhantomDistribution::phantom_2;
  const std::vector<Subject> scored = population(options_of(p2, 2025), 12000);
  for (const TrueVolumes kind : {TrueVolumes::expected, TrueVolumes::rendered}) {
    const ChangeOracle oracle = fit_change_oracle(options_of(p2, 11), 24000, horizons, kind);
    for (const double years : {1.0, 3.5, 10.0}) {
      const std::vector<VolumeChanges> changes = true_changes(scored, years, kind);
      for (std::size_t m = 0; m < 4; ++m) {
        Mean residual, covered;
        std::map<Disease, Mean> relative;
        for (std::size_t i = 0; i < scored.size(); ++i) {
          const ExpectedChanges e = forecast(oracle, scored[i], years, kind);
          residual.add(changes[i][m] - e.ml[m]);
          covered.add(std::abs(changes[i][m] - e.ml[m]) < 1.645 * e.sd[m]);
          relative[scored[i].disease].add((changes[i][m] - e.ml[m]) / e.sd[m]);
        }
        CHECK(std::abs(residual.mean()) < 4 * residual.sd() / std::sqrt(residual.n));
        CHECK(within(covered.mean(), 0.87, 0.95));
        for (const Disease d : groups) {
          CHECK(std::abs(relative[d].mean()) < 0.1);
          CHECK(relative[d].sd() == doctest::Approx(1).epsilon(0.1));
        }
      }
    }
  }
}

TEST_CASE("an oracle in three statements") {
  const Subject woman = draw_subject({.seed = 4}, 0);
  const Truth truth_at_71 = expected_truth(woman, 71);
  std::ostringstream out;
  // [oracle]
  const std::array<double, 3> years = {1, 5, 10};
  const phantom::ChangeOracle oracle =
      phantom::fit_change_oracle({.seed = 1, .distribution = phantom::PhantomDistribution::phantom_2}, 20000, years);
  const phantom::ExpectedChanges change = oracle.predict(Disease::AD, 71, Sex::female, truth_at_71, 3);
  out << "ventricles: " << change.ml[1] << " +- " << change.sd[1] << " ml\n";
  // [oracle]
  CHECK(out.str().starts_with("ventricles: "));
  CHECK(change.ml[0] < 0);
  CHECK(change.ml[1] > 0);
}

TEST_CASE("the oracle between its horizons, at none, and what it refuses") {
  const CohortOptions options = options_of(PhantomDistribution::phantom_2, 11);
  const ChangeOracle oracle = fit_change_oracle(options, 6000, horizons),
                     exact = fit_change_oracle(options, 6000, std::array{3.5});
  Subject s = draw_subject({.seed = 3, .distribution = PhantomDistribution::phantom_2}, 0);
  s.disease = Disease::AD, s.sex = Sex::male, s.first_age = 72;
  const Truth t = expected_truth(s, s.first_age);
  const auto at = [&](const ChangeOracle& o, double years) { return o.predict(Disease::AD, 72, Sex::male, t, years); };
  for (std::size_t m = 0; m < 4; ++m) {
    CHECK(at(oracle, 0).ml[m] == 0);
    CHECK(at(oracle, 0).sd[m] == 0);
    CHECK(at(oracle, 0.5).ml[m] == doctest::Approx(0.5 * at(oracle, 1).ml[m]));
    CHECK(at(oracle, 3.5).ml[m] == doctest::Approx(at(exact, 3.5).ml[m]).epsilon(0.03));
    CHECK(at(oracle, 3.5).sd[m] == doctest::Approx(at(exact, 3.5).sd[m]).epsilon(0.05));
  }
  CHECK(refusal_of([&] { (void)at(oracle, 10.5); }) == "oracle.horizon");
  CHECK(refusal_of([&] { (void)at(oracle, -1); }) == "oracle.horizon");
  CHECK(refusal_of([&] { (void)at(oracle, std::nan("")); }) == "oracle.horizon");
  CHECK(refusal_of([&] { (void)oracle.predict(Disease::ADHD, 60, Sex::male, t, 1); }) == "oracle.disease");
  CHECK(refusal_of([&] { (void)oracle.predict(Disease::AD, 60, Sex::male, Truth{}, 1); }) == "oracle.volume");
  for (const std::vector<double>& years : {std::vector<double>{}, {0, 1}, {2, 1}, {-1}, {std::nan("")}})
    CHECK(refusal_of([&] { (void)fit_change_oracle(options, 6000, years); }) == "oracle.years");
  CHECK(refusal_of([&] { (void)fit_change_oracle(options, 100, horizons); }) == "oracle.draws");
  const ChangeOracle few = fit_change_oracle(options, 1500, horizons);
  CHECK(refusal_of([&] { (void)few.predict(Disease::ASD, 30, Sex::male, t, 1); }) == "oracle.disease");
}

TEST_SUITE("slow") {
  TEST_CASE("the oracle of rendered heads is right about heads that are rendered") {
    Context<Cpu> ctx({.threads = 2});
    const CohortOptions p2 = options_of(PhantomDistribution::phantom_2, 11), other = options_of(p2.distribution, 2025);
    const ChangeOracle oracle = fit_change_oracle(p2, 24000, horizons);
    std::array<Mean, 4> relative, levels;
    for (const Subject& s : population(other, 700)) {
      const auto at = [&](double years, std::uint32_t visit) {
        return render_tissues(ctx, s, s.first_age + years, visit, {40, 48, 40}).truth;
      };
      const Truth first = at(0, 0);
      const VolumeChanges change = changes_of(first, at(5, 1));
      const ExpectedChanges e = oracle.predict(s.disease, s.first_age, s.sex, first, 5);
      const Truth drawn = phantom::detail::TrueVolumesOf(s, TrueVolumes::rendered)(0);
      levels[0].add(std::log(first.brain / drawn.brain));
      levels[1].add(std::log(first.ventricles / drawn.ventricles));
      levels[2].add(std::log(first.hippocampi / drawn.hippocampi));
      levels[3].add(std::log(first.grey_matter / drawn.grey_matter));
      for (std::size_t m = 0; m < 4; ++m) relative[m].add((change[m] - e.ml[m]) / e.sd[m]);
    }
    for (std::size_t m = 0; m < 4; ++m) {
      MESSAGE(std::string(change_columns[m]), " of ", relative[m].n, " heads: residual over its sd: mean ",
              relative[m].mean(), ", sd ", relative[m].sd(), "; log of rendered over drawn: mean ", levels[m].mean(),
              ", sd ", levels[m].sd());
      CHECK(std::abs(relative[m].mean()) < 4 / std::sqrt(relative[m].n));
      CHECK(within(relative[m].sd(), 0.8, 1.25));
      CHECK(std::abs(levels[m].mean()) < 4 * levels[m].sd() / std::sqrt(levels[m].n));
    }
  }
}
