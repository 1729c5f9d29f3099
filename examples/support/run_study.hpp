// A study with the options of a command: it runs, prints its tables and writes its files.
#pragma once

#include <filesystem>
#include <iostream>

#include "examples/support/context.hpp"
#include "examples/support/program_observer.hpp"

namespace braing3n::examples {

/// Returns the result. A study whose run() takes a machine runs its models on the GPU of --device. run(), tables() and write_results() are those in the namespace of the options' type.
template <class Options>
auto run_study(const Program& program, const Options& options, const std::filesystem::path& out) {
  ProgramObserver observer(program.name(), program.common);
  auto result = [&] {
    if constexpr (requires(const Machine& m) { run(m, options, observer); }) {
      const ProgramMachine machine = make_machine(program.common);
      return run(Machine(machine), options, observer);
    } else {
      const auto ctx = make_cpu_context(program.common);
      return run(*ctx, options, observer);
    }
  }();
  std::cout << tables(result);
  write_results(out, result, WriteOptions{.overwrite = program.common.force});
  return result;
}

}  // namespace braing3n::examples
