// The one error type of the library.
//
// A message names the operation, and what it expected and got, with both sizes. Ops do not know where in a model they run:
// the module that calls them adds its path (Error::at), which gives, for example,
//   blocks.3.mlp.fc1: linear: input (5, 3) has 3 features, weight (6, 4) wants 4
#pragma once

#include <concepts>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "braing3n/base/config.hpp"

namespace braing3n::inline BRAING3N_ABI {

enum class ErrorKind {
  argument,     // a value outside what the function accepts
  shape,        // sizes that do not fit together
  dtype,        // an element type that does not fit
  config,       // a model or program configuration
  format,       // the content of a file
  file,         // a file that cannot be opened, read, written, or exists already
  numeric,      // NaN or infinity where a finite number is needed
  environment,  // disk full, out of memory, missing device or instruction set
  state,        // an object used in the wrong order (a tape used twice)
};

constexpr const char* to_string(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::argument:
      return "argument";
    case ErrorKind::shape:
      return "shape";
    case ErrorKind::dtype:
      return "dtype";
    case ErrorKind::config:
      return "config";
    case ErrorKind::format:
      return "format";
    case ErrorKind::file:
      return "file";
    case ErrorKind::numeric:
      return "numeric";
    case ErrorKind::environment:
      return "environment";
    case ErrorKind::state:
      return "state";
  }
  return "unknown";
}

class Error : public std::runtime_error {
 public:
  /// kind: for exit codes and handlers. id: a short stable name ("linear.features") that tests and callers can compare.
  /// text: the sentence. path: where (a module path or a file), put in front of the sentence.
  Error(ErrorKind kind, std::string id, const std::string& text, std::string path = {})
      : std::runtime_error(path.empty() ? text : path + ": " + text), kind_(kind), id_(std::move(id)), text_(text),
        path_(std::move(path)) {}

  ErrorKind kind() const { return kind_; }
  const std::string& id() const { return id_; }
  const std::string& path() const { return path_; }
  const std::string& text() const { return text_; }

  /// The same error with its place; an error that already has one keeps it, since the innermost place is the useful one.
  Error at(const std::string& path) const { return path_.empty() ? Error(kind_, id_, text_, path) : *this; }

 private:
  ErrorKind kind_;
  std::string id_, text_, path_;
};

namespace detail {

// Messages are written in hundreds of places: plain overloads instead of a stream keep every file that includes this quick to compile.
inline void append(std::string& text, std::string_view part) { text += part; }
inline void append(std::string& text, const char* part) { text += part; }
inline void append(std::string& text, const std::string& part) { text += part; }
inline void append(std::string& text, char part) { text += part; }
inline void append(std::string& text, bool part) { text += part ? "true" : "false"; }
template <std::integral T>
void append(std::string& text, T part) {
  text += std::to_string(part);
}
/// Six significant digits.
inline void append(std::string& text, double part) {
  char digits[32];
  text.append(digits, static_cast<std::size_t>(std::snprintf(digits, sizeof digits, "%g", part)));
}
/// What has a text of its own, a Shape for example.
template <class T>
  requires requires(const T& t) { std::string(t.str()); }
void append(std::string& text, const T& part) {
  text += part.str();
}

}  // namespace detail

/// Joins texts, numbers and whatever has str() into one string.
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::string text;
  (detail::append(text, parts), ...);
  return text;
}

template <class... Parts>
[[noreturn]] void fail(ErrorKind kind, const char* id, const Parts&... parts) {
  throw Error(kind, id, concat(parts...));
}

}  // namespace braing3n::inline BRAING3N_ABI
