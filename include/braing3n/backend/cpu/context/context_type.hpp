// The CPU backend: threads, memory, the instruction set and the table of heavy kernels.
//
// This is the class alone, for the kernels that the built-in tables are made of. Whoever makes a context, and everybody else,
// includes context.hpp, which has the constructor and the tables.
#pragma once

#include <algorithm>
#include <concepts>
#include <memory>
#include <thread>
#include <type_traits>
#include <utility>

#include "braing3n/backend/cpu/context/memory.hpp"
#include "braing3n/backend/cpu/context/pool.hpp"
#include "braing3n/backend/cpu/loops/simd.hpp"
#include "braing3n/backend/cpu/providers/provider.hpp"
#include "braing3n/core/tensor.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Which weights inference keeps a second time, in the order products read them. bfloat16 gains most (a tenth to a quarter of the time);
/// float gains about 2 % of an encoder's time for twice its memory.
enum class PackedWeights { none, bfloat16, all };

struct CpuOptions {
  int threads = 0;                        // 0: as many as the machine has
  const CpuProvider* provider = nullptr;  // nullptr: the fastest built in (backend/cpu/providers/providers.hpp)
  PackedWeights packed_weights = PackedWeights::bfloat16;
};

template <>
class Context<Cpu> {
 public:
  /// Throws Error (environment) when the processor lacks what the provider needs. Defined in context.hpp; a template, so that only a file
  /// which makes a context compiles the kernels.
  template <std::same_as<CpuOptions> O = CpuOptions>
  explicit Context(const O& options = {});
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  CachingHostMemory& memory() { return memory_; }
  ThreadPool& pool() { return pool_; }
  const CpuProvider& provider() const { return *provider_; }
  Isa isa() const { return isa_; }
  int threads() const { return pool_.threads(); }
  template <class T>
  bool keeps_packed_weights() const {
    return packed_weights_ == PackedWeights::all ||
           (packed_weights_ == PackedWeights::bfloat16 && std::is_same_v<T, bfloat16>);
  }
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

  /// Memory for the first run, cleared by all threads beforehand: the first run then takes as long as the next.
  void prefault(std::size_t bytes) {
    memory_.prefault(bytes, [&](Index pages, auto&& touch) { parallel(pages, touch); });
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
  PackedWeights packed_weights_;
};

}  // namespace braing3n::inline BRAING3N_ABI
