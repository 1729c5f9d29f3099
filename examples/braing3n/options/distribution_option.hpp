// --distribution: from which distribution phantoms are drawn.
#pragma once

#include <string>
#include <vector>

#include "braing3n/phantom/subject.hpp"
#include "examples/support/program.hpp"

namespace braing3n::examples {

inline std::string default_distribution() { return std::string(enum_name(phantom::CohortOptions{}.distribution)); }

inline CLI::Option* add_distribution(CLI::App& app, std::string& distribution) {
  return app
      .add_option(
          "--distribution", distribution,
          "of phantoms: phantom-2, where each subject has a rate of change of its own, or phantom-1, the older one")
      ->check(CLI::IsMember(enum_names<phantom::PhantomDistribution>()));
}

/// For a step that makes a cohort; none for the default, so that commands stay as short as they were.
inline std::vector<std::string> distribution_words(const std::string& distribution) {
  if (distribution == default_distribution()) return {};
  return {"--distribution", distribution};
}

}  // namespace braing3n::examples
