// Host memory that keeps freed blocks for the next step.
//
// A training step asks for the same sizes again and again. Giving big blocks back to the system costs a page fault per
// 4 KiB on the next use, which is slower than the arithmetic of most element-wise ops. Blocks are therefore kept, in large
// pages where the system has them, but never more than a little above the highest amount that was in use at once.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>

#include "braing3n/base/error.hpp"
#include "braing3n/core/memory.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct MemoryStats {
  std::size_t live = 0;         // bytes in use
  std::size_t peak = 0;         // highest `live` since reset_peak()
  std::size_t reserved = 0;     // bytes held from the system, in use or kept
  std::size_t system_calls = 0; // allocations that went to the system
};

class CachingHostMemory final : public MemoryResource {
 public:
  CachingHostMemory() = default;
  ~CachingHostMemory() override { trim(); }

  void* allocate(std::size_t bytes) override {
    const std::size_t size = rounded(bytes);
    const std::lock_guard<std::mutex> lock(mutex_);
    stats_.live += size;
    stats_.peak = std::max(stats_.peak, stats_.live);
    const auto fit = kept_.lower_bound(size);
    if (fit != kept_.end() && fit->first == size) {
      void* p = fit->second;
      kept_.erase(fit);
      return p;
    }
    // A miss: first give back what would push the total above the highest real need (largest blocks first).
    const std::size_t limit = stats_.peak + stats_.peak / 8 + slack;
    while (!kept_.empty() && stats_.reserved + size > limit) release(std::prev(kept_.end()));
    void* p = std::aligned_alloc(size >= large ? huge_page : alignment, size);
    if (p == nullptr) {
      while (!kept_.empty()) release(std::prev(kept_.end()));
      p = std::aligned_alloc(size >= large ? huge_page : alignment, size);
    }
    if (p == nullptr) {
      stats_.live -= size;
      fail(ErrorKind::environment, "memory.exhausted", "memory: the system has no ", size, " bytes left (", stats_.live, " in use)");
    }
    if (size >= large) ::madvise(p, size, MADV_HUGEPAGE);
    stats_.reserved += size;
    ++stats_.system_calls;
    return p;
  }

  void deallocate(void* p, std::size_t bytes) noexcept override {
    const std::size_t size = rounded(bytes);
    const std::lock_guard<std::mutex> lock(mutex_);
    stats_.live -= size;
    try {
      kept_.emplace(size, p);
    } catch (...) {
      stats_.reserved -= size;
      std::free(p);
    }
  }

  void zero(void* p, std::size_t bytes) override { std::memset(p, 0, bytes); }
  void copy(void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
  void copy_from_host(void* to, const void* host, std::size_t bytes) override { std::memcpy(to, host, bytes); }
  void copy_to_host(void* host, const void* from, std::size_t bytes) override { std::memcpy(host, from, bytes); }

  MemoryStats stats() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return stats_;
  }
  void reset_peak() {
    const std::lock_guard<std::mutex> lock(mutex_);
    stats_.peak = stats_.live;
  }
  /// Gives every kept block back to the system.
  void trim() {
    const std::lock_guard<std::mutex> lock(mutex_);
    while (!kept_.empty()) release(kept_.begin());
  }

 private:
  static constexpr std::size_t alignment = 64;
  static constexpr std::size_t huge_page = std::size_t{2} << 20;
  static constexpr std::size_t large = std::size_t{4} << 20;
  static constexpr std::size_t slack = std::size_t{64} << 20;

  // Blocks are reused at exactly their rounded size, so rounding decides how often that happens: eight sizes per octave
  // below 4 MiB, whole huge pages above.
  static std::size_t rounded(std::size_t bytes) {
    const std::size_t unit = bytes >= large ? huge_page : std::max(alignment, std::bit_floor(std::max<std::size_t>(bytes, 1)) / 8);
    return (std::max<std::size_t>(bytes, 1) + unit - 1) / unit * unit;
  }

  void release(std::multimap<std::size_t, void*>::iterator block) {
    stats_.reserved -= block->first;
    std::free(block->second);
    kept_.erase(block);
  }

  mutable std::mutex mutex_;
  std::multimap<std::size_t, void*> kept_;
  MemoryStats stats_;
};

}  // namespace braing3n::inline BRAING3N_ABI
