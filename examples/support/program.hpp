// What every command shares: the common options, exit codes, Ctrl-C.
//
// Exit codes: 0 all done; 1 at least one of several cases failed; 2 nothing could start (usage, unreadable input, a refusal);
// 3 environment (disk full, out of memory, a loss that is not finite); 130 stopped by Ctrl-C after saving.
#pragma once

#include <CLI/CLI.hpp>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <initializer_list>
#include <iostream>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/base/error.hpp"
#include "braing3n/device/gpu.hpp"
#include "examples/support/completion.hpp"

namespace braing3n::examples {

enum ExitCode : int {
  exit_done = 0,
  exit_some_failed = 1,
  exit_not_started = 2,
  exit_environment = 3,
  exit_interrupted = 130
};

constexpr ExitCode exit_code(ErrorKind kind) {
  return kind == ErrorKind::environment || kind == ErrorKind::numeric ? exit_environment : exit_not_started;
}

/// Thrown by stop_if_interrupted().
struct Interrupted {};

namespace detail {
inline volatile std::sig_atomic_t interrupt_count = 0;
}

/// Ctrl-C or SIGTERM came: finish the current file, save, return. A second Ctrl-C ends the program at once.
inline bool interrupted() { return detail::interrupt_count > 0; }
inline void stop_if_interrupted() {
  if (interrupted()) throw Interrupted{};
}
inline void catch_interrupts() {
  struct sigaction action{};
  action.sa_handler = [](int signal) {
    detail::interrupt_count = detail::interrupt_count + 1;
    if (detail::interrupt_count > 1) {
      std::signal(signal, SIG_DFL);
      std::raise(signal);
    }
  };
  ::sigemptyset(&action.sa_mask);
  for (const int signal : {SIGINT, SIGTERM}) ::sigaction(signal, &action, nullptr);
}

struct CommonOptions {
  std::string device = "cpu";
  std::string precision = "f32";
  std::string provider;  // empty: the fastest this machine can run
  int threads = 0;       // 0: as many as the machine has
  std::uint64_t seed = 2025;
  bool quiet = false;
  bool force = false;  // replace existing outputs
  std::string json_log;
};

/// A check of numbers: CLI11's own would print the largest number there is.
inline CLI::Validator at_least(double low) {
  const std::string words = concat("a number of at least ", low);
  return CLI::Validator(
      [low, words](const std::string& text) {
        double value = 0;
        return CLI::detail::lexical_cast(text, value) && value >= low ? std::string()
                                                                      : concat("expected ", words, ", got ", text);
      },
      words);
}
inline CLI::Validator more_than_zero() {
  return CLI::Validator(
      [](const std::string& text) {
        double value = 0;
        return CLI::detail::lexical_cast(text, value) && value > 0
                   ? std::string()
                   : concat("expected a number of more than 0, got ", text);
      },
      "a number of more than 0");
}

/// --missing, of `what`: "the table" or the like.
inline CLI::Option* add_missing(CLI::App& app, std::vector<std::string>& missing,
                                const std::string& what = "the table") {
  return app
      .add_option("--missing", missing,
                  "values of " + what + " that stand for missing ones: -999 or age=-1, separated by commas")
      ->delimiter(',')
      ->default_str("");
}

/// "braing3n 1.2.3", and what the program was built with for GPUs.
inline std::string version_line() {
  const char* const gpu = gpu_support().name;
  return concat("braing3n ", version(), gpu == nullptr ? "" : ", ", gpu == nullptr ? "" : gpu);
}

/// A command: its options, then its work.
///
///   Program program("encode", "Turns volumes into features.");
///   program.app.add_option("--model", model)->required();
///   return program.run(argc, argv, [&] { ...; return exit_done; });
class Program {
 public:
  CLI::App app;
  CommonOptions common;

  Program(const std::string& name, const std::string& description)
      : app(description + "\nResearch use only: not a medical device, not for diagnosis or treatment.",
            "braing3n " + name),
        name_(name) {
    app.set_version_flag("--version", version_line());
    app.option_defaults()->always_capture_default();
    app.add_option("--device", common.device, "where models run; auto: on a GPU if one can be used")
        ->check(CLI::IsMember({"cpu", "cuda", "auto"}))
        ->group("Common");
    app.add_option("--precision", common.precision, "element type of weights and activations")
        ->check(CLI::IsMember({"f32", "bf16"}))
        ->group("Common");
    app.add_option("--provider", common.provider, "table of CPU kernels (default: the fastest for this processor)")
        ->group("Common");
    app.add_option("--threads", common.threads, "CPU threads, 0: all")->check(CLI::Range(0, 1024))->group("Common");
    app.add_option("--seed", common.seed, "seed of every random number")->group("Common");
    app.add_flag("--quiet", common.quiet, "print errors and results only")->group("Common");
    app.add_flag("--force", common.force, "replace outputs that exist")->group("Common");
    app.add_option("--json-log", common.json_log, "append one JSON object per event to this file")->group("Common");
  }

  /// The command's name: "encode".
  const std::string& name() const { return name_; }

  /// Takes away common options that mean nothing to this command, so that giving them is an error.
  void without(std::initializer_list<const char*> options) {
    for (const char* option : options) app.remove_option(app.get_option(option));
  }

  /// `old` is taken for `name`, as before the option was renamed; help and completion show `name` only.
  void alias(const std::string& old, const std::string& name) { aliases_.emplace_back(old, name); }

  /// Parses, calls body(), prints what went wrong in one line and returns the exit code.
  template <class Body>
  int run(int argc, char** argv, Body&& body) {
    if (completion_request() != nullptr) {
      print_candidates(candidates(app, renamed(*completion_request())), completion_request()->back());
      return exit_done;
    }
    try {
      std::vector<std::string> words = renamed({argv + 1, argv + argc});
      std::reverse(words.begin(), words.end());  // CLI11 takes them from the back
      app.parse(std::move(words));
    } catch (const CLI::ParseError& e) {
      if (e.get_exit_code() == 0) return app.exit(e);  // --help, --version
      return report(exit_not_started, e.what(), " (see --help)");
    }
    if (const std::string name = empty_option(app); !name.empty())
      return report(exit_not_started, name,
                    ": an empty value (a variable of a script that is not set?), expected a text");
    catch_interrupts();
    try {
      const int code = body();
      std::cout.flush();
      if (!std::cout) return report(exit_environment, "cannot write to standard output");
      return code == exit_done && interrupted() ? static_cast<int>(exit_interrupted) : code;
    } catch (const Interrupted&) {
      return report(exit_interrupted, "interrupted");
    } catch (const Error& e) {
      const auto* index = app.get_option_no_throw("--index");
      const bool can_choose = e.id() == "nifti.volumes" && e.text().ends_with("got none") && index != nullptr;
      const bool table = can_choose && app.get_option_no_throw("--data") != nullptr && app.count("--data") > 0;
      return report(exit_code(e.kind()), e.what(),
                    !can_choose ? ""
                    : table     ? " (--index N chooses for all, a column volume_index of the table for each scan)"
                                : " (--index N chooses)");
    } catch (const std::bad_alloc&) {
      return report(exit_environment, "out of memory");
    } catch (const std::exception& e) {
      return report(exit_not_started, "unexpected: ", e.what());
    }
  }

 private:
  /// The words with aliases replaced, "--old" and "--old=value" alike; words after "--" are values.
  std::vector<std::string> renamed(std::vector<std::string> words) const {
    for (std::string& word : words) {
      if (word == "--") break;
      const std::string option = word.substr(0, word.find('='));
      for (const auto& [old, name] : aliases_)
        if (option == old) word = name + word.substr(old.size());
    }
    return words;
  }

  /// The first option that was given an empty text and means nothing by it, empty when there is none.
  static std::string empty_option(const CLI::App& part) {
    for (const CLI::Option* option : part.get_options()) {
      const std::string name = option->get_name();
      if (name == "--condition" || name == "--conditions" || name == "--cfg-of" || name == "--within" ||
          name == "--salt" || name == "--licence" || name == "--provenance")
        continue;
      for (const std::string& value : option->results())
        if (value.find_first_not_of(" \t\r\n") == std::string::npos) return name;
    }
    for (const CLI::App* sub : part.get_subcommands())
      if (std::string name = empty_option(*sub); !name.empty()) return name;
    return {};
  }

  template <class... Parts>
  int report(ExitCode code, const Parts&... parts) const {
    std::cerr << name_ << ": " << concat(parts...) << std::endl;
    return code;
  }

  std::string name_;
  std::vector<std::pair<std::string, std::string>> aliases_;
};

}  // namespace braing3n::examples
