#include "core/grid.hpp"

#include <algorithm>
#include <mutex>
#include <thread>

namespace emulation::core {
namespace {

/// Blocks, with the stacks of their fibers, are kept from launch to launch.
class Spares {
 public:
  std::unique_ptr<Block> take() {
    const std::lock_guard lock(mutex_);
    if (blocks_.empty()) return std::make_unique<Block>();
    auto block = std::move(blocks_.back());
    blocks_.pop_back();
    return block;
  }
  void give_back(std::unique_ptr<Block> block) {
    const std::lock_guard lock(mutex_);
    blocks_.push_back(std::move(block));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Block>> blocks_;
};

}  // namespace

void run_grid(Launch& launch) {
  static Spares spares;
  const std::uint64_t blocks = std::uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z;
  AtomicCounters& c = counted();
  c.launches += 1, c.blocks += blocks;
  c.threads += blocks * launch.block.x * launch.block.y * launch.block.z;
  release(&launch.started);
  std::atomic<std::uint64_t> next{0};
  const auto work = [&] {
    auto block = spares.take();
    for (std::uint64_t i = 0; !launch.failed && (i = next++) < blocks;)
      block->run(launch, launch.reversed ? blocks - 1 - i : i);
    spares.give_back(std::move(block));
  };
  const auto workers = static_cast<int>(std::min<std::uint64_t>(static_cast<std::uint64_t>(worker_threads()), blocks));
  std::vector<std::thread> others;
  for (int i = 1; i < workers; ++i) others.emplace_back(work);
  work();
  for (std::thread& t : others) t.join();
  acquire(&launch.done);
}

}  // namespace emulation::core
