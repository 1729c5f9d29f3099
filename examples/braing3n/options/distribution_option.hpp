// --distribution: from which distribution phantoms are drawn.
#pragma once

#include <string>
#include <vector>

#include "braing3n/phantom/rates.hpp"
#include "examples/support/program.hpp"

namespace braing3n::examples {

inline CLI::Option* add_distribution(CLI::App& app, std::string& distribution) {
  return app
      .add_option("--distribution", distribution,
                  "of phantoms: phantom-1, or phantom-2, where each subject has a rate of change of its own")
      ->check(CLI::IsMember(enum_names<phantom::PhantomDistribution>()));
}

/// For a step that makes a cohort; none for the default, so that commands stay as short as they were.
inline std::vector<std::string> distribution_words(const std::string& distribution) {
  if (distribution == enum_name(phantom::PhantomDistribution{})) return {};
  return {"--distribution", distribution};
}

}  // namespace braing3n::examples
