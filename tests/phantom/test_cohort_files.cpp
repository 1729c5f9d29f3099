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
  CHECK(read_json(scratch / "cohort.json")["modalities"] == Json({"T1", "FLAIR"}));

  CHECK_THROWS_WITH_AS((void)phantom::write_cohort(ctx, scratch.path, plan),
                       doctest::Contains("may not be overwritten"), Error);
  hooks.stop = [] { return true; };
  CHECK(phantom::write_cohort(ctx, scratch / "none", plan, {}, hooks) == 0);
  CHECK_FALSE(std::filesystem::exists(scratch / "none/volumes.csv"));
}
