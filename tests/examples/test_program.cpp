#include <doctest/doctest.h>

#include <sstream>
#include <string>
#include <vector>

#include "braing3n/base/text.hpp"
#include "examples/support/program.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

/// Runs a small program with its standard streams caught.
template <class Body>
int run(std::vector<std::string> arguments, Body&& body, std::string* error = nullptr, std::string* output = nullptr) {
  std::vector<char*> argv;
  arguments.insert(arguments.begin(), "demo");
  for (std::string& a : arguments) argv.push_back(a.data());
  std::ostringstream out, err;
  std::streambuf* const old_out = std::cout.rdbuf(out.rdbuf());
  std::streambuf* const old_err = std::cerr.rdbuf(err.rdbuf());
  Program program("demo", "A demonstration.");
  int needed = 0;
  program.app.add_option("--needed", needed)->required();
  const int code = program.run(static_cast<int>(argv.size()), argv.data(), [&] { return body(program); });
  std::cout.rdbuf(old_out);
  std::cerr.rdbuf(old_err);
  if (error != nullptr) *error = err.str();
  if (output != nullptr) *output = out.str();
  return code;
}

}  // namespace

TEST_CASE("program: exit codes") {
  std::string error, output;
  const auto good = [](Program&) { return 0; };
  CHECK(run({"--needed", "1"}, good) == 0);
  CHECK(run({"--needed", "1"}, [](Program&) { return 1; }) == 1);
  CHECK(run({}, good, &error) == 2);
  CHECK(error.starts_with("demo: --needed is required"));
  CHECK(run({"--needed", "x"}, good) == 2);
  CHECK(run({"--needed", "1", "--unknown"}, good) == 2);
  CHECK(run({"--needed", "1", "--device", "tpu"}, good) == 2);
  CHECK(run({"--needed", "1", "--precision", "f16"}, good) == 2);
  CHECK(run({"--needed", "1", "--threads", "-1"}, good) == 2);
  CHECK(run({"--help"}, good, nullptr, &output) == 0);
  CHECK(output.find("Research use only") != std::string::npos);
  CHECK(output.find("--json-log") != std::string::npos);
  CHECK(run({"--version"}, good, nullptr, &output) == 0);
  CHECK(output == std::string("braing3n ") + version() + "\n");
}

TEST_CASE("program: errors end it with the right code and one line") {
  std::string error;
  const auto throws = [](auto e) { return [e](Program&) -> int { throw e; }; };
  const std::vector<std::string> arguments{"--needed", "1"};
  for (const ErrorKind kind : {ErrorKind::environment, ErrorKind::numeric})
    CHECK(run(arguments, throws(Error(kind, "x", "what")), &error) == 3);
  CHECK(error == "demo: what\n");
  for (const ErrorKind kind :
       {ErrorKind::argument, ErrorKind::config, ErrorKind::file, ErrorKind::format, ErrorKind::shape})
    CHECK(run(arguments, throws(Error(kind, "x", "what"))) == 2);
  CHECK(run(arguments, throws(std::bad_alloc())) == 3);
  CHECK(run(arguments, throws(std::runtime_error("x")), &error) == 2);
  CHECK(error == "demo: unexpected: x\n");
  CHECK(run(arguments, throws(Interrupted{})) == 130);
  CHECK(run(arguments, [](Program&) {
          std::raise(SIGINT);
          CHECK(interrupted());
          stop_if_interrupted();
          return 0;
        }) == 130);
  braing3n::examples::detail::interrupt_count = 0;
  CHECK_FALSE(interrupted());
}

TEST_CASE("program: the name of an option before it was renamed") {
  const auto given = [](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "demo");
    std::vector<char*> argv;
    for (std::string& a : arguments) argv.push_back(a.data());
    std::vector<std::string> values;
    Program program("demo", "A demonstration.");
    program.app.add_option("--data", values)->required();
    program.alias("--labels", "--data");
    std::ostringstream err;
    std::streambuf* const old = std::cerr.rdbuf(err.rdbuf());
    const int code = program.run(static_cast<int>(argv.size()), argv.data(), [] { return 0; });
    std::cerr.rdbuf(old);
    if (code != 0) return concat(code, ": ", err.str());
    return joined(values, " ");
  };
  CHECK(given({"--data", "a"}) == "a");
  CHECK(given({"--labels", "a", "b"}) == "a b");
  CHECK(given({"--labels=a"}) == "a");
  CHECK(given({"--label", "a"}).starts_with("2: demo: --data is required"));
  CHECK(given({}).starts_with("2: demo: --data is required"));
}
