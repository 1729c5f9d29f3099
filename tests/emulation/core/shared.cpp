// Shared memory and asynchronous copies of a block.
#include <sys/mman.h>

#include <cstring>
#include <new>

#include "core/block.hpp"

namespace emulation::core {

Mapping::~Mapping() {
  if (p_ == nullptr) return;
  permit(p_, bytes_);
  munmap(p_, bytes_);
}

void Mapping::renew(std::size_t bytes) {
  if (watches_threads || bytes > bytes_) {
    if (p_ != nullptr) {
      permit(p_, bytes_);
      munmap(p_, bytes_);
    }
    bytes_ = (bytes + 4095) / 4096 * 4096;
    void* p = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    p_ = static_cast<char*>(p);
  }
  forbid(p_, bytes_);
}

void* Block::static_shared(const void* key, std::size_t bytes) {
  for (const Array& a : arrays_)
    if (a.key == key) return a.at;
  const std::size_t room = (bytes + 127) / 128 * 128 + 128;  // what lies between two arrays may not be touched
  if (static_used_ + room > static_bytes) fault("more than 48 KiB of static shared memory");
  const Unwatched books;
  if (arrays_.empty() && !watches_threads) static_memory_.renew(static_bytes);
  char* const at = static_memory_.get() + static_used_;
  static_used_ += room;
  permit(at, bytes);
  std::memset(at, 0xff, bytes);
  arrays_.push_back({key, at});
  return at;
}

char* Block::dynamic_shared(const Site& site) {
  if (launch_->shared == 0) fault(site.text() + ": the launch gave no dynamic shared memory");
  return dynamic_memory_.get();
}

void Block::copy_async(const AsyncCopy& copy) {
  note_copy(copy.to, copy.from, copy.bytes);
  const Unwatched books;
  Thread& t = *running_;
  if (t.groups.empty()) t.groups.emplace_back();
  t.groups.back().push_back(copy);
  std::memset(copy.to, 0xff, copy.bytes);  // whoever reads before the wait reads NaN
  forbid(copy.to, copy.bytes);
}

void Block::copy_commit() {
  const Unwatched books;
  running_->groups.emplace_back();
}

void Block::copy_wait(int pending) {
  auto& groups = running_->groups;
  while (static_cast<int>(groups.size()) - 1 > pending) {
    for (const AsyncCopy& c : groups.front()) {
      note_copy(c.to, c.from, c.bytes);
      const Unwatched books;
      permit(c.to, c.bytes);
      if (c.from == nullptr) std::memset(c.to, 0, c.bytes);
      else std::memcpy(c.to, c.from, c.bytes);
    }
    const Unwatched books;
    groups.erase(groups.begin());
  }
}

}  // namespace emulation::core
