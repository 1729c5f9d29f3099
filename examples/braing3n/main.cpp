// braing3n COMMAND [OPTIONS]: finds the command and passes the other arguments to it.
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "examples/support/command_line.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

int run(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.empty()) {
    print_help(std::cerr);
    return exit_not_started;
  }
  if (words[0] == "__complete") return complete({words.begin() + 1, words.end()});
  const bool asks = words.back() == "--help" || words.back() == "-h";
  if (words[0] == "help" || words[0] == "--help" || words[0] == "-h") return help({words.begin() + 1, words.end()});
  if (words.size() == 1 && words[0] == "--version") {
    std::cout << version_line() << '\n';
    return exit_done;
  }
  if (words[0] == "completion") {
    if (words.size() == 2 && (words[1] == "bash" || words[1] == "zsh")) {
      std::cout << (words[1] == "bash" ? bash_completion : zsh_completion);
      return exit_done;
    }
    std::ostream& out = asks ? std::cout : std::cerr;
    out << "Usage: braing3n completion bash|zsh\n"
           "bash: source <(braing3n completion bash)\n"
           "zsh:  source <(braing3n completion zsh)\n";
    return asks ? exit_done : exit_not_started;
  }
  std::size_t taken = 0;
  if (const Command* command = find_command(words, taken))
    return command->function(argc - static_cast<int>(taken), argv + taken);
  if (begins_commands(words[0]) && (words.size() == 1 || asks)) {
    print_help(asks ? std::cout : std::cerr, words[0] + " ");
    return asks ? exit_done : exit_not_started;
  }
  return unknown(words);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const int code = run(argc, argv);
    std::cout.flush();
    if (std::cout) return code;
    std::cerr << "braing3n: cannot write to standard output\n";
    return code == exit_done ? static_cast<int>(exit_environment) : code;
  } catch (const std::exception& e) {
    std::cerr << "braing3n: " << e.what() << '\n';
    return exit_not_started;
  }
}
