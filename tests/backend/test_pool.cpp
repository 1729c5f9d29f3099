// The thread pool: every chunk once, on a worker of its own, whatever happens inside.
#include <doctest/doctest.h>

#include <atomic>
#include <numeric>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "braing3n/backend/cpu/context/pool.hpp"

using namespace braing3n;

TEST_CASE("pool: every chunk runs once, workers are numbered") {
  for (int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    CHECK(pool.threads() == threads);
    for (Index chunks : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> seen(static_cast<std::size_t>(chunks));
      std::atomic<bool> bad_worker = false;
      pool.run(chunks, [&](Index chunk, int worker) {
        ++seen[static_cast<std::size_t>(chunk)];
        if (worker < 0 || worker >= threads) bad_worker = true;
      });
      CHECK(!bad_worker);
      for (const auto& count : seen) CHECK(count == 1);
    }
  }
}

TEST_CASE("pool: one worker number is never used by two threads at a time") {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> inside(4);
  std::atomic<int> clashes = 0;
  pool.run(400, [&](Index, int worker) {
    auto& mine = inside[static_cast<std::size_t>(worker)];
    if (mine.fetch_add(1) != 0) ++clashes;
    std::this_thread::yield();
    mine.fetch_sub(1);
  });
  CHECK(clashes == 0);
}

TEST_CASE("pool: many short runs, with pauses for the workers to fall asleep") {
  ThreadPool pool(3);
  std::atomic<long> total = 0;
  for (int round = 0; round < 2000; ++round) {
    if (round % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    pool.run(5, [&](Index chunk, int) { total += chunk; });
  }
  CHECK(total == 2000 * 10);
}

TEST_CASE("pool: work from inside a chunk runs there, in order, under the same worker") {
  ThreadPool pool(3);
  std::atomic<int> wrong = 0, runs = 0;
  pool.run(12, [&](Index, int worker) {
    const std::thread::id thread = std::this_thread::get_id();
    Index next = 0;
    pool.run(10, [&](Index chunk, int inner) {
      if (std::this_thread::get_id() != thread || inner != worker || chunk != next++) ++wrong;
      ++runs;
    });
  });
  CHECK(wrong == 0);
  CHECK(runs == 120);
}

TEST_CASE("pool: another pool from inside a chunk does not deadlock") {
  ThreadPool outer(2), inner(2);
  std::atomic<int> runs = 0;
  outer.run(6, [&](Index, int) { inner.run(5, [&](Index, int) { ++runs; }); });
  CHECK(runs == 30);
}

TEST_CASE("pool: callers on several threads take turns") {
  ThreadPool pool(2);
  std::atomic<int> runs = 0;
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c)
    callers.emplace_back([&] {
      for (int round = 0; round < 50; ++round) pool.run(8, [&](Index, int) { ++runs; });
    });
  for (std::thread& t : callers) t.join();
  CHECK(runs == 4 * 50 * 8);
}

TEST_CASE("pool: the first error comes back to the caller and the pool stays usable") {
  for (int threads : {1, 3}) {
    ThreadPool pool(threads);
    for (int round = 0; round < 20; ++round) {
      std::atomic<int> others = 0;
      CHECK_THROWS_WITH_AS(pool.run(50,
                                    [&](Index chunk, int) {
                                      if (chunk == 7) throw std::runtime_error("chunk 7");
                                      ++others;
                                    }),
                           "chunk 7", std::runtime_error);
      CHECK(others < 50);
    }
    std::atomic<int> after = 0;
    pool.run(9, [&](Index, int) { ++after; });
    CHECK(after == 9);
    // After an error inside a nested run, this thread is not taken to be inside the pool any more.
    CHECK_THROWS(pool.run(4, [&](Index, int) { pool.run(2, [](Index, int) { throw std::runtime_error("inner"); }); }));
    std::set<int> workers;
    std::mutex mutex;
    std::atomic<int> arrived = 0;
    pool.run(threads, [&](Index, int worker) {
      ++arrived;
      for (int spin = 0; arrived < threads && spin < 1000000; ++spin) std::this_thread::yield();
      const std::lock_guard<std::mutex> lock(mutex);
      workers.insert(worker);
    });
    CHECK(static_cast<int>(workers.size()) == threads);
  }
}

TEST_CASE("pool: impossible numbers of threads are refused") {
  for (int threads : {0, -1, 1025}) {
    try {
      ThreadPool pool(threads);
      FAIL("no error");
    } catch (const Error& e) {
      CHECK(e.kind() == ErrorKind::argument);
      CHECK(e.id() == "pool.threads");
    }
  }
}
