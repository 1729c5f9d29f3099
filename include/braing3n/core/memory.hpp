// The memory a tensor lives in, behind one small interface.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "braing3n/base/config.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Bytes on their way to the host.
class HostRead {
 public:
  virtual ~HostRead() = default;
  HostRead() = default;
  HostRead(const HostRead&) = delete;
  HostRead& operator=(const HostRead&) = delete;

  /// Waits until they are there. They stay as long as this lives.
  virtual const void* wait() = 0;
};

/// Of a backend's memory. The system is the operating system, or the driver of a GPU, which has no prefaulted bytes.
struct MemoryStats {
  std::size_t live = 0;          // bytes in use
  std::size_t peak = 0;          // highest `live` since reset_peak()
  std::size_t reserved = 0;      // bytes held from the system, in use or kept
  std::size_t prefaulted = 0;    // bytes held besides, ready for new blocks
  std::size_t system_calls = 0;  // allocations that went to the system
};

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
  virtual void copy(void* to, const void* from, std::size_t bytes) = 0;            // both in this memory
  virtual void copy_from_host(void* to, const void* host, std::size_t bytes) = 0;  // `host` may change afterwards
  virtual void copy_to_host(void* host, const void* from, std::size_t bytes) = 0;
  /// Asks for a copy of what is there when all that was asked for before is done. Memory of the host copies at once. The result must
  /// not outlive this.
  virtual std::unique_ptr<HostRead> start_read(const void* from, std::size_t bytes);
};

namespace detail {

class FinishedRead final : public HostRead {
 public:
  explicit FinishedRead(std::size_t bytes) : bytes_(bytes) {}
  const void* wait() override { return bytes_.data(); }
  void* data() { return bytes_.data(); }

 private:
  std::vector<unsigned char> bytes_;  // from operator new, so aligned for any type
};

}  // namespace detail

inline std::unique_ptr<HostRead> MemoryResource::start_read(const void* from, std::size_t bytes) {
  auto read = std::make_unique<detail::FinishedRead>(bytes);
  copy_to_host(read->data(), from, bytes);
  return read;
}

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
