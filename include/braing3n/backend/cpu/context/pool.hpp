// A small thread pool. Work is cut into chunks by shape and never by the number of threads, so a result cannot depend on
// how many threads ran it: only which thread takes which chunk changes.
#pragma once

#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

#include "braing3n/base/error.hpp"

namespace braing3n::inline BRAING3N_ABI {

class ThreadPool {
 public:
  /// threads >= 1, the calling thread included.
  explicit ThreadPool(int threads) : threads_(threads) {
    if (threads < 1 || threads > 1024)
      fail(ErrorKind::argument, "pool.threads", "threads: expected 1 to 1024, got ", threads);
    for (int worker = 1; worker < threads; ++worker) workers_.emplace_back([this, worker] { work(worker); });
  }
  ~ThreadPool() {
    stop_.store(true, std::memory_order_relaxed);
    epoch_.fetch_add(1, std::memory_order_release);
    epoch_.notify_all();
    for (std::thread& t : workers_) t.join();
  }
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  /// Calls f(chunk, worker) once for every chunk in [0, chunks), worker in [0, threads()). Returns when all are done; the
  /// first exception is thrown again here. A call from inside a chunk runs on its own thread; calls from several threads
  /// take turns.
  template <class F>
  void run(Index chunks, F&& f) {
    if (chunks <= 0) return;
    if (chunks == 1 || threads_ == 1 || inside() != nullptr) {
      const int worker = inside() == this ? worker_id() : 0;
      for (Index chunk = 0; chunk < chunks; ++chunk) f(chunk, worker);
      return;
    }
    const std::lock_guard<std::mutex> turn(turn_);
    Job job{[](void* p, Index chunk, int worker) { (*static_cast<std::remove_reference_t<F>*>(p))(chunk, worker); },
            const_cast<void*>(static_cast<const void*>(&f)), chunks};
    job_ = &job;
    running_.store(threads_ - 1, std::memory_order_relaxed);
    epoch_.fetch_add(1, std::memory_order_release);
    epoch_.notify_all();
    take_chunks(job, 0);
    for (int spin = 0; running_.load(std::memory_order_acquire) != 0; ++spin) {
      if (spin < spins) {
        pause();
      } else {
        const int left = running_.load(std::memory_order_acquire);
        if (left != 0) running_.wait(left, std::memory_order_acquire);
      }
    }
    if (job.error) std::rethrow_exception(job.error);
  }

 private:
  struct Job {
    void (*call)(void*, Index, int);
    void* f;
    Index chunks;
    std::atomic<Index> next{0};
    std::exception_ptr error{};
    std::atomic<bool> failed{false};
  };

  // Long enough to bridge the gap between two ops, short enough not to steal a core from anybody.
  static constexpr int spins = 4000;
  static void pause() { __builtin_ia32_pause(); }

  static const ThreadPool*& inside() {
    thread_local const ThreadPool* pool = nullptr;
    return pool;
  }
  static int& worker_id() {
    thread_local int id = 0;
    return id;
  }

  void take_chunks(Job& job, int worker) {
    const ThreadPool* outer = inside();
    const int outer_id = worker_id();
    inside() = this;
    worker_id() = worker;
    for (Index chunk; (chunk = job.next.fetch_add(1, std::memory_order_relaxed)) < job.chunks;) {
      if (job.failed.load(std::memory_order_relaxed)) continue;
      try {
        job.call(job.f, chunk, worker);
      } catch (...) {
        if (!job.failed.exchange(true)) job.error = std::current_exception();
      }
    }
    inside() = outer;
    worker_id() = outer_id;
  }

  void work(int worker) {
    unsigned seen = 0;
    for (;;) {
      unsigned now = epoch_.load(std::memory_order_acquire);
      for (int spin = 0; now == seen && spin < spins; ++spin) {
        pause();
        now = epoch_.load(std::memory_order_acquire);
      }
      while (now == seen) {
        epoch_.wait(seen, std::memory_order_acquire);
        now = epoch_.load(std::memory_order_acquire);
      }
      seen = now;
      if (stop_.load(std::memory_order_relaxed)) return;
      take_chunks(*job_, worker);
      if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) running_.notify_one();
    }
  }

  int threads_;
  std::vector<std::thread> workers_;
  std::mutex turn_;
  Job* job_ = nullptr;
  std::atomic<unsigned> epoch_{0};
  std::atomic<int> running_{0};
  std::atomic<bool> stop_{false};
};

}  // namespace braing3n::inline BRAING3N_ABI
