// The observer of a command's study: progress and sentences on standard error, events in the JSON log.
#pragma once

#include <iostream>
#include <optional>
#include <string>
#include <utility>

#include "braing3n/study/observer.hpp"
#include "examples/support/json_log.hpp"
#include "examples/support/program.hpp"
#include "examples/support/progress.hpp"

namespace braing3n::examples {

class ProgramObserver : public study::Observer {
 public:
  /// name: of the command. Throws Error (file) when the log cannot be opened.
  ProgramObserver(std::string name, const CommonOptions& common)
      : name_(std::move(name)), quiet_(common.quiet), log_(common.json_log) {}

  void begin(const std::string& title, Index total) override { progress_.emplace(title, total, quiet_); }
  void advance(Index units, const std::string& note) override {
    if (progress_) progress_->advance(units, note);
  }
  void end() override { progress_.reset(); }
  void check_interrupt() override { stop_if_interrupted(); }
  void note(const std::string& sentence) override {
    if (!quiet_) std::cerr << name_ << ": " << sentence << '\n';
  }
  void warning(const std::string& sentence) override { std::cerr << name_ << ": warning: " << sentence << '\n'; }
  void event(const std::string& name, const Json& fields) override { log_.event(name, fields); }
  void finding(const FindingKind& kind) override {
    if (!quiet_) std::cerr << "  " << to_string(kind.severity) << ": " << describe(kind) << '\n';
    study::Observer::finding(kind);
  }

 private:
  std::string name_;
  bool quiet_;
  JsonLog log_;
  std::optional<Progress> progress_;
};

}  // namespace braing3n::examples
