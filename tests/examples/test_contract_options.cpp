// The preprocessing contract from the command line: which template it claims.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "examples/support/contract_options.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

PreprocessingContract parsed(const std::vector<std::string>& arguments) {
  CLI::App app;
  ContractOptions options;
  options.add_to(app);
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  app.parse(reversed);
  return options.contract();
}

}  // namespace

TEST_CASE("contract options: flags that change the grid leave the preset's template, --space names one") {
  CHECK(parsed({"--contract", "paper"}).space == "SRI24");
  CHECK(parsed({"--contract", "paper", "--normalise", "none"}).space == "SRI24");
  for (const std::vector<std::string>& flags : std::vector<std::vector<std::string>>{
           {"--shape", "40,48,40"}, {"--spacing", "4,4,4"}, {"--orientation", "RAS"}, {"--centring", "mass"}}) {
    CAPTURE(flags[0]);
    CHECK(parsed(flags).space.empty());
    std::vector<std::string> stated = flags, preset = flags;
    stated.insert(stated.end(), {"--space", "MNI152"});
    CHECK(parsed(stated).space == "MNI152");
    preset.insert(preset.end(), {"--contract", "paper"});
    CHECK(parsed(preset).space.empty());
  }
}
