// Findings of scans, on standard error and in the log: a line per kind over a cohort.
#pragma once

#include <iostream>
#include <string>

#include "braing3n/study/observer.hpp"
#include "braing3n/volume/finding_log.hpp"
#include "examples/support/json_log.hpp"

namespace braing3n::examples {

/// Prints the kinds that were not printed before, notes included, unless `quiet`; each is an event "finding" of the log.
inline void tell_findings(FindingLog& findings, JsonLog& log, bool quiet) {
  for (const FindingKind& kind : findings.news()) {
    if (!quiet) std::cerr << "  " << to_string(kind.severity) << ": " << describe(kind) << '\n';
    log.event("finding", study::event_fields(kind));
  }
}

}  // namespace braing3n::examples
