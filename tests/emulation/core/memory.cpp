// Device memory of the emulated CUDA runtime: NaN when fresh and when freed, guarded on both sides, known to copies.
// The guards hold a huge number, another one from allocation to allocation: no arithmetic leaves it as it is, and a copy from behind one
// array to behind another shows as well.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

#include "core/sanitizers.hpp"
#include "core/state.hpp"
#include "core/stream.hpp"

struct CUmemPoolHandle_st {
  int device = 0;
};

namespace emulation::core {
namespace {

constexpr std::size_t guard_bytes = 256;
constexpr int poison = 0xff;  // all bits set: a NaN in every floating-point type, -1 as an index

struct Allocation {
  std::size_t bytes = 0, room = 0;  // asked for; with the rest of the last 256 bytes
  int device = 0;
  unsigned char guard = 0;
};

std::mutex memory_mutex;
std::map<char*, Allocation> allocations;
std::map<int, std::size_t> used;  // bytes by device
std::map<void*, std::size_t> pinned;

}  // namespace

bool on_device(const void* p, std::size_t bytes) {
  const std::lock_guard lock(memory_mutex);
  auto* const c = static_cast<char*>(const_cast<void*>(p));
  const auto after = allocations.upper_bound(c);
  if (after == allocations.begin()) return false;
  const auto& [begin, allocation] = *std::prev(after);
  return c + bytes <= begin + allocation.bytes;
}

namespace {

void* allocate(std::size_t bytes, int device) {
  const std::lock_guard lock(memory_mutex);
  Allocation a;
  a.bytes = bytes, a.room = (bytes + 255) / 256 * 256, a.device = device;
  a.guard = static_cast<unsigned char>(0x70 + counted().allocations % 11);
  if (used[device] + a.room > options().memory) return nullptr;
  auto* const whole = static_cast<char*>(std::aligned_alloc(256, a.room + 2 * guard_bytes));
  if (whole == nullptr) return nullptr;
  std::memset(whole, a.guard, a.room + 2 * guard_bytes);
  char* const p = whole + guard_bytes;
  std::memset(p, poison, bytes);
  forbid(whole, guard_bytes);
  forbid(p + bytes, a.room - bytes + guard_bytes);
  used[device] += a.room;
  allocations[p] = a;
  AtomicCounters& c = counted();
  ++c.allocations, c.allocated_bytes += bytes;
  ++c.live_allocations, c.live_bytes += bytes;
  return p;
}

void check_guard(const char* from, const char* to, const Allocation& a, const char* p) {
  const char* const wrong = std::find_if(from, to, [&](char c) { return c != static_cast<char>(a.guard); });
  if (wrong != to)
    add_fault("a kernel wrote outside its memory: byte " + std::to_string(wrong - p) + " of an allocation of " +
              std::to_string(a.bytes) + " bytes");
}

void release_memory(char* p) {
  Allocation a;
  {
    const std::lock_guard lock(memory_mutex);
    const auto found = allocations.find(p);
    if (found == allocations.end()) {
      add_fault("memory is freed that is not allocated");
      return;
    }
    a = found->second;
    allocations.erase(found);
    used[a.device] -= a.room;
  }
  --counted().live_allocations;
  counted().live_bytes -= a.bytes;
  char* const whole = p - guard_bytes;
  permit(whole, a.room + 2 * guard_bytes);
  check_guard(whole, p, a, p);
  check_guard(p + a.bytes, p + a.room + guard_bytes, a, p);
  std::memset(p, poison, a.bytes);  // for those who read it still
  std::free(whole);
}

}  // namespace
}  // namespace emulation::core

using namespace emulation::core;

cudaError_t cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps* properties) {
  if (properties->allocType != cudaMemAllocationTypePinned || properties->location.type != cudaMemLocationTypeDevice)
    return cudaErrorInvalidValue;
  if (properties->location.id < 0 || properties->location.id >= emulation::options().devices)
    return cudaErrorInvalidDevice;
  *pool = new CUmemPoolHandle_st{properties->location.id};
  return standing_error();
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) { return standing_error(); }
cudaError_t cudaMemPoolDestroy(cudaMemPool_t pool) {
  delete pool;
  return cudaSuccess;
}

cudaError_t cudaMallocFromPoolAsync(void** p, std::size_t bytes, cudaMemPool_t pool, cudaStream_t stream) {
  if (const cudaError_t error = standing_error(); error != cudaSuccess) return error;
  if (stream != nullptr && stream->device != pool->device) return cudaErrorInvalidValue;
  *p = allocate(bytes, pool->device);
  return *p == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
}
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  if (const cudaError_t error = standing_error(); error != cudaSuccess) return error;
  const std::lock_guard lock(memory_mutex);
  *total = emulation::options().memory;
  *free = *total - std::min(*total, used[current_device()]);
  return cudaSuccess;
}
cudaError_t cudaFreeAsync(void* p, cudaStream_t stream) {
  if (p != nullptr) submit(stream, [p] { release_memory(static_cast<char*>(p)); });
  return standing_error();
}

cudaError_t cudaMemsetAsync(void* p, int value, std::size_t bytes, cudaStream_t stream) {
  if (const cudaError_t error = standing_error(); error != cudaSuccess) return error;
  if (!on_device(p, bytes)) return cudaErrorInvalidValue;
  ++counted().fills;
  submit(stream, [=] { std::memset(p, value, bytes); });
  return standing_error();
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if (const cudaError_t error = standing_error(); error != cudaSuccess) return error;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (on_device(to, bytes) != to_device || on_device(from, bytes) != from_device) return cudaErrorInvalidValue;
  AtomicCounters& c = counted();
  ++(to_device && from_device ? c.copies_on_device : to_device ? c.copies_to_device : c.copies_to_host);
  // Whoever reads the host's copy before the stream was waited for reads NaN.
  if (!to_device && emulation::options().deferred && stream != nullptr) std::memset(to, poison, bytes);
  submit(stream, [=] { std::memcpy(to, from, bytes); });
  return standing_error();
}

// Host memory as any other: whoever frees it while a copy is on its way lets the copy read what is not there any more.
cudaError_t cudaHostAlloc(void** p, std::size_t bytes, unsigned) {
  if (const cudaError_t error = standing_error(); error != cudaSuccess) return error;
  *p = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (*p == nullptr) return cudaErrorMemoryAllocation;
  std::memset(*p, poison, bytes);
  ++counted().host_allocations;
  const std::lock_guard lock(memory_mutex);
  pinned[*p] = bytes;
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* p) {
  const std::lock_guard lock(memory_mutex);
  const auto found = pinned.find(p);
  if (found == pinned.end()) return cudaErrorInvalidValue;
  std::memset(p, poison, found->second);
  std::free(p);
  pinned.erase(found);
  return standing_error();
}
