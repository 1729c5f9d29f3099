// The study of fidelity: spreads, Frechet distances of known tables, a run on small models.
#include "braing3n/study/fidelity.hpp"

#include "braing3n/study/fidelity_report.hpp"
#include "tests/study/small_cohort.hpp"
#include "tests/support/check.hpp"

using namespace braing3n;
using namespace braing3n::study;

namespace {

FidelityOptions options_of(const test::SmallCohort& c) {
  FidelityOptions o;
  o.model = c.dit.string();
  o.tokenizer = c.tokenizer.string();
  o.cohort = c.cohort;
  o.sampling.steps = 2;
  o.samples = 3;
  o.pictures = 1;
  return o;
}

Tensor<float, Cpu> table(Context<Cpu>& ctx, float shift) {
  std::vector<float> values;
  for (int i = 0; i < 12; ++i) values.push_back(static_cast<float>(i * i % 7) + shift);
  return Tensor<float, Cpu>::from_host(ctx, {6, 2}, values);
}

}  // namespace

TEST_CASE("mean and standard deviation of none, one and several") {
  CHECK(Spread::of({}).n == 0);
  CHECK(std::isnan(Spread::of({}).mean));
  CHECK(Spread::of({3}).mean == 3);
  CHECK(std::isnan(Spread::of({3}).sd));
  CHECK(Spread::of({1, 3}).mean == doctest::Approx(2));
  CHECK(Spread::of({1, 3}).sd == doctest::Approx(std::sqrt(2.0)));
  CHECK(result_json(Spread::of({3}))["sd"].is_null());
  CHECK(ratio_of(1, 4) == 0.25);
  CHECK(std::isnan(ratio_of(1, 0)));
}

TEST_CASE("equal tables have the Frechet distance 0, a shift has its square") {
  Context<Cpu> ctx({.threads = 1});
  const FeatureMoments a = feature_moments(table(ctx, 0), "r"), b = feature_moments(table(ctx, 3), "r");
  CHECK(frechet_between(ctx, {a, a}, {a, a}) == doctest::Approx(0).epsilon(1e-6));
  CHECK(frechet_between(ctx, {a, a}, {b, b}) == doctest::Approx(18));  // 3 in each of two features
  CHECK(frechet_between(ctx, {a, b}, {a, b}) == doctest::Approx(18));  // half 0 against half 1
}

TEST_CASE("arms are the classes of conditions, with the scans that have these labels") {
  test::SmallCohort c;
  test::RecordingObserver observer;
  const FidelityOptions o = options_of(c);
  const std::vector<ConditionField> fields = {{"sex", ConditionKind::categorical, {"F", "M", "X"}},
                                              {"age", ConditionKind::continuous, {}, 0.1, false, 0, 120}};
  const Manifest manifest = read_cohort(c.cohort, observer);
  const Split split = read_split(o.cohort.split);
  const FidelityPlan plan(fields, manifest, split, o, nullptr);
  REQUIRE(plan.arms.size() == 2);
  CHECK(plan.arms[0].name == "sex=F");
  CHECK(plan.arms[0].unseen.size() == 4);
  CHECK(plan.arms[0].train.size() == 3);  // as many as samples
  for (const Index i : plan.arms[1].unseen) CHECK(manifest.text(i, "sex") == "M");
  CHECK(plan.left_out == std::vector<std::string>{"sex=X"});
  CHECK(plan.halves[0].size() == 4);
  for (const Index i : plan.halves[0])
    CHECK(std::find(plan.halves[1].begin(), plan.halves[1].end(), i) == plan.halves[1].end());
  CHECK(plan.calibration.empty());  // without a truth

  FidelityOptions age = o;
  age.conditions = {"age"};
  test::check_error("fidelity.condition", {"age: expected a condition with classes, got a number"},
                    [&] { FidelityPlan(fields, manifest, split, age, nullptr); });
  FidelityOptions few = o;
  few.frechet = 3;
  test::check_error("fidelity.few", {"expected at least 2 in each"},
                    [&] { FidelityPlan(fields, manifest, split, few, nullptr); });
}

TEST_CASE("samples of a small transformer are compared with scans, and everything follows from the result") {
  test::SmallCohort c;
  test::RecordingObserver observer;
  FidelityOptions o = options_of(c);
  o.truth = c.truth;
  c.call_phantoms();
  const FidelityResult r = run(c.ctx, o, observer);
  REQUIRE(r.arms.size() == 2);
  CHECK(r.arms[0].arm == "sex=F");
  CHECK(r.arms[0].conditions == Json{{"sex", "F"}});
  CHECK(r.arms[0].unseen_scans == 4);
  CHECK(r.arms[1].ratio == doctest::Approx(r.arms[1].distance / r.arms[1].unseen_distance));
  REQUIRE(r.regions.size() == 2 * tissue_names.size());
  CHECK(r.regions[0].region == "brain");
  CHECK(r.regions[0].truth.n == 10);  // six of the training, four unseen
  CHECK(r.calibration == 12);
  REQUIRE(r.frechet);
  CHECK(r.frechet->n == std::array<Index, 2>{4, 4});
  CHECK(r.frechet->features == 48);
  CHECK(r.features.rows() == 8);
  CHECK(r.features.values.size() == 8 * 48);
  CHECK(r.pictures.size() == 2);
  CHECK(observer.titles == std::vector<std::string>{"fidelity"});
  CHECK(observer.units == observer.total);
  CHECK(observer.open == 0);

  // No result replaces a file that is there, the picture included.
  std::filesystem::create_directories(c.folder / "kept");
  write_text(c.folder / "kept" / "montage.png", "another");
  CHECK_THROWS_WITH_AS(write_results(c.folder / "kept", r, {}), doctest::Contains("montage.png"), Error);
  CHECK(read_text(c.folder / "kept" / "montage.png") == "another");

  write_results(c.folder / "out", r, {});
  const Json json = read_json(c.folder / "out" / "fidelity.json");
  CHECK(json["kind"] == "braing3n fidelity");
  CHECK(json["cfg"] == 1.5);
  CHECK(json["phantom_distribution"] == "phantom-2");
  CHECK(tables(r).starts_with("Phantoms of the distribution phantom-2\n"));
  CHECK(json["arms"][1]["distance"].get<double>() == r.arms[1].distance);
  CHECK(json["frechet"]["gen_real"].get<double>() == r.frechet->gen_real);
  CHECK_FALSE(json["frechet"].contains("gen_reference"));
  CHECK(tables(r).find("fitted on 12 round trips of training scans") != std::string::npos);

  // Its own features as the reference: scans of both halves, the same for any number of threads.
  Context<Cpu> one({.threads = 1});
  o.truth.clear();
  o.reference = (c.folder / "out" / "features.safetensors").string();
  const FidelityResult again = run(one, o, observer);
  CHECK(again.frechet->gen_real == r.frechet->gen_real);
  CHECK(again.frechet->gen_reference);
  CHECK(again.frechet->reference_rows == 4);
  CHECK(again.regions.empty());
  CHECK(tables(again).find("samples, reference (4 rows)") != std::string::npos);

  o.frechet = 0;
  test::check_error("fidelity.reference", {"expected at least 1 scan for them"}, [&] { run(c.ctx, o, observer); });
  o.reference.clear();
  const FidelityResult plain = run(c.ctx, o, observer);
  CHECK(result_json(plain)["frechet"].is_null());
  o.test = "train";
  test::check_error("evaluate.sets", {"no scan in it is unseen"}, [&] { run(c.ctx, o, observer); });
}
