// Options, counters and faults inside the emulation.
#pragma once

#include <atomic>
#include <source_location>
#include <string>

#include "emulation.hpp"

namespace emulation::core {

/// A place in a kernel: the operation and where it is written.
struct Site {
  const char* what = "";
  std::source_location at{};

  std::string text() const;
  bool operator==(const Site& other) const;
};

/// Remembers a fault, writes it to standard error, and makes the CUDA calls that follow fail.
void add_fault(const std::string& text);
/// Remembers what a library has refused, and writes it to standard error.
void add_refusal(const std::string& text);
bool has_faults();
/// The oldest fault, for cudaGetErrorString; stays valid until the next call on this thread.
const char* first_fault();

struct AtomicCounters {
  std::atomic<std::uint64_t> launches{0}, blocks{0}, threads{0}, synchronisations{0}, event_waits{0}, allocations{0},
      allocated_bytes{0}, host_allocations{0};
  std::atomic<std::uint64_t> live_allocations{0}, live_bytes{0};
  std::atomic<std::uint64_t> copies_to_device{0}, copies_to_host{0}, copies_on_device{0}, fills{0}, products{0},
      product_plans{0};
};
AtomicCounters& counted();

/// OS threads for one launch, from the options.
int worker_threads();

}  // namespace emulation::core
