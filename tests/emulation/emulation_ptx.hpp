// The functions of backend/cuda/ptx.cuh lane by lane, as the PTX manual lays them out. Included by that header.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "braing3n/base/bfloat16.hpp"
#include "device.hpp"

namespace braing3n::inline BRAING3N_ABI::detail {

inline float low_bf16(std::uint32_t pair) { return std::bit_cast<float>(pair << 16); }
inline float high_bf16(std::uint32_t pair) { return std::bit_cast<float>(pair & 0xffff0000u); }

/// Lane l holds a[2 h + r] = rows l / 4 + 8 r, columns 8 h + 2 (l % 4) and the next; b[h] = rows 8 h + 2 (l % 4) and the next of column
/// l / 4; d[2 r + c] = row l / 4 + 8 r, column 2 (l % 4) + c.
inline void mma_bf16_16x8x16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                             const emulation::Where& at = emulation::Where::current()) {
  const auto pair = [](std::uint32_t low, std::uint32_t high) { return low | std::uint64_t{high} << 32; };
  const std::uint64_t words[3] = {pair(a[0], a[1]), pair(a[2], a[3]), pair(b[0], b[1])};
  const emulation::Exchange lanes(0xffffffffu, words, 3, "mma.m16n8k16", at);
  const int group = emulation::lane() / 4, place = emulation::lane() % 4;
  for (int i = 0; i < 4; ++i) {
    const int row = i / 2, column = 2 * place + i % 2;
    float sum = 0;
    for (int half = 0; half < 2; ++half)
      for (int q = 0; q < 4; ++q) {
        const auto in_a = static_cast<std::uint32_t>(lanes.word(4 * group + q, half) >> (32 * row));
        const auto in_b = static_cast<std::uint32_t>(lanes.word(4 * column + q, 2) >> (32 * half));
        sum += low_bf16(in_a) * low_bf16(in_b) + high_bf16(in_a) * high_bf16(in_b);
      }
    d[i] += sum;
  }
}

/// Lane l holds a[r] = row l / 4 + 8 r, columns 2 (l % 4) and the next; b = rows 2 (l % 4) and the next of column l / 4; d as above.
inline void mma_bf16_16x8x8(float (&d)[4], const std::uint32_t (&a)[2], std::uint32_t b,
                            const emulation::Where& at = emulation::Where::current()) {
  const std::uint64_t words[2] = {a[0] | std::uint64_t{a[1]} << 32, b};
  const emulation::Exchange lanes(0xffffffffu, words, 2, "mma.m16n8k8", at);
  const int group = emulation::lane() / 4, place = emulation::lane() % 4;
  for (int i = 0; i < 4; ++i) {
    const int row = i / 2, column = 2 * place + i % 2;
    float sum = 0;
    for (int q = 0; q < 4; ++q) {
      const auto in_a = static_cast<std::uint32_t>(lanes.word(4 * group + q, 0) >> (32 * row));
      const auto in_b = static_cast<std::uint32_t>(lanes.word(4 * column + q, 1));
      sum += low_bf16(in_a) * low_bf16(in_b) + high_bf16(in_a) * high_bf16(in_b);
    }
    d[i] += sum;
  }
}

inline std::uint32_t pack_bf16(float low, float high) {
  return bfloat16(low).bits | static_cast<std::uint32_t>(bfloat16(high).bits) << 16;
}
inline float exp2_approx(float x) {
  const float y = std::exp2(x);
  return y < 0x1p-126f ? 0.0f : y;
}

template <bool transposed>
void ldmatrix_x4(std::uint32_t (&r)[4], const void* row, const emulation::Where& at = emulation::Where::current()) {
  const auto address = reinterpret_cast<std::uintptr_t>(row);
  if (address % 16 != 0) emulation::kernel_fault("ldmatrix", at, "a row is not aligned to 16 bytes");
  const std::uint64_t word = address;
  const emulation::Exchange lanes(0xffffffffu, &word, 1, "ldmatrix", at);
  const int l = emulation::lane();
  for (int m = 0; m < 4; ++m) {
    std::uint16_t element[2];
    for (int i = 0; i < 2; ++i) {
      const int from = transposed ? 2 * (l % 4) + i : l / 4, column = transposed ? l / 4 : 2 * (l % 4) + i;
      std::memcpy(&element[i], reinterpret_cast<const char*>(lanes.word(8 * m + from)) + 2 * column, 2);
    }
    r[m] = element[0] | static_cast<std::uint32_t>(element[1]) << 16;
  }
}

inline void cp_async_16(void* shared, const void* global, bool valid,
                        const emulation::Where& at = emulation::Where::current()) {
  if ((reinterpret_cast<std::uintptr_t>(shared) | reinterpret_cast<std::uintptr_t>(global)) % 16 != 0)
    emulation::kernel_fault("cp.async", at, "an address is not aligned to 16 bytes");
  emulation::copy_async(shared, valid ? global : nullptr, 16, at);
}
inline void cp_async_commit() { emulation::copy_commit(); }
template <int pending>
void cp_async_wait() {
  emulation::copy_wait(pending);
}

inline char* dynamic_shared_memory(const emulation::Where& at = emulation::Where::current()) {
  return emulation::dynamic_shared(at);
}

}  // namespace braing3n::inline BRAING3N_ABI::detail
