// The host emulation of CUDA as its tests see it: how launches run, what was counted, what was found.
//
// Kernels are compiled by the host compiler with the headers in toolkit/ in place of the CUDA Toolkit's. The threads of a block are
// fibers on one OS thread; blocks are shared out over OS threads. Where CUDA leaves an order open, the emulation takes one that shows
// what a kernel may not rely on: fresh memory holds NaN, asynchronous copies happen when somebody waits for them and not before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace emulation {

/// How launches run. The first values come from the environment variable BRAING3N_EMULATION, a list such as
/// "reversed,deferred,threads=3,devices=2,memory=1000000,capability=70,driver=12040".
struct Options {
  int threads = 0;        // OS threads that share the blocks of a launch; 0: one per processor, at most 8
  bool reversed = false;  // the last block and the last thread first
  bool deferred = false;  // a stream does nothing until somebody waits for it
  int devices = 1;
  int capability = 90;                        // of every device: 90 is 9.0
  int driver = 13000;                         // CUDA that the driver is for: 13000 is 13.0; 0: there is no driver
  std::size_t memory = std::size_t{8} << 30;  // bytes of one device
  std::uint32_t missing_epilogues = 0;        // bits of cuBLASLt's epilogues that no algorithm has
};
Options& options();

/// Since the start or the last reset_counters(). Live figures are not reset.
struct Counters {
  std::uint64_t launches = 0, blocks = 0, threads = 0;
  std::uint64_t synchronisations = 0;  // a host thread waited for a stream
  std::uint64_t event_waits = 0;       // a host thread waited for a point in a stream
  std::uint64_t allocations = 0, allocated_bytes = 0;
  std::uint64_t live_allocations = 0, live_bytes = 0;
  std::uint64_t host_allocations = 0;  // of pinned memory
  std::uint64_t copies_to_device = 0, copies_to_host = 0, copies_on_device = 0, fills = 0;
  std::uint64_t products = 0, product_plans = 0;  // calls of cuBLASLt; questions for an algorithm
};
Counters counters();
void reset_counters();

/// What was wrong since the last call, oldest first, and forgets it. Until then every CUDA call returns cudaErrorLaunchFailure, as
/// after a fault on a GPU. A fault is also written to standard error unless `quiet`.
std::vector<std::string> take_faults();
/// What cuBLASLt has refused since the last call: status, reason, file and line of the call. Written to standard error unless `quiet`;
/// nothing else fails because of it.
std::vector<std::string> take_refusals();
void set_quiet(bool quiet);

}  // namespace emulation
