#include <doctest/doctest.h>

#include <sstream>

#include "examples/support/json_log.hpp"
#include "examples/support/progress.hpp"
#include "tests/format/damage.hpp"

using namespace braing3n;
using namespace braing3n::examples;
using namespace braing3n::test;

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
