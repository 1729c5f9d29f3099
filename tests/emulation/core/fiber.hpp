// A stack of its own on which a function runs, left and entered again at will.
#pragma once

#include <cstddef>

#include "core/sanitizers.hpp"

#if !defined(__x86_64__) || defined(EMULATION_UCONTEXT)
#include <ucontext.h>
#endif

namespace emulation::core {

/// On x86-64 a switch is fourteen instructions; elsewhere (or with EMULATION_UCONTEXT) it is swapcontext.
class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// From an OS thread: runs function(argument) until it leaves. The function must not return.
  void start(void (*function)(void*), void* argument);
  /// From an OS thread: goes on where the function left.
  void enter();
  /// From the function: back to the OS thread; `for_good` when it will not be entered again.
  void leave(bool for_good = false);

  static constexpr std::size_t stack_bytes = 256 * 1024;

 private:
  static void begin();
  void switch_in();

  char* stack_ = nullptr;  // a page that nobody may touch, then the stack
  void (*function_)(void*) = nullptr;
  void* argument_ = nullptr;
#if !defined(__x86_64__) || defined(EMULATION_UCONTEXT)
  ucontext_t here_{}, outside_{};
#else
  void* here_ = nullptr;  // stack pointers
  void* outside_ = nullptr;
#endif
#if defined(EMULATION_ASAN)
  void* fake_stack_ = nullptr;
  const void* outside_stack_ = nullptr;
  std::size_t outside_bytes_ = 0;
#endif
#if defined(EMULATION_TSAN)
  void* watched_ = nullptr;  // the sanitizer's fibers
  void* watched_outside_ = nullptr;
#endif
};

}  // namespace emulation::core
