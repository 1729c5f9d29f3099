#include "core/block.hpp"

#include <cstring>
#include <exception>

thread_local uint3 threadIdx, blockIdx;
thread_local dim3 blockDim, gridDim;

namespace emulation::core {
namespace {
thread_local Block* block_here = nullptr;
struct Ended {};  // thrown through a kernel whose fault has been noted
}  // namespace

Block& Block::current() { return *block_here; }

void Block::prepare(std::uint64_t number) {
  const dim3 grid = launch_->grid, dim = launch_->block;
  const int n = static_cast<int>(dim.x * dim.y * dim.z);
  blockIdx = {static_cast<unsigned>(number % grid.x), static_cast<unsigned>(number / grid.x % grid.y),
              static_cast<unsigned>(number / grid.x / grid.y)};
  blockDim = dim, gridDim = grid;
  threads_.assign(static_cast<std::size_t>(n), {});
  warps_.resize(static_cast<std::size_t>((n + lanes - 1) / lanes));
  for (Warp& w : warps_) {
    w.waiting = w.present = 0;
    for (Record& r : w.records) r.readers = 0;
  }
  for (int i = 0; i < n; ++i) {
    Thread& t = threads_[static_cast<std::size_t>(i)];
    const auto u = static_cast<unsigned>(i);
    t.index = {u % dim.x, u / dim.x % dim.y, u / dim.x / dim.y};
    t.linear = i;
    warps_[static_cast<std::size_t>(i / lanes)].present |= 1u << (i % lanes);
  }
  live_ = n, waiting_ = 0, failed_ = false;
  arrays_.clear();
  static_used_ = 0;
  if (watches_threads) static_memory_.renew(static_bytes);
  if (launch_->shared > 0) {
    dynamic_memory_.renew(launch_->shared);
    permit(dynamic_memory_.get(), launch_->shared);
    std::memset(dynamic_memory_.get(), 0xff, launch_->shared);  // NaN: nothing may be read before it is written
  }
  ++shift_;
}

void Block::run(Launch& launch, std::uint64_t number) {
  const Unwatched books;
  launch_ = &launch;
  prepare(number);
  block_here = this;
  release(&begun_);
  const int n = static_cast<int>(threads_.size());
  while (live_ > 0 && !failed_) {
    bool moved = false;
    for (int i = 0; i < n && !failed_; ++i) {
      Thread& t = threads_[static_cast<std::size_t>(launch.reversed ? n - 1 - i : i)];
      if (t.finished || t.wait != Wait::none) continue;
      step(t);
      moved = true;
    }
    if (moved || failed_) continue;
    if (waiting_ == live_) release_barrier();
    else report_deadlock();
  }
  if (failed_) {  // fibers that stand in the middle of a kernel are of no more use
    free_.clear();
    fibers_.clear();
  }
  block_here = nullptr;
}

void Block::step(Thread& t) {
  running_ = &t;
  threadIdx = t.index;
  if (t.started) t.fiber->enter();
  else start(t);
}

void Block::start(Thread& t) {
  // A fiber per thread for the thread sanitizer, which sees only what happens on different fibers. The next block on this OS thread
  // takes them shifted by one: the same thread of two blocks would otherwise seem to run in order.
  Fiber* fiber = nullptr;
  if (watches_threads) {
    const std::size_t count = threads_.size() + 7;
    while (fibers_.size() < count) fibers_.push_back(std::make_unique<Fiber>());
    fiber = fibers_[(static_cast<std::size_t>(t.linear) + shift_) % count].get();
  } else if (free_.empty()) {
    fibers_.push_back(std::make_unique<Fiber>());
    fiber = fibers_.back().get();
  } else {
    fiber = free_.back();
    free_.pop_back();
  }
  t.fiber = fiber;
  fiber->start(&Block::entry, this);
}

void Block::entry(void* self) { static_cast<Block*>(self)->run_threads(); }

void Block::run_threads() {
  Fiber* const fiber = running_->fiber;
  for (;;) {
    Thread& t = *running_;
    t.started = true;
    t.fiber = fiber;
    acquire(&launch_->started);
    acquire(&begun_);
    try {
      launch_->body();
      for (const auto& group : t.groups)
        if (!group.empty()) fault("the kernel ends before " + group.front().site.text() + " was waited for");
    } catch (const Ended&) {  // a fault that is known already
    } catch (const std::exception& e) {
      add_fault(std::string("an exception leaves the kernel: ") + e.what());
    }
    release(&launch_->done);
    if (failed_) fiber->leave(true);
    t.finished = true;
    --live_;
    warp().present &= ~(1u << (t.linear % lanes));
    // Threads that never wait follow each other without a switch.
    Thread* const next = watches_threads ? nullptr : follower(t);
    if (next == nullptr) break;
    running_ = next;
    threadIdx = next->index;
  }
  if (!watches_threads) free_.push_back(fiber);
  fiber->leave(true);
}

Thread* Block::follower(const Thread& t) {
  const int next = t.linear + (launch_->reversed ? -1 : 1);
  if (next < 0 || next >= static_cast<int>(threads_.size())) return nullptr;
  Thread& other = threads_[static_cast<std::size_t>(next)];
  return other.started ? nullptr : &other;
}

void Block::barrier(const Site& site) {
  Thread& t = *running_;
  t.site = site;
  // Two tokens in turn: a thread that is already at the next barrier must not seem to come before one that has yet to leave this one.
  char* const token = &barrier_tokens_[t.barriers++ % 2];
  release(token);
  t.wait = Wait::block;
  ++waiting_;
  pause();
  acquire(token);
}

void Block::pause() {
  release(&launch_->done);  // in case a fault elsewhere ends the launch here
  running_->fiber->leave();
}

void Block::release_barrier() {
  const Thread* first = nullptr;
  for (const Thread& t : threads_) {
    if (t.finished) continue;
    if (first == nullptr) first = &t;
    if (!(first->site == t.site))
      return add_fault("threads " + std::to_string(first->linear) + " and " + std::to_string(t.linear) +
                       " meet at different barriers: " + first->site.text() + " and " + t.site.text());
  }
  const auto left = static_cast<int>(threads_.size()) - live_;
  if (left > 0) return add_fault(std::to_string(left) + " threads have left the kernel before " + first->site.text());
  waiting_ = 0;
  for (Thread& t : threads_) t.wait = Wait::none;
}

void Block::report_deadlock() {
  std::string text = "deadlock:";
  const Site* last = nullptr;
  for (const Thread& t : threads_) {
    if (t.finished || (last != nullptr && *last == t.site)) continue;
    text += (last == nullptr ? " thread " : ", thread ") + std::to_string(t.linear) + " waits in " + t.site.text();
    last = &t.site;
  }
  add_fault(text);
}

std::string Block::place() const {
  return " (block " + std::to_string(blockIdx.x) + ", " + std::to_string(blockIdx.y) + ", " +
         std::to_string(blockIdx.z) + ")";
}

void Block::add_fault(const std::string& text) {
  core::add_fault(text + place());
  failed_ = true;
  launch_->failed = true;
}

void Block::fault(const std::string& text) {
  add_fault("thread " + std::to_string(running_->linear) + ": " + text);
  throw Ended();
}

}  // namespace emulation::core
