// What a check has to say about an input, in plain words and in a form a program can count.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "braing3n/base/error.hpp"

namespace braing3n::inline BRAING3N_ABI {

enum class Severity {
  note,     // worth knowing; handled without loss, never refused
  warning,  // values or places are not what is expected; refused under `strict`
  error,    // no meaningful result is possible; refused always
};

constexpr const char* to_string(Severity severity) {
  switch (severity) {
    case Severity::note:
      return "note";
    case Severity::warning:
      return "warning";
    case Severity::error:
      return "error";
  }
  return "unknown";
}

struct Finding {
  Severity severity = Severity::note;
  std::string id;        // stable, for tests and programs: "volume.orientation"
  std::string sentence;  // for the user
};

class Findings {
 public:
  template <class... Parts>
  void add(Severity severity, const char* id, const Parts&... parts) {
    list_.push_back({severity, id, concat(parts...)});
  }
  void append(const Findings& other) { list_.insert(list_.end(), other.list_.begin(), other.list_.end()); }

  const std::vector<Finding>& list() const { return list_; }
  auto begin() const { return list_.begin(); }
  auto end() const { return list_.end(); }
  bool empty() const { return list_.empty(); }

  bool has(const std::string& id) const {
    for (const Finding& f : list_)
      if (f.id == id) return true;
    return false;
  }
  Index count(Severity severity) const {
    Index n = 0;
    for (const Finding& f : list_) n += f.severity == severity ? 1 : 0;
    return n;
  }

  /// Throws Error (format) with every sentence that forbids the input: errors, and under `strict` warnings too.
  void require_usable(bool strict, const std::string& path = {}) const {
    std::string id, text;
    for (const Finding& f : list_) {
      if (f.severity == Severity::note || (f.severity == Severity::warning && !strict)) continue;
      if (id.empty()) id = f.id;
      text += (text.empty() ? "" : "; ") + f.sentence;
    }
    if (!id.empty()) throw Error(ErrorKind::format, id, text, path);
  }

 private:
  std::vector<Finding> list_;
};

}  // namespace braing3n::inline BRAING3N_ABI
