// Exchanges among the lanes of a warp, and the functions through which kernels reach their block.
#include <bit>

#include "core/block.hpp"

namespace emulation::core {

int Block::exchange(unsigned mask, const std::uint64_t* words, int count, const Site& site) {
  Thread& t = *running_;
  Warp& w = warp();
  const auto lane = static_cast<std::size_t>(t.linear % lanes);
  t.site = site;
  if (((mask >> lane) & 1u) == 0) fault(site.text() + ": the mask leaves out lane " + std::to_string(lane) + " itself");
  if ((mask & ~w.present) != 0)
    fault(site.text() + ": the mask names lane " + std::to_string(std::countr_zero(mask & ~w.present)) +
          ", which has left the kernel or never was");
  for (int i = 0; i < count; ++i) w.handed[lane][static_cast<std::size_t>(i)] = words[i];
  w.mask[lane] = mask;
  w.waiting |= 1u << lane;
  release(&w.tokens[lane]);
  if ((w.waiting & mask) == mask) {
    complete(w, mask, site);
  } else {
    t.wait = Wait::warp;
    pause();
  }
  acquire(&w.records[static_cast<std::size_t>(w.record[lane])].token);
  return w.record[lane];
}

void Block::complete(Warp& w, unsigned mask, const Site& site) {
  const int first = running_->linear / lanes * lanes;
  std::size_t free = 0;
  while (free < w.records.size() && w.records[free].readers > 0) ++free;
  if (free == w.records.size()) {
    const Unwatched books;
    w.records.emplace_back();
  }
  Record& record = w.records[free];
  record.readers = std::popcount(mask);
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    if (((mask >> lane) & 1u) == 0) continue;
    acquire(&w.tokens[lane]);
    Thread& other = threads_[static_cast<std::size_t>(first) + lane];
    if (w.mask[lane] != mask)
      fault(site.text() + ": lane " + std::to_string(lane) + " gives another mask, in " + other.site.text());
    if (!(other.site == site))
      fault("lanes of one warp meet in different operations: " + site.text() + " and " + other.site.text());
    for (std::size_t i = 0; i < words_per_lane; ++i) record.words[lane][i] = w.handed[lane][i];
    w.record[lane] = static_cast<int>(free);
    other.wait = Wait::none;
  }
  w.waiting &= ~mask;
  release(&record.token);
}

std::uint64_t Block::exchanged(int record, int lane, int word) const {
  return warps_[static_cast<std::size_t>(running_->linear / lanes)]
      .records[static_cast<std::size_t>(record)]
      .words[static_cast<std::size_t>(lane)][static_cast<std::size_t>(word)];
}

void Block::end_exchange(int record) { --warp().records[static_cast<std::size_t>(record)].readers; }

}  // namespace emulation::core

namespace emulation {

using core::Block;

void barrier(const char* what, const Where& at) { Block::current().barrier({what, at}); }
void kernel_fault(const char* what, const Where& at, const char* problem) {
  Block::current().fault(core::Site{what, at}.text() + ": " + problem);
}
int linear_thread() { return Block::current().thread().linear; }
void* static_shared(const void* key, std::size_t bytes) { return Block::current().static_shared(key, bytes); }
char* dynamic_shared(const Where& at) { return Block::current().dynamic_shared({"dynamic_shared_memory", at}); }
void copy_async(void* to, const void* from, unsigned bytes, const Where& at) {
  Block::current().copy_async({to, from, bytes, {"cp.async", at}});
}
void copy_commit() { Block::current().copy_commit(); }
void copy_wait(int pending) { Block::current().copy_wait(pending); }

Exchange::Exchange(unsigned mask, const std::uint64_t* words, int count, const char* what, const Where& at)
    : mask_(mask), what_(what), at_(at), record_(Block::current().exchange(mask, words, count, {what, at})) {}
Exchange::~Exchange() { Block::current().end_exchange(record_); }
std::uint64_t Exchange::word(int of_lane, int i) const {
  if (of_lane < 0 || of_lane >= core::lanes || ((mask_ >> of_lane) & 1u) == 0)
    Block::current().fault(core::Site{what_, at_}.text() + ": reads lane " + std::to_string(of_lane) +
                           ", which the mask leaves out");
  return Block::current().exchanged(record_, of_lane, i);
}

unsigned ballot(unsigned mask, bool yes, const char* what, const Where& at) {
  const std::uint64_t word = yes ? 1 : 0;
  const Exchange exchange(mask, &word, 1, what, at);
  unsigned bits = 0;
  for (int l = 0; l < core::lanes; ++l)
    if (((mask >> l) & 1u) != 0 && exchange.word(l) != 0) bits |= 1u << l;
  return bits;
}

}  // namespace emulation
