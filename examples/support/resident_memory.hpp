// The memory of this process, by the system's count.
#pragma once

#include <sys/resource.h>
#include <unistd.h>

#include <cstddef>
#include <fstream>
#include <iostream>

#include "examples/support/json_log.hpp"

namespace braing3n::examples {

/// Resident bytes of this process now.
inline std::size_t resident_bytes() {
  std::ifstream in("/proc/self/statm");
  std::size_t total = 0, resident = 0;
  in >> total >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

/// The largest number of resident bytes so far.
inline std::size_t peak_resident_bytes() {
  struct rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::size_t>(usage.ru_maxrss) * 1024;
}

/// The estimate beside the measured peak, on standard error and as an event of the log.
inline void report_memory(std::size_t planned, JsonLog& log, bool quiet) {
  if (!quiet)
    std::cerr << "memory: " << peak_resident_bytes() / 1'000'000 << " MB at the most, " << planned / 1'000'000
              << " MB planned\n";
  log.event("memory", {{"peak", peak_resident_bytes()}, {"planned", planned}});
}

}  // namespace braing3n::examples
