#include "core/fiber.hpp"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <new>

namespace emulation::core {
namespace {
constexpr std::size_t guard_bytes = 4096;
thread_local Fiber* starting = nullptr;
}  // namespace

#if defined(__x86_64__) && !defined(EMULATION_UCONTEXT)
// Saves the registers that a call must keep, takes the other stack, and returns there.
extern "C" void braing3n_emulation_switch(void** save, void* load);
asm(R"(
.text
.globl braing3n_emulation_switch
.type braing3n_emulation_switch,@function
braing3n_emulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size braing3n_emulation_switch,.-braing3n_emulation_switch
)");
#endif

#if defined(EMULATION_ASAN)
// A second stack per fiber, in which the sanitizer looks for pointers to variables of functions that have returned, takes far longer to
// make and to drop than a thread of a kernel runs.
extern "C" const char* __asan_default_options() { return "detect_stack_use_after_return=0"; }
#endif

Fiber::Fiber() {
  void* p = mmap(nullptr, guard_bytes + stack_bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  stack_ = static_cast<char*>(p);
  mprotect(stack_, guard_bytes, PROT_NONE);
#if defined(EMULATION_TSAN)
  watched_ = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
#if defined(EMULATION_TSAN)
  __tsan_destroy_fiber(watched_);
#endif
  permit(stack_ + guard_bytes, stack_bytes);
  munmap(stack_, guard_bytes + stack_bytes);
}

void Fiber::start(void (*function)(void*), void* argument) {
  function_ = function, argument_ = argument;
  starting = this;
#if defined(EMULATION_ASAN)
  fake_stack_ = nullptr;
#endif
#if defined(__x86_64__) && !defined(EMULATION_UCONTEXT)
  const auto top = reinterpret_cast<std::uintptr_t>(stack_ + guard_bytes + stack_bytes) & ~std::uintptr_t{15};
  void** sp = reinterpret_cast<void**>(top);
  *--sp = nullptr;  // where begin() would return to; keeps the stack aligned as after a call
  *--sp = reinterpret_cast<void*>(&Fiber::begin);
  for (int i = 0; i < 6; ++i) *--sp = nullptr;
  here_ = sp;
#else
  getcontext(&here_);
  here_.uc_stack.ss_sp = stack_ + guard_bytes;
  here_.uc_stack.ss_size = stack_bytes;
  here_.uc_link = nullptr;
  makecontext(&here_, &Fiber::begin, 0);
#endif
  switch_in();
}

void Fiber::enter() { switch_in(); }

void Fiber::begin() {
  Fiber* self = starting;
#if defined(EMULATION_ASAN)
  __sanitizer_finish_switch_fiber(nullptr, &self->outside_stack_, &self->outside_bytes_);
#endif
  self->function_(self->argument_);
  std::abort();  // the function left for good
}

void Fiber::switch_in() {
#if defined(EMULATION_ASAN)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, stack_ + guard_bytes, stack_bytes);
#endif
#if defined(EMULATION_TSAN)
  watched_outside_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(watched_, __tsan_switch_to_fiber_no_sync);
#endif
#if defined(__x86_64__) && !defined(EMULATION_UCONTEXT)
  braing3n_emulation_switch(&outside_, here_);
#else
  swapcontext(&outside_, &here_);
#endif
#if defined(EMULATION_ASAN)
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

void Fiber::leave([[maybe_unused]] bool for_good) {
#if defined(EMULATION_ASAN)
  __sanitizer_start_switch_fiber(for_good ? nullptr : &fake_stack_, outside_stack_, outside_bytes_);
#endif
#if defined(EMULATION_TSAN)
  __tsan_switch_to_fiber(watched_outside_, __tsan_switch_to_fiber_no_sync);
#endif
#if defined(__x86_64__) && !defined(EMULATION_UCONTEXT)
  braing3n_emulation_switch(&here_, outside_);
#else
  swapcontext(&here_, &outside_);
#endif
#if defined(EMULATION_ASAN)
  __sanitizer_finish_switch_fiber(fake_stack_, &outside_stack_, &outside_bytes_);
#endif
}

}  // namespace emulation::core
