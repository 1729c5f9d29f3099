// The words of `braing3n COMMAND ...`: which command they name, the help of all commands, and candidates for shells.
#pragma once

#include <algorithm>
#include <cstring>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "braing3n/format/text.hpp"
#include "examples/braing3n/commands.hpp"
#include "examples/support/completion.hpp"
#include "examples/support/program.hpp"

namespace braing3n::examples {

/// A name and its summary, which begins in the same column for all commands.
inline void print_command(std::ostream& out, std::string_view name, std::string_view summary) {
  std::size_t widest = 0;
  for (const Command& c : commands) widest = std::max(widest, std::strlen(c.name));
  out << "  " << name << std::string(widest + 2 - name.size(), ' ') << summary << '\n';
}

inline void print_help(std::ostream& out, std::string_view prefix = {}) {
  if (prefix.empty())
    out << "Models of 3D brain MRI: from scans to features, reconstructions and synthetic brains.\n"
           "Research use only: not a medical device, not for diagnosis or treatment.\n\n";
  out << "Usage: braing3n " << (prefix.empty() ? "COMMAND" : std::string(prefix) + "COMMAND") << " [OPTIONS]\n";
  std::string_view group;
  for (const Command& c : commands) {
    if (!std::string_view(c.name).starts_with(prefix)) continue;
    if (group != c.group) out << '\n' << c.group << ":\n";
    group = c.group;
    print_command(out, c.name, c.summary);
  }
  if (prefix.empty()) {
    out << "\nShell:\n";
    print_command(out, "completion", "bash|zsh: a script that completes commands and options");
  }
  out << "\nbraing3n COMMAND --help lists the options of a command, braing3n --version the version.\n";
}

/// The command that the first words name, and how many words that took; nullptr when there is none.
inline const Command* find_command(const std::vector<std::string>& words, std::size_t& taken) {
  for (taken = 2; taken > 0; --taken) {
    if (words.size() < taken) continue;
    const std::string name = taken == 2 ? words[0] + " " + words[1] : words[0];
    for (const Command& c : commands)
      if (name == c.name) return &c;
  }
  return nullptr;
}

/// True for the first word of commands of two words.
inline bool begins_commands(const std::string& word) {
  for (const Command& c : commands)
    if (std::string_view(c.name).starts_with(word + " ")) return true;
  return false;
}

inline int unknown(const std::vector<std::string>& words) {
  const bool nested = begins_commands(words[0]);
  const std::string name = nested && words.size() > 1 ? words[0] + " " + words[1] : words[0];
  std::string small = lower_case(name);
  std::vector<std::string> names = {"completion"};
  for (const Command& c : commands) {
    names.emplace_back(c.name);
    // "phantom_study" means "study phantom".
    const std::string& known = names.back();
    const std::size_t gap = known.find(' ');
    if (gap != std::string::npos && small == known.substr(gap + 1) + "_" + known.substr(0, gap)) small = known;
  }
  std::cerr << "braing3n: no command " << in_quotes(name) << did_you_mean(small, names) << " (see braing3n --help)\n";
  return exit_not_started;
}

/// "help", "--help encode", "help study phantom": the help of what is named, of everything when nothing is.
inline int help(const std::vector<std::string>& words) {
  if (words.empty()) {
    print_help(std::cout);
    return exit_done;
  }
  std::size_t taken = 0;
  if (const Command* command = find_command(words, taken)) {
    std::string name = "braing3n", option = "--help";
    char* arguments[] = {name.data(), option.data(), nullptr};
    return command->function(2, arguments);
  }
  if (!begins_commands(words[0]) || words.size() > 1) return unknown(words);
  print_help(std::cout, words[0] + " ");
  return exit_done;
}

/// Candidates for the last of the words: commands, or what the command's own parser knows.
inline int complete(const std::vector<std::string>& words) {
  if (words.empty()) return exit_done;
  std::size_t taken = 0;
  const std::vector<std::string> before(words.begin(), words.end() - 1);
  if (const Command* command = find_command(before, taken)) {
    const std::vector<std::string> rest(words.begin() + static_cast<std::ptrdiff_t>(taken), words.end());
    completion_request() = &rest;
    const int code = command->function(0, nullptr);
    completion_request() = nullptr;
    return code;
  }
  if (before.size() == 1 && before[0] == "completion") {
    print_candidates({"bash", "zsh"}, words.back());
    return exit_done;
  }
  const std::string prefix = before.empty() ? std::string() : before[0] + " ";
  if (before.size() > 1) return exit_done;
  std::vector<std::string> found;
  if (before.empty()) found = {"--help", "--version", "completion"};
  for (const Command& c : commands) {
    const std::string_view name = c.name;
    if (!name.starts_with(prefix)) continue;
    const std::string_view rest = name.substr(prefix.size());
    const std::string word(rest.substr(0, rest.find(' ')));
    if (found.empty() || found.back() != word) found.push_back(word);
  }
  if (words.back().empty() || words.back()[0] != '-') std::erase_if(found, [](const auto& f) { return f[0] == '-'; });
  print_candidates(found, words.back());
  return exit_done;
}

}  // namespace braing3n::examples
