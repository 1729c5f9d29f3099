// Completion in shells: the script asks the program itself, and the program asks the parser of the command, so nothing is out of date.
#pragma once

#include <CLI/CLI.hpp>

#include <iostream>
#include <string>
#include <string_view>
#include <vector>

namespace braing3n::examples {

/// Set while a shell asks: the words after the command, the last being the one to complete. Program::run then prints candidates
/// instead of running.
inline const std::vector<std::string>*& completion_request() {
  static const std::vector<std::string>* words = nullptr;
  return words;
}

/// One candidate per line, those that begin with the word.
inline void print_candidates(const std::vector<std::string>& candidates, std::string_view word) {
  for (const std::string& c : candidates)
    if (c.starts_with(word)) std::cout << c << '\n';
}

/// The values that an option allows when they are a set, else nothing. CLI11 shows a set as TEXT:{a,b}.
inline std::vector<std::string> allowed_values(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const std::size_t begin = type.find('{'), end = type.find('}');
  std::vector<std::string> values;
  if (begin == std::string::npos || end == std::string::npos) return values;
  for (std::string& value : CLI::detail::split(type.substr(begin + 1, end - begin - 1), ',')) values.push_back(value);
  return values;
}

/// What may stand in the place of the last word: values of the option before it, options, sub-commands. Nothing: a file name.
inline std::vector<std::string> candidates(const CLI::App& app, const std::vector<std::string>& words) {
  std::vector<const CLI::App*> open = {&app};
  for (std::size_t i = 0; i + 1 < words.size(); ++i)
    for (const CLI::App* sub : open.back()->get_subcommands([](const CLI::App*) { return true; }))
      if (sub->get_name() == words[i]) {
        open.push_back(sub);
        break;
      }
  const std::string& last = words.back();
  const std::string before = words.size() > 1 ? words[words.size() - 2] : std::string();
  std::vector<std::string> found;
  for (const CLI::App* part : open)
    for (const CLI::Option* option : part->get_options()) {
      if (!before.empty() && before[0] == '-' && option->check_name(before) && option->get_items_expected_max() > 0)
        return allowed_values(*option);
      if (last.starts_with("-"))
        for (const std::string& name : option->get_lnames()) found.push_back("--" + name);
    }
  if (!last.starts_with("-"))
    for (const CLI::App* sub : open.back()->get_subcommands([](const CLI::App*) { return true; }))
      found.push_back(sub->get_name());
  return found;
}

inline constexpr const char* bash_completion = R"(# Completion of braing3n in bash: source <(braing3n completion bash)
_braing3n() {
  local IFS=$'\n'
  COMPREPLY=($("${COMP_WORDS[0]/#\~/$HOME}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o bashdefault -o default -F _braing3n braing3n
)";

inline constexpr const char* zsh_completion = R"(#compdef braing3n
# Completion of braing3n in zsh: source <(braing3n completion zsh), after compinit.
_braing3n() {
  local -a found
  found=("${(@f)$("${words[1]/#\~/$HOME}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "${found[1]}" ]]; then compadd -- "${found[@]}"; else _files; fi
}
if [[ "${funcstack[1]}" == "_braing3n" ]]; then _braing3n; else compdef _braing3n braing3n; fi
)";

}  // namespace braing3n::examples
