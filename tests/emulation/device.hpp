// The words of CUDA C++ that stand in kernels, for the host compiler. `__shared__` is missing on purpose: kernels write BRAING3N_SHARED,
// which gives every block memory of its own.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
#define __grid_constant__
#define BRAING3N_UNROLL_FOR for

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}  // implicit, as CUDA's
};

// Set before a thread of a kernel runs and whenever it goes on.
extern thread_local uint3 threadIdx, blockIdx;
extern thread_local dim3 blockDim, gridDim;
constexpr int warpSize = 32;

namespace emulation {

/// Whoever waits or hands something on says where: reports name that line.
using Where = std::source_location;

void barrier(const char* what, const Where& at);
[[noreturn]] void kernel_fault(const char* what, const Where& at, const char* problem);
/// Place of the running thread in its block, x fastest, and in its warp.
int linear_thread();
inline int lane() { return linear_thread() % warpSize; }

/// Memory of the running block that is the same for all its threads. `key` tells the arrays of a kernel apart.
void* static_shared(const void* key, std::size_t bytes);
char* dynamic_shared(const Where& at);

/// cp.async: the copy happens when the thread waits for its group.
void copy_async(void* to, const void* from, unsigned bytes, const Where& at);  // from null: zeros
void copy_commit();
void copy_wait(int pending);

/// One exchange among the lanes that `mask` names: each hands in up to three words, waits for the others, and reads theirs.
class Exchange {
 public:
  Exchange(unsigned mask, const std::uint64_t* words, int count, const char* what, const Where& at);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;
  /// Word i of a lane. A lane that takes no part is a fault.
  std::uint64_t word(int of_lane, int i = 0) const;

 private:
  unsigned mask_;
  const char* what_;
  Where at_;
  int record_;
};

template <class T>
T shuffle(unsigned mask, T value, int source, const char* what, const Where& at) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
  std::uint64_t word = 0;
  std::memcpy(&word, &value, sizeof(T));
  const Exchange exchange(mask, &word, 1, what, at);
  word = exchange.word(source);
  std::memcpy(&value, &word, sizeof(T));
  return value;
}
/// The lane that lies `step` away in the part of `width` lanes, or the lane itself when that is outside.
inline int neighbour(int step, int width) {
  const int self = lane(), first = self / width * width, other = self + step;
  return other >= first && other < first + width ? other : self;
}
/// One bit per lane that takes part and says yes.
unsigned ballot(unsigned mask, bool yes, const char* what, const Where& at);

}  // namespace emulation

#define BRAING3N_SHARED(T, name, n) \
  static char name##_key = 0;       \
  T* const name = static_cast<T*>(::emulation::static_shared(&name##_key, sizeof(T) * (n)))

inline void __syncthreads(const emulation::Where& at = emulation::Where::current()) {
  emulation::barrier("__syncthreads", at);
}
inline void __syncwarp(unsigned mask = 0xffffffffu, const emulation::Where& at = emulation::Where::current()) {
  const std::uint64_t word = 0;
  const emulation::Exchange exchange(mask, &word, 1, "__syncwarp", at);
}
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = warpSize,
              const emulation::Where& at = emulation::Where::current()) {
  return emulation::shuffle(mask, value, emulation::lane() / width * width + source % width, "__shfl_sync", at);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = warpSize,
                  const emulation::Where& at = emulation::Where::current()) {
  return emulation::shuffle(mask, value, emulation::neighbour((emulation::lane() ^ bits) - emulation::lane(), width),
                            "__shfl_xor_sync", at);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned step, int width = warpSize,
                   const emulation::Where& at = emulation::Where::current()) {
  return emulation::shuffle(mask, value, emulation::neighbour(static_cast<int>(step), width), "__shfl_down_sync", at);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned step, int width = warpSize,
                 const emulation::Where& at = emulation::Where::current()) {
  return emulation::shuffle(mask, value, emulation::neighbour(-static_cast<int>(step), width), "__shfl_up_sync", at);
}
inline unsigned __ballot_sync(unsigned mask, int yes, const emulation::Where& at = emulation::Where::current()) {
  return emulation::ballot(mask, yes != 0, "__ballot_sync", at);
}
inline int __any_sync(unsigned mask, int yes, const emulation::Where& at = emulation::Where::current()) {
  return emulation::ballot(mask, yes != 0, "__any_sync", at) != 0 ? 1 : 0;
}
inline int __all_sync(unsigned mask, int yes, const emulation::Where& at = emulation::Where::current()) {
  return emulation::ballot(mask, yes == 0, "__all_sync", at) == 0 ? 1 : 0;
}
