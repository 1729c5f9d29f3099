// One block of a kernel on one OS thread: its threads are fibers that a scheduler enters in a fixed order.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "core/fiber.hpp"
#include "core/state.hpp"
#include "device.hpp"

namespace emulation::core {

constexpr int lanes = 32;
constexpr int words_per_lane = 3;

/// What all blocks of one launch share.
struct Launch {
  dim3 grid, block;
  std::size_t shared = 0;  // bytes of dynamic shared memory
  std::function<void()> body;
  bool reversed = false;
  std::atomic<bool> failed{false};
  char started = 0, done = 0;  // tokens for acquire() and release()
};

/// Memory of a block that the thread sanitizer takes for new each time, so that blocks on one OS thread stay unordered.
class Mapping {
 public:
  Mapping() = default;
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  /// At least `bytes`, none of which may be touched yet.
  void renew(std::size_t bytes);
  char* get() const { return p_; }

 private:
  char* p_ = nullptr;
  std::size_t bytes_ = 0;
};

enum class Wait : std::uint8_t { none, block, warp };

struct AsyncCopy {
  void* to;
  const void* from;
  unsigned bytes;
  Site site;
};

struct Thread {
  uint3 index{};
  int linear = 0;
  Wait wait = Wait::none;
  bool started = false, finished = false;
  unsigned barriers = 0;  // how many it has reached
  Fiber* fiber = nullptr;
  Site site;                                   // where it waits
  std::vector<std::vector<AsyncCopy>> groups;  // oldest first; the last one is open
};

/// What the lanes of one exchange have handed in, kept until each of them has read.
struct Record {
  std::array<std::array<std::uint64_t, words_per_lane>, lanes> words;
  int readers = 0;
  char token = 0;
};

struct Warp {
  unsigned waiting = 0, present = 0;  // lanes
  std::array<unsigned, lanes> mask{};
  std::array<std::array<std::uint64_t, words_per_lane>, lanes> handed{};
  std::array<int, lanes> record{};
  std::deque<Record> records;
  std::array<char, lanes> tokens{};
};

class Block {
 public:
  /// Runs block `number` of a launch to its end, or until one of its threads reports a fault.
  void run(Launch& launch, std::uint64_t number);

  // Called on fibers.
  void barrier(const Site& site);
  int exchange(unsigned mask, const std::uint64_t* words, int count, const Site& site);
  std::uint64_t exchanged(int record, int lane, int word) const;
  void end_exchange(int record);
  void* static_shared(const void* key, std::size_t bytes);
  char* dynamic_shared(const Site& site);
  void copy_async(const AsyncCopy& copy);
  void copy_commit();
  void copy_wait(int pending);
  [[noreturn]] void fault(const std::string& text);

  static Block& current();
  Thread& thread() { return *running_; }

 private:
  void prepare(std::uint64_t number);
  void step(Thread& t);
  void pause();  // of the running thread, until the scheduler comes back to it
  void release_barrier();
  void report_deadlock();
  void start(Thread& t);
  void run_threads();
  static void entry(void* self);
  Thread* follower(const Thread& t);
  void complete(Warp& w, unsigned mask, const Site& site);
  void add_fault(const std::string& text);
  std::string place() const;
  Warp& warp() { return warps_[static_cast<std::size_t>(running_->linear / lanes)]; }

  Launch* launch_ = nullptr;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  Thread* running_ = nullptr;
  int live_ = 0, waiting_ = 0;
  bool failed_ = false;
  std::array<char, 2> barrier_tokens_{};
  char begun_ = 0;  // token: the OS thread and its thread-local variables exist

  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> free_;
  unsigned shift_ = 0;  // see start()

  static constexpr std::size_t static_bytes = 48 * 1024;
  Mapping static_memory_, dynamic_memory_;
  struct Array {
    const void* key;
    char* at;
  };
  std::vector<Array> arrays_;
  std::size_t static_used_ = 0;
};

}  // namespace emulation::core
