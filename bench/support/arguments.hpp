// The command line of a benchmark: --help is answered, and what the benchmark does not know is refused before anything is measured.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace braing3n::bench {

/// What a benchmark takes: options with a value, flags without, and words (any word where `any_word`).
struct Accepted {
  std::vector<std::string_view> options, flags, words;
  bool any_word = false;
};

namespace detail {
inline bool contains(const std::vector<std::string_view>& names, std::string_view name) {
  for (const std::string_view n : names)
    if (n == name) return true;
  return false;
}
inline void usage(std::FILE* out, const char* program, const char* purpose, const Accepted& accepted) {
  std::fprintf(out, "%s: %s\n", program, purpose);
  for (const std::string_view n : accepted.options)
    std::fprintf(out, "  %.*s VALUE\n", static_cast<int>(n.size()), n.data());
  for (const std::string_view n : accepted.flags) std::fprintf(out, "  %.*s\n", static_cast<int>(n.size()), n.data());
  for (const std::string_view n : accepted.words) std::fprintf(out, "  %.*s\n", static_cast<int>(n.size()), n.data());
  if (accepted.any_word) std::fprintf(out, "  FILE\n");
}
}  // namespace detail

/// Ends the program with 0 after --help or -h, and with 2 after an unknown word or an option without its value.
inline void check_arguments(int argc, char** argv, const char* purpose, const Accepted& accepted) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--help" || word == "-h") {
      detail::usage(stdout, argv[0], purpose, accepted);
      std::exit(0);
    }
  }
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    const char* problem = nullptr;
    if (detail::contains(accepted.options, word)) {
      if (++i == argc) problem = "expected a value after";
    } else if (!detail::contains(accepted.flags, word) && !detail::contains(accepted.words, word) &&
               (!accepted.any_word || word.empty() || word[0] == '-')) {
      problem = "unknown word";
    }
    if (problem != nullptr) {
      std::fprintf(stderr, "%s: %s %.*s\n", argv[0], problem, static_cast<int>(word.size()), word.data());
      detail::usage(stderr, argv[0], purpose, accepted);
      std::exit(2);
    }
  }
}

}  // namespace braing3n::bench
