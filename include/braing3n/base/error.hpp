// The one error type of the library.
//
// A message names the operation, and what it expected and got, with both sizes. Ops do not know where in a model they run:
// the module that calls them adds its path (Error::at), which gives, for example,
//   blocks.3.mlp.fc1: linear: input (5, 3) has 3 features, weight (6, 4) wants 4
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdio>
#include <initializer_list>
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

/// A part of a message, not owned. Messages are written in hundreds of places, each with its own list of types: what depends on the types is
/// only how a part is stored, so that every place costs a few instructions and every file that includes this is quick to compile.
class MessagePart {
 public:
  /// Text, a character, a number, or what has a text of its own, str(), a Shape for example.
  template <class T>
  BRAING3N_INLINE MessagePart(const T& part) {
    if constexpr (std::convertible_to<const T&, std::string_view>) {
      set_text(part);
    } else if constexpr (std::same_as<T, bool>) {
      set_text(part ? "true" : "false");
    } else if constexpr (std::same_as<T, char>) {
      kind_ = Kind::character, value_.character = part;
    } else if constexpr (std::signed_integral<T>) {
      kind_ = Kind::integer, value_.integer = part;
    } else if constexpr (std::unsigned_integral<T>) {
      kind_ = Kind::natural, value_.natural = part;
    } else if constexpr (std::floating_point<T>) {
      kind_ = Kind::real, value_.real = static_cast<double>(part);
    } else {
      kind_ = Kind::object;
      value_.object = {&part, [](const void* at) { return std::string(static_cast<const T*>(at)->str()); }};
    }
  }

  void append_to(std::string& message) const {
    char digits[32];
    switch (kind_) {
      case Kind::text:
        message.append(value_.text.data, value_.text.size);
        return;
      case Kind::character:
        message += value_.character;
        return;
      case Kind::integer:
        message += std::to_string(value_.integer);
        return;
      case Kind::natural:
        message += std::to_string(value_.natural);
        return;
      case Kind::real:  // six significant digits
        message.append(digits, static_cast<std::size_t>(std::snprintf(digits, sizeof digits, "%g", value_.real)));
        return;
      case Kind::object:
        message += value_.object.text(value_.object.at);
        return;
    }
  }

 private:
  BRAING3N_INLINE void set_text(std::string_view text) {
    kind_ = Kind::text;
    value_.text = {text.data(), text.size()};
  }

  enum class Kind { text, character, integer, natural, real, object };
  Kind kind_;
  union {
    struct {
      const char* data;
      std::size_t size;
    } text;
    char character;
    long long integer;
    unsigned long long natural;
    double real;
    struct {
      const void* at;
      std::string (*text)(const void*);
    } object;
  } value_;
};

inline std::string joined_parts(std::initializer_list<MessagePart> parts) {
  std::string text;
  for (const MessagePart& part : parts) part.append_to(text);
  return text;
}

[[noreturn]] inline void fail_with(ErrorKind kind, const char* id, std::initializer_list<MessagePart> parts) {
  throw Error(kind, id, joined_parts(parts));
}

}  // namespace detail

/// Joins texts, numbers and whatever has str() into one string.
template <class... Parts>
BRAING3N_INLINE std::string concat(const Parts&... parts) {
  return detail::joined_parts({detail::MessagePart(parts)...});
}

template <class... Parts>
[[noreturn]] BRAING3N_INLINE void fail(ErrorKind kind, const char* id, const Parts&... parts) {
  detail::fail_with(kind, id, {detail::MessagePart(parts)...});
}

}  // namespace braing3n::inline BRAING3N_ABI
