#include <doctest/doctest.h>

#include <sstream>

#include "examples/support/json_log.hpp"
#include "examples/support/progress.hpp"
#include "examples/support/table.hpp"
#include "tests/io/damage.hpp"

using namespace braing3n;
using namespace braing3n::examples;
using namespace braing3n::test;

TEST_CASE("table: texts left, numbers right") {
  Table table({"name", "count", "note"});
  CHECK(table.empty());
  table.row("é", with_commas(1234567), "a1");
  table.row("longer", 7, "");
  std::ostringstream out;
  table.print(out);
  CHECK(out.str() == "name        count  note\n-----------------------\né       1,234,567  a1\nlonger          7\n");
  CHECK(with_commas(0) == "0");
  CHECK(with_commas(999) == "999");
  CHECK(with_commas(-196005888) == "-196,005,888");
  CHECK(byte_text(1536) == "1.5 KiB");
  CHECK(byte_text(17) == "17 B");
}

TEST_CASE("progress: the time left counts this run only") {
  Progress p("x", 100, true, 40);
  p.advance(20, "loss 0.5");
  CHECK(p.text(30) == "60/100 (60%)  0:30  left 1:00  loss 0.5");
  CHECK(clock_text(3725) == "1:02:05");
  CHECK(clock_text(59.6) == "1:00");
  Progress unknown("x", 0, true);
  unknown.advance(5);
  CHECK(unknown.text(3725) == "5  1:02:05");
}

TEST_CASE("json log: one object per line") {
  const ScratchFolder folder;
  {
    JsonLog log((folder / "l").string());
    log.event("start");
    log.event("step", {{"loss", 0.5}});
  }
  JsonLog again((folder / "l").string());
  again.event("more");
  std::istringstream lines(content_of(folder / "l"));
  std::string line;
  std::vector<std::string> events;
  while (std::getline(lines, line)) events.push_back(parse_json(line, "log").at("event"));
  CHECK(events == std::vector<std::string>{"start", "step", "more"});
  JsonLog("").event("nothing");
  CHECK(error_of([&] { JsonLog((folder / "no" / "l").string()); }).kind() == ErrorKind::file);
}
