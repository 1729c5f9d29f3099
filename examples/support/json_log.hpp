// A log of one JSON object per line, for other programs: {"event": "step", "time": 12.345, "step": 100, "loss": 0.21}
#pragma once

#include <cerrno>
#include <chrono>
#include <fstream>
#include <string>

#include "braing3n/format/json.hpp"

namespace braing3n::examples {

class JsonLog {
 public:
  /// Appends to `path`; an empty path logs nothing. Throws Error (file).
  explicit JsonLog(const std::string& path) : path_(path), begin_(std::chrono::steady_clock::now()) {
    if (path.empty()) return;
    out_.open(path, std::ios::app);
    if (!out_) braing3n::detail::fail_create(errno, "json_log.open", path, "open the log for appending");
  }

  /// Fields are JSON values; "time" is in seconds since the start. Throws Error (environment) when the log cannot be written.
  void event(const std::string& name, const Json& fields = Json::object()) {
    if (!out_.is_open()) return;
    Json line = {{"event", name},
                 {"time", std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count()}};
    line.update(fields);
    out_ << line.dump() << std::endl;
    if (!out_) throw Error(ErrorKind::environment, "json_log.write", "cannot write the log", path_);
  }

 private:
  std::string path_;
  std::ofstream out_;
  std::chrono::steady_clock::time_point begin_;
};

}  // namespace braing3n::examples
