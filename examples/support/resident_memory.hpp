// What the system says about the memory of this process.
#pragma once

#include <sys/resource.h>
#include <unistd.h>

#include <cstddef>
#include <fstream>
#include <iostream>

#include "examples/support/json_log.hpp"

namespace braing3n::examples {

/// Bytes of this process that are in memory now.
inline std::size_t resident_bytes() {
  std::ifstream in("/proc/self/statm");
  std::size_t total = 0, resident = 0;
  in >> total >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

/// The most that were at any time.
inline std::size_t peak_resident_bytes() {
  struct rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::size_t>(usage.ru_maxrss) * 1024;
}

/// What was planned beside what the system saw, on standard error and as an event of the log.
inline void report_memory(std::size_t planned, JsonLog& log, bool quiet) {
  if (!quiet)
    std::cerr << "memory: " << peak_resident_bytes() / 1'000'000 << " MB at the most, " << planned / 1'000'000
              << " MB planned\n";
  log.event("memory", {{"peak", peak_resident_bytes()}, {"planned", planned}});
}

}  // namespace braing3n::examples
