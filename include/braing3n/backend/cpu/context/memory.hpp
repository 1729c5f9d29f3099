// Host memory that keeps freed blocks for the next step.
//
// A training step asks for the same sizes again and again. What is given back to the system is cleared by it before the next
// use, which is slower than the arithmetic of most element-wise ops. Blocks are therefore kept, in large pages where the system has
// them, but never more than a little above the highest amount that was in use at once. Where that is not enough (a decoder, whose
// volumes grow eightfold from level to level), the pages of kept blocks are moved to where the new block wants them (mremap), which
// costs a few microseconds per 2 MiB instead of clearing them. A program that knows what it will need has it cleared by all threads
// before the first run (prefault).
#pragma once

#include <malloc.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "braing3n/base/error.hpp"
#include "braing3n/core/memory.hpp"

namespace braing3n::inline BRAING3N_ABI {

class CachingHostMemory final : public MemoryResource {
 public:
  CachingHostMemory() = default;
  ~CachingHostMemory() override { trim(); }

  void* allocate(std::size_t bytes) override {
    const std::size_t size = rounded(bytes);
    const std::lock_guard<std::mutex> lock(mutex_);
    const std::size_t peak_before = stats_.peak;
    stats_.live += size;
    stats_.peak = std::max(stats_.peak, stats_.live);
    const auto fit = kept_.lower_bound(size);
    if (fit != kept_.end() && fit->first == size) {
      void* p = fit->second;
      kept_.erase(fit);
      return p;
    }
    // A miss. What would push the total above the highest real need is taken from kept blocks, the largest first.
    const std::size_t limit = most_reserved(stats_.peak);
    const std::size_t above = stats_.reserved + size > limit ? stats_.reserved + size - limit : 0;
    void* p = from_system(size);
    if (p != nullptr) {
      const std::size_t filled = reuse(above, p, size);
      take_prefaulted(static_cast<unsigned char*>(p) + filled, size >= large ? size - filled : 0);
    } else {
      release_all();
      p = from_system(size);
    }
    if (p == nullptr) {
      stats_.live -= size;
      stats_.peak = peak_before;
      fail(ErrorKind::environment, "memory.exhausted", "memory: the system has no ", size, " bytes left (", stats_.live,
           " in use)");
    }
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
      to_system(p, size);
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
  /// Takes `bytes` from the system now, in whole large pages; the next large blocks that are new get these pages. The system clears a page when it
  /// is first touched: for_each_index(n, f) calls f(i) for every i below n, best from several threads at once.
  template <class ForEachIndex>
  void prefault(std::size_t bytes, ForEachIndex&& for_each_index) {
    const std::size_t size = (bytes + huge_page - 1) / huge_page * huge_page;
    if (size < large) return;
    auto* const p = static_cast<unsigned char*>(from_system(size));
    if (p == nullptr) return;  // an allocation that fails reports it
    for_each_index(static_cast<Index>(size / huge_page), [&](Index i) {
      for (std::size_t at = 0; at < huge_page; at += small_page)
        static_cast<volatile unsigned char*>(p)[static_cast<std::size_t>(i) * huge_page + at] = 0;
    });
    const std::lock_guard<std::mutex> lock(mutex_);
    stats_.prefaulted += size;
    ++stats_.system_calls;
    prefaulted_.emplace_back(p, size);
  }
  /// What `reserved` stays below as long as `peak` is not higher.
  static constexpr std::size_t most_reserved(std::size_t peak) { return peak + peak / 8 + slack; }
  /// What a block of `bytes` takes. Blocks are reused at exactly this size, so rounding decides how often that happens: eight sizes per
  /// octave below 4 MiB, whole huge pages above.
  static constexpr std::size_t rounded(std::size_t bytes) {
    const std::size_t unit =
        bytes >= large ? huge_page : std::max(alignment, std::bit_floor(std::max<std::size_t>(bytes, 1)) / 8);
    return (std::max<std::size_t>(bytes, 1) + unit - 1) / unit * unit;
  }
  /// Gives every kept block back to the system.
  void trim() {
    const std::lock_guard<std::mutex> lock(mutex_);
    release_all();
#ifdef __GLIBC__
    ::malloc_trim(0);  // what malloc keeps of blocks below its mmap threshold
#endif
  }

 private:
  static constexpr std::size_t alignment = 64;
  static constexpr std::size_t huge_page = std::size_t{2} << 20, small_page = 4096;
  static constexpr std::size_t large = std::size_t{4} << 20;
  static constexpr std::size_t slack = std::size_t{64} << 20;

  // Large blocks are mappings of their own, at whole huge pages; they have no memory before they are touched.
  static void* from_system(std::size_t size) {
    if (size < large) return std::aligned_alloc(alignment, size);
    constexpr int rights = PROT_READ | PROT_WRITE, kind = MAP_PRIVATE | MAP_ANONYMOUS;
    void* const mapped = ::mmap(nullptr, size + huge_page, rights, kind, -1, 0);
    if (mapped == MAP_FAILED) return nullptr;
    auto* const from = static_cast<unsigned char*>(mapped);
    const std::size_t before = (huge_page - reinterpret_cast<std::uintptr_t>(from) % huge_page) % huge_page;
    if (before > 0) ::munmap(from, before);
    ::munmap(from + before + size, huge_page - before);
    ::madvise(from + before, size, MADV_HUGEPAGE);
    return from + before;
  }
  static void to_system(void* p, std::size_t size) noexcept {
    if (size < large) std::free(p);
    else ::munmap(p, size);
  }

  // Lowers what is held by at least `bytes`, as far as blocks are kept: pages of large ones become the first pages of the new
  // block at `to`, or go back to the system when that one is full. Returns how many bytes of the new block that filled.
  std::size_t reuse(std::size_t bytes, void* to, std::size_t size) {
    auto* next = static_cast<unsigned char*>(to);
    auto* const end = next + (size >= large ? size : 0);
    for (std::size_t done = 0; done < bytes && !kept_.empty();) {
      const auto block = std::prev(kept_.end());
      const auto [held, p] = *block;
      kept_.erase(block);
      std::size_t take = std::min(held, (bytes - done + huge_page - 1) / huge_page * huge_page);
      if (held < large + take) take = held;  // what would be left is no large block
      auto* from = static_cast<unsigned char*>(p) + (held - take);
      done += take;
      stats_.reserved -= take;
      if (held > take) kept_.emplace(held - take, p);
      if (held < large) {
        std::free(p);
        continue;
      }
      const std::size_t moved = std::min(take, static_cast<std::size_t>(end - next));
      for (auto* const stop = from + moved; from < stop; from += huge_page, next += huge_page) move_page(from, next);
      if (take > moved) ::munmap(from, take - moved);
    }
    return static_cast<std::size_t>(next - static_cast<unsigned char*>(to));
  }

  void take_prefaulted(unsigned char* to, std::size_t size) {
    for (auto* const end = to + size; to < end && !prefaulted_.empty(); to += huge_page) {
      auto& [p, left] = prefaulted_.back();
      left -= huge_page;
      move_page(p + left, to);
      stats_.prefaulted -= huge_page;
      if (left == 0) prefaulted_.pop_back();
    }
  }

  // One huge page never crosses two mappings, which mremap would refuse.
  static void move_page(void* from, void* to) {
    if (::mremap(from, huge_page, huge_page, MREMAP_MAYMOVE | MREMAP_FIXED, to) != MAP_FAILED) return;
    // Refused (too many mappings): the old page is given back, and the new one is fresh; the refusal may have removed it.
    ::munmap(from, huge_page);
    ::mmap(to, huge_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  }

  void release_all() {
    for (const auto& [size, p] : kept_) {
      stats_.reserved -= size;
      to_system(p, size);
    }
    kept_.clear();
    for (const auto& [p, size] : prefaulted_) ::munmap(p, size);
    stats_.prefaulted = 0;
    prefaulted_.clear();
  }

  mutable std::mutex mutex_;
  std::multimap<std::size_t, void*> kept_;
  std::vector<std::pair<unsigned char*, std::size_t>> prefaulted_;
  MemoryStats stats_;
};

}  // namespace braing3n::inline BRAING3N_ABI
