// Making items ahead of their use, in threads of their own, in a fixed order.
//
// make(context, position) is called for every position of [begin, end), each by one thread; next() hands the results out in
// order of position, so what the consumer sees does not depend on the number of threads. At most `depth` items exist at a
// time: memory is bounded however fast the threads are. An exception travels to the next() of its own position.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "braing3n/backend/cpu/context/context.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct PrefetchOptions {
  int threads = 1;
  int depth = 4;  // items made or being made ahead of the consumer
};

template <class Item>
class Prefetcher {
 public:
  /// Every thread has a context of its own with one thread. Items that hold memory of it must not outlive this object.
  using Make = std::function<Item(Context<Cpu>&, Index)>;

  Prefetcher(Make make, Index begin, Index end, const PrefetchOptions& options)
      : make_(std::move(make)), wanted_(begin), ticket_(begin), end_(end),
        slots_(static_cast<std::size_t>(std::max(1, options.depth))) {
    if (options.threads < 1 || options.threads > 64 || options.depth < 1 || options.depth > 4096)
      fail(ErrorKind::argument, "prefetch.options", "prefetch: ", options.threads, " threads and a depth of ",
           options.depth, ", expected 1 to 64 and 1 to 4096");
    for (int t = 0; t < options.threads; ++t)
      contexts_.push_back(std::make_unique<Context<Cpu>>(CpuOptions{.threads = 1}));
    try {
      for (auto& context : contexts_) threads_.emplace_back([this, c = context.get()] { work(*c); });
    } catch (const std::system_error&) {
      stop();
      fail(ErrorKind::environment, "prefetch.threads", "prefetch: the machine gives no more than ", threads_.size(),
           " of ", options.threads, " threads");
    }
  }
  ~Prefetcher() { stop(); }
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  bool done() const { return wanted_ >= end_; }
  Index position() const { return wanted_; }

  /// The item of the next position; waits for it, or throws what making it threw.
  Item next() {
    if (done()) fail(ErrorKind::state, "prefetch.done", "prefetch: asked for more than ", end_, " items");
    std::unique_lock<std::mutex> lock(mutex_);
    Slot& slot = slots_[static_cast<std::size_t>(wanted_) % slots_.size()];
    if (!slot.ready) {
      const auto begin = std::chrono::steady_clock::now();
      arrived_.wait(lock, [&] { return slot.ready; });
      waited_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    }
    std::optional<Item> item = std::move(slot.item);
    const std::exception_ptr error = std::exchange(slot.error, nullptr);
    slot.item.reset();
    slot.ready = false;
    ++wanted_;
    lock.unlock();
    room_.notify_all();
    if (error) std::rethrow_exception(error);
    return std::move(*item);
  }

  /// Seconds that next() has waited in all: what a faster loader would win.
  double seconds_waited() const { return waited_; }

 private:
  struct Slot {
    bool ready = false;
    std::optional<Item> item;
    std::exception_ptr error;
  };

  void stop() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    room_.notify_all();
    for (std::thread& t : threads_) t.join();
  }

  void work(Context<Cpu>& context) {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      room_.wait(lock,
                 [&] { return stop_ || ticket_ >= end_ || ticket_ < wanted_ + static_cast<Index>(slots_.size()); });
      if (stop_ || ticket_ >= end_) return;
      const Index position = ticket_++;
      lock.unlock();
      std::optional<Item> item;
      std::exception_ptr error;
      try {
        item.emplace(make_(context, position));
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      Slot& slot = slots_[static_cast<std::size_t>(position) % slots_.size()];
      slot.item = std::move(item);
      slot.error = error;
      slot.ready = true;
      arrived_.notify_all();
    }
  }

  Make make_;
  Index wanted_, ticket_, end_;
  std::mutex mutex_;
  std::condition_variable room_, arrived_;
  bool stop_ = false;
  double waited_ = 0;
  std::vector<std::unique_ptr<Context<Cpu>>> contexts_;  // before the slots: items hold their memory
  std::vector<Slot> slots_;
  std::vector<std::thread> threads_;
};

}  // namespace braing3n::inline BRAING3N_ABI
