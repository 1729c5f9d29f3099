#include <doctest/doctest.h>

#include <set>
#include <string>

#include "braing3n/base/error.hpp"

using namespace braing3n;

TEST_CASE("fail() throws one sentence with kind and id") {
  try {
    fail(ErrorKind::shape, "linear.features", "linear: input has ", 3, " features, weight wants ", 4);
    FAIL("nothing was thrown");
  } catch (const Error& e) {
    CHECK(e.kind() == ErrorKind::shape);
    CHECK(e.id() == "linear.features");
    CHECK(e.text() == "linear: input has 3 features, weight wants 4");
    CHECK(std::string(e.what()) == e.text());
    CHECK(e.path().empty());
  }
}

TEST_CASE("the innermost place is kept") {
  const Error bare(ErrorKind::file, "file.open", "cannot be opened");
  const Error placed = bare.at("blocks.3.mlp.fc1");
  CHECK(std::string(placed.what()) == "blocks.3.mlp.fc1: cannot be opened");
  CHECK(placed.path() == "blocks.3.mlp.fc1");
  CHECK(placed.kind() == bare.kind());
  CHECK(placed.id() == bare.id());
  const Error again = placed.at("model");
  CHECK(std::string(again.what()) == placed.what());
  CHECK(again.path() == "blocks.3.mlp.fc1");
}

TEST_CASE("an Error is a runtime_error, and every kind has a name of its own") {
  CHECK_THROWS_AS(fail(ErrorKind::state, "x", "y"), std::runtime_error);
  std::set<std::string> names;
  for (ErrorKind kind : {ErrorKind::argument, ErrorKind::shape, ErrorKind::dtype, ErrorKind::config, ErrorKind::format,
                         ErrorKind::file, ErrorKind::numeric, ErrorKind::environment, ErrorKind::state})
    names.insert(to_string(kind));
  CHECK(names.size() == 9);
  CHECK(names.count("unknown") == 0);
}
