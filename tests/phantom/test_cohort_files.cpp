#include "tests/support/check.hpp"

#include "braing3n/format/csv.hpp"
#include "braing3n/phantom/cohort_files.hpp"
#include "tests/support/scratch_folder.hpp"

using namespace braing3n;

TEST_CASE("phantom cohort: files, tables, and what stops it") {
  Context<Cpu> ctx;
  const test::ScratchFolder scratch;
  const phantom::CohortPlan plan{{3, false}, 2, 2, {40, 48, 40}, {Modality::T1, Modality::FLAIR}};
  const std::vector<phantom::Scan> scans = phantom::scans_of(plan);
  REQUIRE(scans.size() == 8);
  CHECK(scans[3].volume_id() == "sub-0001_ses-2_FLAIR");
  CHECK(scans[3].path().generic_string() == "volumes/SYNTHETIC_sub-0001_ses-2_FLAIR.nii.gz");
  CHECK(phantom::cohort_files(scratch.path, plan).size() == 11);

  // Stopped after three scans: their volumes, and tables of them.
  int rendered = 0, written = 0;
  phantom::CohortHooks hooks;
  hooks.on_render = [&](const phantom::RenderedScan& r) {
    CHECK(r.image.provenance == Provenance::synthetic);
    ++rendered;
  };
  hooks.on_written = [&](const phantom::Scan& s) {
    CHECK(std::filesystem::exists(scratch.path / s.path()));
    ++written;
  };
  hooks.stop = [&] { return written == 3; };
  CHECK(phantom::write_cohort(ctx, scratch.path, plan, {}, hooks) == 3);
  CHECK(rendered == 3);
  const CsvTable volumes(scratch / "volumes.csv"), truth(scratch / "truth.csv");
  CHECK(volumes.rows() == 3);
  CHECK(truth.rows() == 3);
  CHECK(volumes.cell(2, volumes.column("volume_id")) == "sub-0001_ses-2_T1");
  const Json record = read_json(scratch / "cohort.json");
  CHECK(record["modalities"] == Json({"T1", "FLAIR"}));
  CHECK(record["distribution"] == "phantom-2");
  CHECK_FALSE(record.contains("visit_years"));
  CHECK_FALSE(record.contains("first"));

  CHECK_THROWS_WITH_AS((void)phantom::write_cohort(ctx, scratch.path, plan),
                       doctest::Contains("may not be overwritten"), Error);
  hooks.stop = [] { return true; };
  CHECK(phantom::write_cohort(ctx, scratch / "none", plan, {}, hooks) == 0);
  CHECK_FALSE(std::filesystem::exists(scratch / "none/volumes.csv"));
}

TEST_CASE("phantom cohort: visits at requested times") {
  Context<Cpu> ctx({.threads = 2});
  const test::ScratchFolder scratch;
  phantom::CohortPlan plan{{3, false, phantom::PhantomDistribution::phantom_2}, 2, 1, {40, 48, 40}, {Modality::T1}};
  plan.visit_years = {0, 1, 2.5, 10};
  CHECK(phantom::scans_of(plan).size() == 8);
  plan.first = 7;
  CHECK(phantom::scans_of(plan).size() == 8);
  CHECK(phantom::scans_of(plan).front().volume_id() == "sub-0008_ses-1_T1");
  plan.first = 0;
  std::vector<phantom::Truth> rendered;
  phantom::CohortHooks hooks;
  hooks.on_render = [&](const phantom::RenderedScan& r) { rendered.push_back(r.tissues.truth); };
  CHECK(phantom::write_cohort(ctx, scratch.path, plan, {}, hooks) == 8);
  const CsvTable volumes(scratch / "volumes.csv"), truth(scratch / "truth.csv");
  REQUIRE(volumes.rows() == 8);
  REQUIRE(truth.rows() == 8);
  const double days[] = {0, 365, 913, 3653};
  for (std::size_t row = 0; row < 8; ++row) {
    const auto number = [&](const CsvTable& t, const char* column) { return t.number(row, t.column(column)).value(); };
    const std::size_t first = row / 4 * 4;
    CHECK(volumes.cell(row, volumes.column("session_id")) == concat("ses-", row % 4 + 1));
    CHECK(volumes.cell(row, volumes.column("subject_id")) == concat("sub-000", row / 4 + 1));
    CHECK(number(volumes, "days") == days[row % 4]);
    CHECK(number(volumes, "age") - volumes.number(first, volumes.column("age")).value() ==
          doctest::Approx(days[row % 4] / 365.25).epsilon(0.02));
    CHECK(number(truth, "ventricles_ml") == doctest::Approx(rendered[row].ventricles).epsilon(1e-3));
    if (row > first) CHECK(rendered[row].ventricles > rendered[row - 1].ventricles);
  }
  const Json record = read_json(scratch / "cohort.json");
  CHECK(record["distribution"] == "phantom-2");
  CHECK(record["visits"] == 4);
  CHECK(record["visit_years"] == Json({0.0, 1.0, 2.5, 10.0}));

  const auto refused = [&](std::vector<double> years, const char* words) {
    plan.visit_years = std::move(years);
    CHECK_THROWS_WITH_AS((void)phantom::write_cohort(ctx, scratch / "none", plan), doctest::Contains(words), Error);
  };
  refused({1, 2}, "time of visit 1: expected 0, the first visit, got 1");
  refused({-1, 2}, "time of visit 1: expected 0, the first visit, got -1");
  refused({0, 2, 2}, "time of visit 3: expected more than 2 years, by a day at least, got 2");
  refused({0, 2, 1}, "time of visit 3: expected more than 2 years, by a day at least, got 1");
  refused({0, 0.001}, "time of visit 2: expected more than 0 years, by a day at least, got 0.001");
  refused({0, 1, 31}, "time of visit 3: expected at most 30 years, since subjects may be 90");
  refused({0, std::nan("")}, "time of visit 2");
  CHECK_FALSE(std::filesystem::exists(scratch / "none"));
}

TEST_CASE("the distribution of a cohort is read from its record") {
  using phantom::PhantomDistribution;
  const test::ScratchFolder scratch;
  const auto table = scratch / "volumes.csv";
  const auto record = [&](const char* text) { write_text(scratch / "cohort.json", text, {.overwrite = true}); };
  CHECK_FALSE(phantom::distribution_beside(table).has_value());
  CHECK(phantom::distribution_name_beside(table).empty());
  record(R"({"kind": "SYNTHETIC braing3n phantom cohort", "seed": 1})");  // of a version with one distribution
  CHECK(phantom::distribution_beside(table) == PhantomDistribution::phantom_1);
  record(R"({"kind": "SYNTHETIC braing3n phantom cohort", "distribution": "phantom-2"})");
  CHECK(phantom::distribution_beside(table) == PhantomDistribution::phantom_2);
  CHECK(phantom::distribution_name_beside(table) == "phantom-2");
  record(R"({"kind": "of somebody else", "distribution": "normal"})");
  CHECK_FALSE(phantom::distribution_beside(table).has_value());
  for (const char* name : {"\"phantom-9\"", "2", "null"}) {
    record(concat(R"({"kind": "SYNTHETIC braing3n phantom cohort", "distribution": )", name, "}").c_str());
    CHECK_THROWS_WITH_AS((void)phantom::distribution_beside(table),
                         doctest::Contains("expected one of phantom-1, phantom-2"), Error);
  }
}
