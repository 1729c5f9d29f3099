// What the sanitizers must be told. They watch kernels; the emulation itself is not watched by the thread sanitizer (its files are
// compiled without), so that only what kernels do counts, with one fiber of the sanitizer per CUDA thread.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define EMULATION_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EMULATION_ASAN 1
#endif
#endif

#if defined(EMULATION_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(EMULATION_TSAN)  // set by CMakeLists.txt
#include <sanitizer/tsan_interface.h>
extern "C" {
void __tsan_ignore_thread_begin();
void __tsan_ignore_thread_end();
void __tsan_read_range(void* address, unsigned long size);
void __tsan_write_range(void* address, unsigned long size);
}
#endif

namespace emulation::core {

#if defined(EMULATION_TSAN)
constexpr bool watches_threads = true;
#else
constexpr bool watches_threads = false;
#endif

/// Memory that nobody may touch, and memory that may be touched again.
inline void forbid([[maybe_unused]] const void* p, [[maybe_unused]] std::size_t bytes) {
#if defined(EMULATION_ASAN)
  __asan_poison_memory_region(p, bytes);
#endif
}
inline void permit([[maybe_unused]] const void* p, [[maybe_unused]] std::size_t bytes) {
#if defined(EMULATION_ASAN)
  __asan_unpoison_memory_region(p, bytes);
#endif
}

/// What this thread did before release(token) happens before what follows acquire(token) on another.
inline void acquire([[maybe_unused]] void* token) {
#if defined(EMULATION_TSAN)
  __tsan_acquire(token);
#endif
}
inline void release([[maybe_unused]] void* token) {
#if defined(EMULATION_TSAN)
  __tsan_release(token);
#endif
}

/// A copy made for the running thread of a kernel counts as its own access.
inline void note_copy([[maybe_unused]] void* to, [[maybe_unused]] const void* from,
                      [[maybe_unused]] std::size_t bytes) {
#if defined(EMULATION_TSAN)
  if (from != nullptr) __tsan_read_range(const_cast<void*>(from), bytes);
  __tsan_write_range(to, bytes);
#endif
}

/// The books of the emulation are no memory of the kernel: calls to memcpy and the like inside count for nothing.
struct Unwatched {
  Unwatched() {
#if defined(EMULATION_TSAN)
    __tsan_ignore_thread_begin();
#endif
  }
  ~Unwatched() {
#if defined(EMULATION_TSAN)
    __tsan_ignore_thread_end();
#endif
  }
  Unwatched(const Unwatched&) = delete;
  Unwatched& operator=(const Unwatched&) = delete;
};

}  // namespace emulation::core
