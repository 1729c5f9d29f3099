// What a study reports while it runs: progress, sentences and events. The caller decides what is shown, written or stopped.
#pragma once

#include <string>

#include "braing3n/format/json.hpp"
#include "braing3n/volume/finding_log.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

/// The fields of an event "finding".
inline Json event_fields(const FindingKind& kind) {
  return {{"severity", to_string(kind.severity)},
          {"id", kind.id},
          {"count", kind.count},
          {"scans", kind.scans},
          {"first", kind.first},
          {"sentence", kind.sentence}};
}

/// Derive from it and override what is of interest; this one ignores everything. All calls come from the thread that runs the study.
class Observer {
 public:
  Observer() = default;
  Observer(const Observer&) = delete;
  Observer& operator=(const Observer&) = delete;
  virtual ~Observer() = default;

  /// A part of the work begins; total: its units (scans, samples).
  virtual void begin([[maybe_unused]] const std::string& title, [[maybe_unused]] Index total) {}
  /// Units are done; `note` names the last one.
  virtual void advance([[maybe_unused]] Index units, [[maybe_unused]] const std::string& note) {}
  /// The part that began last has ended.
  virtual void end() {}
  /// Called between two units and before each evaluation of a model. What it throws ends the study.
  virtual void check_interrupt() {}

  /// A sentence about the run.
  virtual void note([[maybe_unused]] const std::string& sentence) {}
  /// A sentence about what may make the result wrong.
  virtual void warning([[maybe_unused]] const std::string& sentence) {}
  /// For a log that machines read; fields are JSON values.
  virtual void event([[maybe_unused]] const std::string& name, [[maybe_unused]] const Json& fields) {}
  /// A kind of finding in the scans, once per kind. The default makes it an event "finding".
  virtual void finding(const FindingKind& kind) { event("finding", event_fields(kind)); }
};

/// Reports the kinds of findings that were not reported before.
inline void tell_findings(FindingLog& findings, Observer& observer) {
  for (const FindingKind& kind : findings.news()) observer.finding(kind);
}

/// A part of the work, from begin() to end() also when the study is left by an exception.
class Stage {
 public:
  Stage(Observer& observer, const std::string& title, Index total) : observer_(&observer) {
    observer.begin(title, total);
  }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;
  ~Stage() { observer_->end(); }

 private:
  Observer* observer_;
};

}  // namespace braing3n::inline BRAING3N_ABI::study
