// The multiply-add peak of this machine, now and on so many threads: what every benchmark divides by.
//
// Twelve independent chains of fused multiply-adds in registers, nothing else. The bfloat16 figure is the rate of the dot-product
// instruction in the same loop; it is a lower bound of what the unit can do, and products may exceed it.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "braing3n/backend/cpu/loops/simd.hpp"

namespace braing3n::bench {

namespace detail {

// The empty assembler statements keep the compiler from touching the chains.
constexpr int chains = 12;

BRAING3N_TARGET_AVX512 inline void fma_loop_avx512(long n) {
  __m512 v[chains];
#pragma GCC unroll 12
  for (int i = 0; i < chains; ++i) v[i] = _mm512_set1_ps(static_cast<float>(i) * 1e-3f);
  const __m512 x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(1e-6f);
  for (long k = 0; k < n; ++k) {
#pragma GCC unroll 12
    for (int i = 0; i < chains; ++i) {
      v[i] = _mm512_fmadd_ps(v[i], x, y);
      asm volatile("" : "+v"(v[i]));
    }
  }
}

BRAING3N_TARGET_AVX512 inline void bf16_loop_avx512(long n) {
  __m512 v[chains];
#pragma GCC unroll 12
  for (int i = 0; i < chains; ++i) v[i] = _mm512_set1_ps(static_cast<float>(i) * 1e-3f);
  const __m512 x = _mm512_castsi512_ps(_mm512_set1_epi32(0x3f003f00));  // pairs of 0.5
  for (long k = 0; k < n; ++k) {
#pragma GCC unroll 12
    for (int i = 0; i < chains; ++i) asm volatile("vdpbf16ps %1, %1, %0" : "+v"(v[i]) : "v"(x));
  }
}

BRAING3N_TARGET_AVX2 inline void fma_loop_avx2(long n) {
  __m256 v[chains];
#pragma GCC unroll 12
  for (int i = 0; i < chains; ++i) v[i] = _mm256_set1_ps(static_cast<float>(i) * 1e-3f);
  const __m256 x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(1e-6f);
  for (long k = 0; k < n; ++k) {
#pragma GCC unroll 12
    for (int i = 0; i < chains; ++i) {
      v[i] = _mm256_fmadd_ps(v[i], x, y);
      asm volatile("" : "+x"(v[i]));
    }
  }
}

inline void multiply_add_loop(long n) {
  __m128 v[chains];
#pragma GCC unroll 12
  for (int i = 0; i < chains; ++i) v[i] = _mm_set1_ps(static_cast<float>(i) * 1e-3f);
  const __m128 x = _mm_set1_ps(0.999f), y = _mm_set1_ps(1e-6f);
  for (long k = 0; k < n; ++k) {
#pragma GCC unroll 12
    for (int i = 0; i < chains; ++i) {
      v[i] = _mm_add_ps(_mm_mul_ps(v[i], x), y);
      asm volatile("" : "+x"(v[i]));
    }
  }
}

/// GFLOP per second of `threads` threads that each call loop(n).
inline double rate(void (*loop)(long), double flop_per_turn, int threads, double budget) {
  const auto elapsed = [&](long n) {
    const auto begin = std::chrono::steady_clock::now();
    std::vector<std::thread> others;
    for (int t = 1; t < threads; ++t) others.emplace_back(loop, n);
    loop(n);
    for (std::thread& t : others) t.join();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  long n = 100000;
  while (elapsed(n) < budget / 10) n *= 2;
  std::vector<double> rates;
  for (int round = 0; round < 7; ++round)
    rates.push_back(flop_per_turn * static_cast<double>(n) * threads / elapsed(n) * 1e-9);
  std::nth_element(rates.begin(), rates.begin() + 3, rates.end());
  return rates[3];
}

}  // namespace detail

/// GFLOP/s of fp32 multiply-adds at this instruction set on `threads` threads: the median of seven loops of `budget` / 10 seconds.
inline double fma_peak(Isa isa, int threads, double budget = 0.2) {
  if (isa >= Isa::avx512) return detail::rate(&detail::fma_loop_avx512, 2.0 * 16 * detail::chains, threads, budget);
  if (isa == Isa::avx2) return detail::rate(&detail::fma_loop_avx2, 2.0 * 8 * detail::chains, threads, budget);
  return detail::rate(&detail::multiply_add_loop, 2.0 * 4 * detail::chains, threads, budget);
}

/// GFLOP/s of bfloat16 dot products, 0 where the machine has none.
inline double bf16_peak(int threads, double budget = 0.2) {
  return detect_isa() < Isa::avx512bf16
             ? 0.0
             : detail::rate(&detail::bf16_loop_avx512, 2.0 * 32 * detail::chains, threads, budget);
}

}  // namespace braing3n::bench
