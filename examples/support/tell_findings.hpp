// What was found in scans, told to people and to the log: a line per kind over a cohort.
#pragma once

#include <iostream>
#include <string>
#include <vector>

#include "braing3n/volume/finding_log.hpp"
#include "examples/support/json_log.hpp"

namespace braing3n::examples {

/// Prints the kinds that were not told before, notes included, unless `quiet`; each is an event "finding" of the log.
inline void tell_findings(FindingLog& findings, JsonLog& log, bool quiet) {
  for (const FindingKind& kind : findings.news()) {
    if (!quiet) std::cerr << "  " << to_string(kind.severity) << ": " << describe(kind) << '\n';
    log.event("finding", {{"severity", to_string(kind.severity)},
                          {"id", kind.id},
                          {"count", kind.count},
                          {"scans", kind.scans},
                          {"first", kind.first},
                          {"sentence", kind.sentence}});
  }
}

}  // namespace braing3n::examples
