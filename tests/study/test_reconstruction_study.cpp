// The study of reconstructions: what it measures, what it tells, what it writes.
#include "braing3n/study/reconstruction.hpp"

#include <sstream>

#include "braing3n/format/csv.hpp"
#include "braing3n/study/reconstruction_report.hpp"
#include "tests/study/small_cohort.hpp"
#include "tests/support/check.hpp"

using namespace braing3n;
using namespace braing3n::study;

namespace {

MethodScores method(const std::string& name, std::vector<double> psnr, double ssim) {
  MethodScores m{name};
  for (const double p : psnr) {
    ReconstructionScore s;
    s.whole.psnr_extremes = s.mask.psnr_extremes = p;
    s.whole.ssim = s.mask.ssim = ssim;
    m.scores.push_back(s);
    m.border_jump.push_back(1);
  }
  return m;
}

ReconstructionOptions options_of(const test::SmallCohort& c) {
  return {.tokenizer = c.tokenizer.string(),
          .beside = {{"the same", c.tokenizer.string()}},
          .cohort = c.cohort,
          .truth = c.truth,
          .pictures = 2};
}

}  // namespace

TEST_CASE("a method that is always better by the same differs without an error") {
  const PairedDifference d = paired_difference(method("a", {21, 26, 31}, 0), method("b", {20, 25, 30}, 0),
                                               &RegionScore::psnr_extremes, &ReconstructionScore::whole);
  CHECK(d.mean == doctest::Approx(1));
  CHECK(d.two_standard_errors == doctest::Approx(0).epsilon(1e-9));
  CHECK(d.better == 3);
  // Differences 3 and -1: mean 1, standard deviation 2 sqrt(2), standard error 2.
  const PairedDifference e = paired_difference(method("a", {23, 24}, 0), method("b", {20, 25}, 0),
                                               &RegionScore::psnr_extremes, &ReconstructionScore::whole);
  CHECK(e.mean == doctest::Approx(1));
  CHECK(e.two_standard_errors == doctest::Approx(4));
  CHECK(e.better == 1);
}

TEST_CASE("methods are compared with the better trilinear way, score by score") {
  const auto all = differences_to_trilinear({method("tokenizer", {30, 32}, 0.5), method("point", {25, 25}, 0.4),
                                             method("area", {20, 20}, 0.9), method("mean", {10, 10}, 0.1)},
                                            1);
  REQUIRE(all.size() == 2);
  CHECK(all[0].first == "tokenizer");
  CHECK(all[1].first == "mean");
  CHECK(all[0].second.psnr.mean == doctest::Approx(6));     // to point
  CHECK(all[0].second.ssim.mean == doctest::Approx(-0.4));  // to area
  CHECK(all[1].second.mask_psnr.mean == doctest::Approx(-15));
  CHECK(all[1].second.mask_ssim.better == 0);
}

TEST_CASE("a tokenizer and simpler codes give unseen scans back, and everything follows from the result") {
  test::SmallCohort c;
  test::RecordingObserver observer;
  const ReconstructionResult r = run(c.ctx, options_of(c), observer);
  CHECK(r.scans == std::vector<std::string>{"p17", "p18", "p19", "p20", "p21", "p22", "p23", "p24"});
  std::vector<std::string> names;
  for (const auto& [name, mean] : r.methods) names.push_back(name);
  CHECK(names == std::vector<std::string>{"tokenizer", "the same", "trilinear, point", "trilinear, area",
                                          "components of patches", "linear readout of tokens",
                                          "mean of the training scans"});
  REQUIRE(r.scores.size() == 7);
  for (const MethodScores& m : r.scores) CHECK(m.scores.size() == 8);
  for (std::size_t i = 0; i < 8; ++i)
    CHECK(r.scores[0].scores[i].whole.psnr_extremes == r.scores[1].scores[i].whole.psnr_extremes);
  double psnr = 0;
  for (const ReconstructionScore& s : r.scores[4].scores) psnr += s.mask.psnr_extremes / 8;
  CHECK(r.methods[4].second.mask.psnr_extremes == doctest::Approx(psnr));
  // An untrained decoder gives nothing back; components of patches do.
  CHECK(r.methods[4].second.whole.psnr_extremes > r.methods[0].second.whole.psnr_extremes + 3);
  CHECK(r.values == 12 * 5);
  CHECK(r.difference_to_trilinear.size() == 5);
  REQUIRE(r.regions);
  CHECK(r.regions->size() == tissue_names.size());
  CHECK(std::abs(r.regions->front().second.scans.mean) < 0.1);  // brains are read within a tenth
  CHECK(r.left_out.empty());
  CHECK(r.pictures.size() == 8);
  CHECK(r.captions[1] == "p17 tokenizer");

  CHECK(observer.titles == std::vector<std::string>{"fitting simpler codes", "scoring"});
  CHECK(observer.total == 24);
  CHECK(observer.units == 24);
  CHECK(observer.open == 0);
  CHECK(observer.warnings.empty());

  write_results(c.folder / "out", r, {});
  const Json json = read_json(c.folder / "out" / "summary.json");
  std::vector<std::string> keys;
  for (const auto& [key, value] : json.items()) keys.push_back(key);
  CHECK(keys == std::vector<std::string>{"scans", "difference_to_trilinear", "methods", "region_volume_errors"});
  CHECK(json["methods"]["trilinear, area"]["whole"]["ssim"].get<double>() == r.methods[3].second.whole.ssim);
  CHECK(json["difference_to_trilinear"]["tokenizer"]["psnr"]["better"] ==
        r.difference_to_trilinear[0].second.psnr.better);
  const CsvTable scores(c.folder / "out" / "scores.csv");
  CHECK(scores.rows() == 7 * 8);
  CHECK(scores.number(0, scores.column("ssim")) == r.scores[0].scores[0].whole.ssim);  // all digits
  CHECK(tables(r).find("8 scans of the set \"test\", 12 x 5 = 60 values each") != std::string::npos);
  CHECK(tables(r).find("ventricles") != std::string::npos);
}

TEST_CASE("a study in four statements") {
  test::SmallCohort c;
  Context<Cpu>& ctx = c.ctx;
  const std::string tokenizer = c.tokenizer.string(), table = c.cohort.data, split = c.cohort.split;
  const std::filesystem::path folder = c.folder / "out";
  std::ostringstream out;
  c.call_phantoms();
  // [study]
  const study::ReconstructionOptions options{.tokenizer = tokenizer, .cohort = {.data = table, .split = split}};
  study::Observer silent;  // derive from it to show progress and warnings, or to stop the run
  const study::ReconstructionResult result = study::run(ctx, options, silent);
  out << study::tables(result) << result.methods[0].second.mask.ssim << '\n';
  study::write_results(folder, result, {});
  // [study]
  CHECK(out.str().find("components of patches") != std::string::npos);
  CHECK(out.str().starts_with("Phantoms of the distribution phantom-2\n"));
  CHECK(read_json(folder / "summary.json")["phantom_distribution"] == "phantom-2");
  CHECK(std::filesystem::exists(folder / "montage.png"));
}

TEST_CASE("scans that cannot be read are left out and named; an interrupt ends the study") {
  test::SmallCohort c;
  std::ofstream(c.folder / "p18.nii.gz") << "no scan";
  ReconstructionOptions options = options_of(c);
  options.beside.clear();
  options.truth.clear();
  options.pictures = 0;
  test::RecordingObserver observer;
  const ReconstructionResult r = run(c.ctx, options, observer);
  REQUIRE(r.left_out.size() == 1);
  CHECK(r.left_out[0].volume_id == "p18");
  CHECK(r.scans.size() == 7);
  CHECK_FALSE(r.regions);
  CHECK_FALSE(result_json(r).contains("region_volume_errors"));
  CHECK(r.pictures.empty());

  test::RecordingObserver stopping;
  stopping.interrupt_after = 3;
  CHECK_THROWS_AS(run(c.ctx, options, stopping), test::RecordingObserver::Interrupt);
  CHECK(stopping.units == 3);
  CHECK(stopping.open == 0);
}

TEST_CASE("nothing is fitted on the scored subjects, and no subject that trained a model is scored") {
  test::SmallCohort c;
  test::RecordingObserver observer;
  ReconstructionOptions options = options_of(c);
  options.baseline_sets = {"train", "test"};
  test::check_error("evaluate.sets", {"the set \"test\" is scored"}, [&] { run(c.ctx, options, observer); });
  options.baseline_sets = {"train"};
  options.test = "nobody";
  CHECK_THROWS_WITH_AS(run(c.ctx, options, observer), doctest::Contains("nobody"), Error);
  options.test = "train";
  options.baseline_sets = {"validation"};
  test::check_error("evaluate.unseen", {"12 of the subjects that should be unseen trained the tokenizer"},
                    [&] { run(c.ctx, options, observer); });
  std::filesystem::create_directory(c.folder / "alone");
  std::filesystem::copy(c.tokenizer, c.folder / "alone");
  options = options_of(c);
  options.beside.clear();
  options.tokenizer = (c.folder / "alone" / "model.safetensors").string();
  CHECK_NOTHROW(ReconstructionStudy(c.ctx, options, observer));
  REQUIRE(observer.warnings.size() == 1);
  CHECK(observer.warnings[0].find("are unknown (no list in the file") != std::string::npos);
}
