// The CPU backend: threads, memory, the instruction set and the table of heavy kernels.
#pragma once

#include <algorithm>
#include <memory>
#include <thread>
#include <utility>

#include "braing3n/backend/cpu/memory.hpp"
#include "braing3n/backend/cpu/pool.hpp"
#include "braing3n/backend/cpu/provider.hpp"
#include "braing3n/backend/cpu/simd.hpp"
#include "braing3n/core/tensor.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct CpuOptions {
  int threads = 0;                        // 0: as many as the machine has
  const CpuProvider* provider = nullptr;  // nullptr: the fastest built in (backend/cpu/providers.hpp)
  bool keep_packed_weights = true;        // inference keeps weights a second time in the order products read them
};

inline const CpuProvider& default_cpu_provider();  // backend/cpu/providers.hpp, included below

template <>
class Context<Cpu> {
 public:
  explicit Context(const CpuOptions& options = {})
      : pool_(options.threads > 0 ? options.threads : std::max(1, static_cast<int>(std::thread::hardware_concurrency()))),
        provider_(options.provider != nullptr ? options.provider : &default_cpu_provider()), isa_(std::min(detect_isa(), Isa::avx512bf16)),
        keep_packed_weights_(options.keep_packed_weights) {
    if (provider_->isa > isa_)
      fail(ErrorKind::environment, "provider.isa", "provider ", provider_->name, " needs ", to_string(provider_->isa), ", this processor has ",
           to_string(isa_));
    // A provider below the machine's instruction set was asked for on purpose (tests of the portable path, comparisons).
    if (provider_->isa < isa_ && options.provider != nullptr && provider_->limits_isa) isa_ = provider_->isa;
  }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  CachingHostMemory& memory() { return memory_; }
  ThreadPool& pool() { return pool_; }
  const CpuProvider& provider() const { return *provider_; }
  Isa isa() const { return isa_; }
  int threads() const { return pool_.threads(); }
  bool keep_packed_weights() const { return keep_packed_weights_; }
  void synchronize() {}

  /// Calls f(chunk) for every chunk; the number of chunks must come from shapes alone.
  template <class F>
  void parallel(Index chunks, F&& f) {
    pool_.run(chunks, [&f](Index chunk, int) { f(chunk); });
  }

  /// Cuts [0, n) into pieces of `grain` and calls f(begin, end) for each.
  template <class F>
  void parallel_range(Index n, Index grain, F&& f) {
    const Index chunks = (n + grain - 1) / grain;
    parallel(chunks, [&](Index chunk) { f(chunk * grain, std::min(n, (chunk + 1) * grain)); });
  }

  /// The same for work on host data, whatever the backend.
  template <class F>
  void host_parallel_range(Index n, Index grain, F&& f) {
    parallel_range(n, grain, std::forward<F>(f));
  }

 private:
  CachingHostMemory memory_;
  ThreadPool pool_;
  const CpuProvider* provider_;
  Isa isa_;
  bool keep_packed_weights_;
};

}  // namespace braing3n::inline BRAING3N_ABI

#include "braing3n/backend/cpu/providers.hpp"  // needs the class above, and whoever makes a context needs the default table
