// Parts of studies on their own: figures of a result against their definitions, splits, samples by number, the quickstart's page.
#include <doctest/doctest.h>

#include <cmath>
#include <map>

#include "braing3n/data/condition_labels.hpp"
#include "braing3n/study/controllability_plan.hpp"
#include "braing3n/study/fidelity.hpp"
#include "braing3n/study/phantom_study.hpp"
#include "braing3n/study/quickstart_page.hpp"
#include "braing3n/study/reconstruction.hpp"
#include "tests/study/small_cohort.hpp"
#include "tests/support/check.hpp"

using namespace braing3n;
using namespace braing3n::study;

TEST_CASE("fidelity: errors of means, ratios of standard deviations and of distances by their definitions") {
  test::SmallCohort c;
  test::RecordingObserver observer;
  FidelityOptions o{.model = c.dit.string(),
                    .tokenizer = c.tokenizer.string(),
                    .cohort = c.cohort,
                    .truth = c.truth,
                    .conditions = {"sex"}};
  o.samples = 3, o.frechet = 8, o.sampling.steps = 2, o.calibration = 11;
  const FidelityResult r = run(c.ctx, o, observer);
  CHECK(r.calibration == 11);  // of twelve
  REQUIRE(!r.regions.empty());
  for (const RegionFidelity& f : r.regions) {
    REQUIRE(f.samples.n == 3);
    CHECK(f.mean_error == doctest::Approx((f.samples.mean - f.truth.mean) / f.truth.mean));
    CHECK(f.sd_ratio == doctest::Approx(f.samples.sd / f.truth.sd));
    CHECK(f.round_trip_mean_error == doctest::Approx((f.round_trips.mean - f.truth.mean) / f.truth.mean));
    CHECK(f.round_trip_sd_ratio == doctest::Approx(f.round_trips.sd / f.truth.sd));
  }
  REQUIRE(r.frechet);
  CHECK(r.frechet->gen_recons_ratio == doctest::Approx(r.frechet->gen_recons / r.frechet->recons_halves));
}

TEST_CASE("reconstruction: the mean absolute error of a region is no less than its mean error") {
  test::SmallCohort c;
  test::RecordingObserver observer;
  ReconstructionOptions o{.tokenizer = c.tokenizer.string(), .cohort = c.cohort, .truth = c.truth};
  const ReconstructionResult r = run(c.ctx, o, observer);
  REQUIRE(r.regions);
  bool of_both_signs = false;
  for (const auto& [name, e] : *r.regions)
    for (const VolumeError& v : {e.scans, e.tokenizer}) {
      CHECK(v.mean_size >= std::abs(v.mean) - 1e-12);
      of_both_signs = of_both_signs || v.mean_size > std::abs(v.mean) + 1e-6;
    }
  CHECK(of_both_signs);
}

TEST_CASE("samples belong to their number, whatever arm they are made in") {
  test::SmallCohort c;
  test::RecordingObserver observer;
  const SampleArms models(c.ctx, c.dit.string(), c.tokenizer.string());
  const ConditionRow row = parse_conditions(models.conditions(), "sex=F");
  const auto arm = [&](Index n, std::uint32_t first) {
    return models
        .sample({.name = "arm", .conditions = [&](Index) { return row; }, .n = n, .first = first}, 7, {.steps = 2},
                observer)
        .latents;
  };
  const RowStore<float> three = arm(3, 0), last = arm(1, 2);
  const auto size = static_cast<std::size_t>(models.latent_size());
  const std::span<const float> all = elements_of(three), one = elements_of(last);
  REQUIRE(all.size() == 3 * size);
  REQUIRE(one.size() == size);
  CHECK(std::equal(one.begin(), one.end(), all.begin() + static_cast<std::ptrdiff_t>(2 * size)));
  CHECK_FALSE(std::equal(one.begin(), one.end(), all.begin()));
}

TEST_CASE("phantom study: every disease has its share in the test set") {
  const test::ScratchFolder scratch;
  std::string table = "volume_id,subject_id,path,disease\n";
  for (int i = 0; i < 60; ++i) table += concat("v", i, ",s", i, ",v", i, ".nii,", i < 40 ? "HC" : "AD", '\n');
  write_text(scratch.path / "volumes.csv", table);
  const Manifest cohort = read_manifest(scratch.path / "volumes.csv", {.check_files = false});
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    std::map<bool, Index> healthy;  // in the test set
    for (const auto& [subject, part] : phantom_study_split(cohort, true, seed))
      if (part == "test") ++healthy[std::stoi(subject.substr(1)) < 40];
    CHECK(healthy[true] >= 11);  // 30 % of 40, to the nearest subject
    CHECK(healthy[true] <= 13);
    CHECK(healthy[false] >= 5);
    CHECK(healthy[false] <= 7);
  }
}

TEST_CASE("truth of phantoms: a missing value and a missing volume are named") {
  const test::ScratchFolder scratch;
  const std::string header = "volume_id,brain_ml,grey_matter_ml,white_matter_ml,ventricles_ml\n";
  write_text(scratch.path / "truth.csv", header + "a,4,3,1,0.5\n");
  const RegionTruth truth(scratch.path / "truth.csv");
  CHECK(truth("a") == TissueVolumes{4, 3, 1, 0.5});
  test::check_error("truth.missing", {"truth.csv", "no row for \"b\""}, [&] { (void)truth("b"); });
  write_text(scratch.path / "gap.csv", header + "a,4,3,1,0.5\nb,4,,1,0.5\n");
  test::check_error("truth.missing", {"gap.csv", "line 3: grey_matter_ml is missing"},
                    [&] { RegionTruth(scratch.path / "gap.csv"); });
}

TEST_CASE("quickstart page: scores, probes, pictures, curves and commands of the steps") {
  const test::ScratchFolder scratch;
  const auto write = [&](const std::string& name, const std::string& text) {
    std::filesystem::create_directories((scratch.path / name).parent_path());
    write_text(scratch.path / name, text);
  };
  write("cohort.png", "p"), write("samples/montage.png", "p"), write("sweep/montage.png", "p");
  write("follow_ups/montage.png", "p");
  write("forecasting/forecasting.csv",
        "forecaster,kind,quantity,unit,band,pairs,subjects,missing,score,value,low,high\n"
        "mean rate,floor,brain_ml,ml,all,12,12,0,mae,9.5,9,10\nmean "
        "rate,floor,brain_ml,ml,all,12,12,0,skill_locf,0.31,0.11,0.43\n"
        "mean rate,floor,brain_ml,ml,5-10,12,12,0,skill_locf,0.99,,\n"
        "field of rates,model,age,years,all,12,12,0,skill_locf,0.71,,\nfield of "
        "rates,model,brain_ml,ml,all,12,12,0,skill_locf,0.52,,\n");
  for (const char* run : {"mae", "tokenizer", "dit", "forecaster"})
    write(std::string(run) + "/log.jsonl",
          "{\"event\":\"start\"}\n{\"event\":\"step\",\"step\":1,\"loss\":0.5}\n{\"event\":\"validation\",\"step\":1,"
          "\"loss\":0.4}\n");
  write("mae/preview.png", "p");
  write("cohort/cohort.json", R"({"kind": "SYNTHETIC braing3n phantom cohort"})");
  write(
      "probes/panel.csv",
      "features,task,subjects,auc,balanced_accuracy,pearson,r2,mae\nf,sex,50,0.875,0.75,,,\nf,age,50,,,0.625,0.5,9\n");
  write("reconstructions/scores.csv",
        "volume_id,a,b,c,d,e,f,g,h\nv1,20,22,0.5,0.25,19,21,0.625,0.125\nv2,30,32,0.75,0.125,29,31,0.875,0.25\n");
  write("reconstructions/v1_RECONSTRUCTION.png", "p"), write("reconstructions/v2_RECONSTRUCTION.png", "p");
  StepTimes steps;
  steps.add("Probes of age and sex", {90, "braing3n probe --tasks sex,age"});
  Observer observer;
  const QuickstartResult r = run(QuickstartOptions{.folder = scratch.path, .scans = 60, .unseen = 2}, steps, observer);
  CHECK(r.psnr == 25);
  CHECK(r.ssim == 0.625);
  CHECK(r.distribution == "phantom-1");
  for (const char* part : {"60 synthetic heads (phantom-1) of 40 x 48 x 40 voxels", "2 of them unseen", "25.00",
                           "0.625", "0.875", "0.750", "v2: input, reconstruction", "Phase 2: mean absolute error",
                           "0.31 (0.11 to 0.43)", ">brain<", "0.71", "0.52", "Follow-ups of an unseen subject",
                           "Forecaster: error of the rate", "<svg", "braing3n probe --tasks sex,age", "Total 90 s."})
    CHECK_MESSAGE(r.page.find(part) != std::string::npos, part);
  CHECK(r.page.find("0.99") == std::string::npos);  // of one band
  std::filesystem::remove(scratch.path / "sweep/montage.png");
  CHECK_THROWS_AS(run(QuickstartOptions{.folder = scratch.path}, steps, observer), Error);
}
