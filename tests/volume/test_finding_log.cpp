// Findings of a cohort: one sentence per kind, whatever the order in which scans are read.
#include <doctest/doctest.h>

#include <thread>
#include <vector>

#include "braing3n/volume/finding_log.hpp"

using namespace braing3n;

namespace {
Findings of(const char* id, Severity severity, const char* sentence) {
  Findings f;
  f.add(severity, id, sentence);
  return f;
}
}  // namespace

TEST_CASE("each kind once, with its count and the first scan; worse kinds first") {
  FindingLog log;
  CHECK(log.kinds().empty());
  log.add(4, "e.nii", of("volume.skull", Severity::warning, "5 litres"));
  log.add(2, "c.nii", of("volume.skull", Severity::warning, "3 litres"));
  log.add(0, "a.nii", {});
  log.add(3, "d.nii", of("volume.orientation", Severity::note, "RAS"));
  log.add(2, "c.nii", of("volume.skull", Severity::warning, "3 litres"));  // the next epoch
  const std::vector<FindingKind> kinds = log.kinds();
  REQUIRE(kinds.size() == 2);
  CHECK(kinds[0].id == "volume.skull");
  CHECK(describe(kinds[0]) == "in 2 of 4 scans, first c.nii: 3 litres");
  CHECK(kinds[1].severity == Severity::note);
  CHECK(describe(kinds[1]) == "in 1 of 4 scans, first d.nii: RAS");

  CHECK(log.news().size() == 2);
  CHECK(log.news().empty());
  log.add(5, "f.nii", of("volume.constant", Severity::warning, "7"));
  log.add(5, "f.nii", of("volume.skull", Severity::warning, "4 litres"));
  REQUIRE(log.news().size() == 1);
  CHECK(log.kinds().size() == 3);
}

TEST_CASE("a single scan is named without counts") {
  FindingLog log;
  log.add(0, "a.nii", of("volume.skull", Severity::warning, "3 litres"));
  CHECK(describe(log.kinds().at(0)) == "a.nii: 3 litres");
}

TEST_CASE("several threads") {
  FindingLog log;
  std::vector<std::thread> threads;
  for (Index t = 0; t < 4; ++t)
    threads.emplace_back([&log, t] {
      for (Index i = 0; i < 100; ++i)
        log.add(100 * t + i, concat("scan ", 100 * t + i), of("volume.skull", Severity::warning, "3 litres"));
    });
  for (std::thread& t : threads) t.join();
  CHECK(describe(log.kinds().at(0)) == "in 400 of 400 scans, first scan 0: 3 litres");
}
