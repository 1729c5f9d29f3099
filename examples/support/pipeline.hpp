// Commands of this program one after the other, each printed as it would be typed.
#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <initializer_list>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/base/text.hpp"
#include "braing3n/study/steps.hpp"
#include "examples/support/json_log.hpp"
#include "examples/support/program.hpp"
#include "examples/support/progress.hpp"

namespace braing3n::examples {

/// A step of a study: its title, then a command of this program with its arguments.
struct Step {
  std::string title;
  std::vector<std::string> command;
};

/// `first`, then all words of `more`.
inline std::vector<std::string> with_words(std::vector<std::string> first,
                                           std::initializer_list<std::vector<std::string>> more) {
  for (const auto& words : more) first.insert(first.end(), words.begin(), words.end());
  return first;
}

/// Runs commands of this program one after the other and records them with their times.
class Pipeline {
 public:
  /// log: takes what the commands print. times: of an earlier run, which count unless their steps are run again.
  Pipeline(const Program& program, const std::filesystem::path& log, study::StepTimes times = {})
      : common_(program.common), log_(common_.json_log), output_(log), times_(std::move(times)) {
    program_ = std::filesystem::read_symlink("/proc/self/exe").string();
  }

  /// command: its name, then its arguments; --threads, --seed, --device, --precision, --provider and --quiet are handed on. Throws Error (state,
  /// environment) when it does not end well, Interrupted after Ctrl-C.
  void operator()(const std::string& title, std::vector<std::string> command) {
    stop_if_interrupted();
    const std::string shown = "braing3n " + joined(command, " ", [](const std::string& word) {
                                const bool plain =
                                    !word.empty() && word.find_first_of(" '\"{}()*?$&;|<>\\") == std::string::npos;
                                return plain ? word : "'" + word + "'";
                              });
    if (!common_.quiet) std::cerr << "\n" << title << "\n$ " << shown << "\n";
    const auto begin = std::chrono::steady_clock::now();
    run(words_of(command), command[0]);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    times_.add(title, {seconds, shown});
    log_.event("step", {{"title", title}, {"command", shown}, {"seconds", seconds}});
  }
  void operator()(const Step& step) { (*this)(step.title, step.command); }
  const study::StepTimes& times() const { return times_; }

 private:
  /// Whether a command takes a GPU.
  static bool runs_models(const std::vector<std::string>& command) {
    if (command[0] == "evaluate" && command.size() > 1 && command[1] == "forecasting") return false;
    for (const char* one :
         {"mae_pretrain", "tokenizer_train", "dit_train", "encode", "reconstruct", "generate", "evaluate"})
      if (command[0] == one) return true;
    return false;
  }
  /// Whether a command takes a seed. The evaluations that do are given one by name.
  static bool draws_numbers(const std::string& name) {
    return name != "encode" && name != "reconstruct" && name != "evaluate" && name != "forecast";
  }
  /// The program with the command and the options that are handed on.
  std::vector<std::string> words_of(std::vector<std::string> command) const {
    const std::string name = command[0];
    const bool models = runs_models(command);
    command.insert(command.begin(), program_);
    command.insert(command.end(), {"--threads", std::to_string(common_.threads)});
    const bool seeded = std::find(command.begin(), command.end(), "--seed") != command.end();
    if (!seeded && draws_numbers(name)) command.insert(command.end(), {"--seed", std::to_string(common_.seed)});
    if (name != "phantom_cohort" && !common_.provider.empty())
      command.insert(command.end(), {"--provider", common_.provider});
    if (models) command.insert(command.end(), {"--device", common_.device});
    if (models && name != "evaluate") command.insert(command.end(), {"--precision", common_.precision});
    if (common_.quiet) command.push_back("--quiet");
    return command;
  }

  /// Runs it and waits for its end.
  void run(std::vector<std::string> command, const std::string& name) const {
    std::vector<char*> arguments;
    for (std::string& word : command) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output_.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0666);
    pid_t child = 0;
    const int error = ::posix_spawn(&child, command[0].c_str(), &actions, nullptr, arguments.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
      throw Error(ErrorKind::environment, "pipeline.program", concat("cannot run it: ", std::strerror(error)),
                  program_);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
      if (interrupted()) ::kill(child, SIGINT);  // the command saves and ends
    }
    stop_if_interrupted();
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
      fail(WIFEXITED(status) && WEXITSTATUS(status) == exit_environment ? ErrorKind::environment : ErrorKind::state,
           "pipeline.step", name, " ended with ",
           WIFEXITED(status) ? concat("exit code ", WEXITSTATUS(status)) : std::string("a signal"),
           "; see its message above");
  }

  CommonOptions common_;
  JsonLog log_;
  std::string program_;
  std::filesystem::path output_;
  study::StepTimes times_;
};

/// The observer of a study's library part, silent while reports are read.
class QuietObserver : public study::Observer {
 public:
  void check_interrupt() override { stop_if_interrupted(); }
};

/// The times of the steps, one line each, and their sum.
inline void print_times(std::ostream& out, const study::StepTimes& times, const std::string& end) {
  for (const auto& [title, step] : times.all()) out << clock_text(step.seconds) << "  " << title << '\n';
  out << clock_text(times.seconds()) << "  together" << end << '\n';
}

}  // namespace braing3n::examples
