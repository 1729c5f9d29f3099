// The memory a tensor lives in, behind one small interface.
#pragma once

#include <cstddef>
#include <utility>

#include "braing3n/base/config.hpp"

namespace braing3n::inline BRAING3N_ABI {

class MemoryResource {
 public:
  virtual ~MemoryResource() = default;
  MemoryResource() = default;
  MemoryResource(const MemoryResource&) = delete;
  MemoryResource& operator=(const MemoryResource&) = delete;

  /// At least `bytes` bytes, aligned to 64. Throws Error (environment) when there is no more.
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void deallocate(void* p, std::size_t bytes) noexcept = 0;
  virtual void zero(void* p, std::size_t bytes) = 0;
  virtual void copy(void* to, const void* from, std::size_t bytes) = 0;  // both in this memory
  virtual void copy_from_host(void* to, const void* host, std::size_t bytes) = 0;
  virtual void copy_to_host(void* host, const void* from, std::size_t bytes) = 0;
};

/// One allocation, freed with its last owner; or memory of somebody else, which is not freed.
class Storage {
 public:
  Storage(MemoryResource& memory, std::size_t bytes) : memory_(&memory), bytes_(bytes), data_(memory.allocate(bytes)) {}
  Storage(void* borrowed, std::size_t bytes) : bytes_(bytes), data_(borrowed) {}
  ~Storage() {
    if (memory_ != nullptr) memory_->deallocate(data_, bytes_);
  }
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  bool borrowed() const { return memory_ == nullptr; }

 private:
  MemoryResource* memory_ = nullptr;
  std::size_t bytes_;
  void* data_;
};

}  // namespace braing3n::inline BRAING3N_ABI
