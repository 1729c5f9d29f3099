// The one error type of the library.
//
// A message says the operation, what was expected, what came, and both sizes. Ops do not know where in a model they run:
// the module that calls them adds its path (Error::at), which gives, for example,
//   blocks.3.mlp.fc1: linear: input (5, 3) has 3 features, weight (6, 4) wants 4
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
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
    case ErrorKind::argument: return "argument";
    case ErrorKind::shape: return "shape";
    case ErrorKind::dtype: return "dtype";
    case ErrorKind::config: return "config";
    case ErrorKind::format: return "format";
    case ErrorKind::file: return "file";
    case ErrorKind::numeric: return "numeric";
    case ErrorKind::environment: return "environment";
    case ErrorKind::state: return "state";
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

/// Joins anything printable into one string.
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return std::move(out).str();
}

template <class... Parts>
[[noreturn]] void fail(ErrorKind kind, const char* id, const Parts&... parts) {
  throw Error(kind, id, concat(parts...));
}

}  // namespace braing3n::inline BRAING3N_ABI
