// Commands of this program one after the other, each with the command that a person would type.
#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "braing3n/base/text.hpp"
#include "examples/support/json_log.hpp"
#include "examples/support/program.hpp"

namespace braing3n::examples {

/// The whole file. Throws Error (file).
inline std::string content(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  if (!in) throw Error(ErrorKind::file, "pipeline.read", "cannot read it", path.string());
  return std::move(text).str();
}

struct StepTime {
  std::string title, command;
  double seconds;
};

/// Runs commands of this program one after the other and remembers what they were and how long they took.
class Pipeline {
 public:
  Pipeline(const Program& program, const std::filesystem::path& log)
      : common_(program.common), log_(common_.json_log), output_(log) {
    program_ = std::filesystem::read_symlink("/proc/self/exe").string();
  }

  /// command: its name, then its arguments; --threads, --seed, --provider and --quiet are handed on. Throws Error (state,
  /// environment) when it does not end well, Interrupted after Ctrl-C.
  void operator()(const std::string& title, std::vector<std::string> command) {
    stop_if_interrupted();
    const std::string shown = "braing3n " + joined(command, " ", [](const std::string& word) {
                                const bool plain =
                                    !word.empty() && word.find_first_of(" '\"{}()*?$&;|<>\\") == std::string::npos;
                                return plain ? word : "'" + word + "'";
                              });
    if (!common_.quiet) std::cerr << "\n" << title << "\n$ " << shown << "\n";
    const std::string name = command[0];
    command.insert(command.begin(), program_);
    command.insert(command.end(), {"--threads", std::to_string(common_.threads)});
    const bool seeded = std::find(command.begin(), command.end(), "--seed") != command.end();
    if (!seeded && name != "encode" && name != "reconstruct" && name != "evaluate")
      command.insert(command.end(), {"--seed", std::to_string(common_.seed)});
    if (name != "phantom_cohort" && !common_.provider.empty())
      command.insert(command.end(), {"--provider", common_.provider});
    if (common_.quiet) command.push_back("--quiet");
    std::vector<char*> arguments;
    for (std::string& word : command) arguments.push_back(word.data());
    arguments.push_back(nullptr);

    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output_.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0666);
    const auto begin = std::chrono::steady_clock::now();
    pid_t child = 0;
    const int error = ::posix_spawn(&child, command[0].c_str(), &actions, nullptr, arguments.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
      throw Error(ErrorKind::environment, "pipeline.program", concat("cannot run it: ", std::strerror(error)),
                  program_);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
      if (interrupted()) ::kill(child, SIGINT);  // it saves and ends
    }
    stop_if_interrupted();
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
      fail(WIFEXITED(status) && WEXITSTATUS(status) == exit_environment ? ErrorKind::environment : ErrorKind::state,
           "pipeline.step", name, " ended with ",
           WIFEXITED(status) ? concat("exit code ", WEXITSTATUS(status)) : std::string("a signal"),
           "; its message stands above");
    times_.push_back({title, shown, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count()});
    log_.event("step", {{"title", title}, {"command", shown}, {"seconds", times_.back().seconds}});
  }
  const std::vector<StepTime>& times() const { return times_; }

 private:
  CommonOptions common_;
  JsonLog log_;
  std::string program_;
  std::filesystem::path output_;
  std::vector<StepTime> times_;
};

}  // namespace braing3n::examples
