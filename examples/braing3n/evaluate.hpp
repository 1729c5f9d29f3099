// What the parts of `evaluate` share: each adds its options to a subcommand and returns what runs them.
#pragma once

#include <functional>
#include <vector>

#include "braing3n/study/cohort.hpp"
#include "examples/support/program.hpp"

namespace braing3n::examples {

/// Returns an exit code.
using Evaluation = std::function<int(const Program&)>;

Evaluation evaluate_reconstruction(CLI::App& app);
Evaluation evaluate_controllability(CLI::App& app);
Evaluation evaluate_fidelity(CLI::App& app);
Evaluation evaluate_memorisation(CLI::App& app);
Evaluation evaluate_forecasting(CLI::App& app);

/// Prints the scans that a study could not read on standard error. Returns the exit code.
int report_left_out(const std::vector<study::LeftOut>& scans);

}  // namespace braing3n::examples
