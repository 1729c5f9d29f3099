// What a file contains: scans, manifests, models, training states and other safetensors files, NumPy arrays, tables. With
// --config, the parameter counts of a configuration; nothing is allocated for that.
//
//   braing3n inspect scan.nii.gz --model tokenizer.safetensors --png scan.png
//   braing3n inspect volumes.csv
//   braing3n inspect mae.safetensors
//   braing3n inspect --config paper
#include <optional>

#include "examples/braing3n/commands.hpp"
#include "examples/braing3n/options/inspect_options.hpp"
#include "examples/support/context.hpp"
#include "examples/support/progress.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

/// Reports one file. Returns whether it may be used.
bool inspect_one(Context<Cpu>& context, const std::string& path, const InspectSettings& s, bool quiet) {
  FileReportOptions options = s.report;
  std::optional<Progress> progress;
  options.reading.progress = [&](Index, Index total) {
    if (!progress) progress.emplace("reading scans", total, quiet);
    progress->advance();
  };
  const Json report = inspect_file(context, path, options);
  if (progress) progress->close();
  if (s.json) std::cout << report.dump() << '\n';
  else print_file(std::cout, report);
  return !must_not_be_used(report, s.strict);
}

int inspect_files(const InspectSettings& s, const CommonOptions& common) {
  const auto context = make_cpu_context(common);
  std::size_t failed = 0;
  InspectSettings own = s;
  own.report.reading.threads = context->threads();
  for (const std::string& path : s.files) {
    stop_if_interrupted();
    try {
      if (inspect_one(*context, path, own, common.quiet || s.json)) continue;
      if (s.files.size() == 1) return exit_not_started;
    } catch (const Error& e) {
      if (s.json)
        std::cout << Json({{"file", path}, {"type", "refused"}, {"id", e.id()}, {"error", e.what()}}).dump() << '\n';
      if (s.files.size() == 1 || e.kind() == ErrorKind::environment) throw;
      std::cerr << "inspect: " << e.what() << '\n';
    }
    ++failed;
  }
  return failed == 0 ? exit_done : exit_some_failed;
}

}  // namespace

int inspect_command(int argc, char** argv) {
  InspectSettings s;
  Program program("inspect",
                  "Shows what scans, manifests, models, arrays and tables contain, and the size of a configuration.");
  add_inspect_options(program.app, s);
  return program.run(argc, argv, [&]() -> int {
    if (s.files.empty() == s.config.empty())
      fail(ErrorKind::argument, "inspect.input", "expected either files or --config");
    if (!s.config.empty()) {
      const Json report = inspect_config(s.config);
      if (s.json) std::cout << report.dump(2) << '\n';
      else print_config(std::cout, report);
      return exit_done;
    }
    complete_inspect_settings(s, program);
    return inspect_files(s, program.common);
  });
}
