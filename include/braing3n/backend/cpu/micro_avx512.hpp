// AVX-512 micro-kernels: float 14 x 32, double 14 x 16, bfloat16 14 x 32 with float sums (contract: micro.hpp).
//
// 28 accumulators, two vectors of B and one broadcast of A fill 31 of the 32 registers, and 16 loads feed 28 multiply-adds.
#pragma once

#include <immintrin.h>

#include <array>
#include <cstring>
#include <type_traits>
#include <utility>

#include "braing3n/backend/cpu/micro.hpp"
#include "braing3n/backend/cpu/simd.hpp"
#include "braing3n/core/precision.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// The few operations a kernel needs, per element type of A and B. V holds a vector of B and a vector of sums alike.
template <class T>
struct Zmm;

template <>
struct Zmm<float> {
  using V = __m512;
  using Mask = __mmask16;
  static constexpr Index width = 16;
  BRAING3N_TARGET_AVX512 BRAING3N_INLINE static V zero() { return _mm512_setzero_ps(); }
  BRAING3N_TARGET_AVX512 BRAING3N_INLINE static V load(const float* p) { return _mm512_load_ps(p); }
  BRAING3N_TARGET_AVX512 BRAING3N_INLINE static V broadcast(const float* p, std::false_type) { return _mm512_set1_ps(*p); }
  BRAING3N_TARGET_AVX512 BRAING3N_INLINE static V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
  BRAING3N_TARGET_AVX512 BRAING3N_INLINE static V add(V a, V b) { return _mm512_add_ps(a, b); }
  BRAING3N_TARGET_AVX512 BRAING3N_INLINE static V load(Mask m, const float* p) { return _mm512_maskz_loadu_ps(m, p); }
  BRAING3N_TARGET_AVX512 BRAING3N_INLINE static void store(float* p, Mask m, V v) { _mm512_mask_storeu_ps(p, m, v); }
};

template <>
struct Zmm<double> {
  using V = __m512d;
  using Mask = __mmask8;
  static constexpr Index width = 8;
  BRAING3N_TARGET_AVX512 BRAING3N_INLINE static V zero() { return _mm512_setzero_pd(); }
  BRAING3N_TARGET_AVX512 BRAING3N_INLINE static V load(const double* p) { return _mm512_load_pd(p); }
  BRAING3N_TARGET_AVX512 BRAING3N_INLINE static V broadcast(const double* p, std::false_type) { return _mm512_set1_pd(*p); }
  BRAING3N_TARGET_AVX512 BRAING3N_INLINE static V fma(V a, V b, V c) { return _mm512_fmadd_pd(a, b, c); }
  BRAING3N_TARGET_AVX512 BRAING3N_INLINE static V add(V a, V b) { return _mm512_add_pd(a, b); }
  BRAING3N_TARGET_AVX512 BRAING3N_INLINE static V load(Mask m, const double* p) { return _mm512_maskz_loadu_pd(m, p); }
  BRAING3N_TARGET_AVX512 BRAING3N_INLINE static void store(double* p, Mask m, V v) { _mm512_mask_storeu_pd(p, m, v); }
};

/// Pairs of bfloat16 in the lanes of a float vector. The dot product is written as the instruction itself: as an intrinsic it
/// would need another target attribute, and with it a second copy of the kernel.
template <>
struct Zmm<bfloat16> : Zmm<float> {
  BRAING3N_TARGET_AVX512 BRAING3N_INLINE static V load(const bfloat16* p) { return _mm512_load_ps(reinterpret_cast<const float*>(p)); }
  BRAING3N_TARGET_AVX512 BRAING3N_INLINE static V broadcast(const bfloat16* p, std::false_type) {
    float pair;
    std::memcpy(&pair, p, sizeof(pair));
    return _mm512_set1_ps(pair);
  }
  /// The last element of an odd k, with a zero beside it.
  BRAING3N_TARGET_AVX512 BRAING3N_INLINE static V broadcast(const bfloat16* p, std::true_type) {
    return _mm512_castsi512_ps(_mm512_set1_epi32(p->bits));
  }
  BRAING3N_TARGET_AVX512 BRAING3N_INLINE static V fma(V a, V b, V c) {
    asm("vdpbf16ps %2, %1, %0" : "+v"(c) : "v"(a), "v"(b));
    return c;
  }
  using Zmm<float>::load;
};

/// The lowest `count` lanes, clamped to none and all.
template <class Z>
BRAING3N_INLINE typename Z::Mask lane_mask(Index count) {
  const Index lanes = count < 0 ? 0 : count > Z::width ? Z::width : count;
  return static_cast<typename Z::Mask>((1u << lanes) - 1u);
}

// Rows are addressed in groups of three, one pointer per group and the distance once, so that every address stays in a register.
template <class T, int R>
BRAING3N_TARGET_AVX512 inline void tile_avx512(const TileCall<T, accum_t<T>>& call) {
  using Z = Zmm<T>;
  using V = typename Z::V;
  constexpr Index w = Z::width;
  constexpr Index group = std::is_same_v<T, bfloat16> ? 2 : 1;
  constexpr Index panel_row = 2 * w * group;
  constexpr int pointers = (R + 2) / 3;
  V x[R], y[R];
#pragma GCC unroll 14
  for (int i = 0; i < R; ++i) x[i] = y[i] = Z::zero();
  const Index lda = call.lda, ldc = call.ldc;
  for (Index t = 0; t < call.term_count; ++t) {
    const T* b = call.terms[t].b;
    const T* a[pointers];
#pragma GCC unroll 5
    for (int g = 0; g < pointers; ++g) a[g] = call.terms[t].a + 3 * g * lda;
    const auto step = [&](Index u, auto last_of_odd) BRAING3N_LAMBDA_INLINE BRAING3N_TARGET_AVX512 {
      const V b0 = Z::load(b), b1 = Z::load(b + w * group);
      _mm_prefetch(reinterpret_cast<const char*>(b + 8 * panel_row), _MM_HINT_T0);
      _mm_prefetch(reinterpret_cast<const char*>(b + 8 * panel_row + w * group), _MM_HINT_T0);
      b += panel_row;
#pragma GCC unroll 14
      for (int i = 0; i < R; ++i) {
        const V s = Z::broadcast(a[i / 3] + (i % 3) * lda + u * group, last_of_odd);
        x[i] = Z::fma(s, b0, x[i]);
        y[i] = Z::fma(s, b1, y[i]);
        // Compilers would move the broadcasts of several steps to the front and then spill; this keeps rows in order.
        asm volatile("" : "+v"(x[i]), "+v"(y[i]) : : "memory");
      }
    };
    Index k = call.k / group;
    for (; k >= 4; k -= 4) {
      step(0, std::false_type());
      step(1, std::false_type());
      step(2, std::false_type());
      step(3, std::false_type());
#pragma GCC unroll 5
      for (int g = 0; g < pointers; ++g) a[g] += 4 * group;
    }
    for (Index u = 0; u < k; ++u) step(u, std::false_type());
    if constexpr (group == 2)
      if (call.k % 2 != 0) step(k, std::true_type());
  }
  const typename Z::Mask m0 = lane_mask<Z>(call.cols), m1 = lane_mask<Z>(call.cols - w);
#pragma GCC unroll 14
  for (int i = 0; i < R; ++i) {
    accum_t<T>* c = call.c + i * ldc;
    if (call.accumulate) {
      x[i] = Z::add(x[i], Z::load(m0, c));
      y[i] = Z::add(y[i], Z::load(m1, c + w));
    }
    Z::store(c, m0, x[i]);
    Z::store(c + w, m1, y[i]);
  }
}

template <class T, std::size_t... R>
constexpr auto tiles_avx512(std::index_sequence<R...>) {
  return std::array<void (*)(const TileCall<T, accum_t<T>>&), sizeof...(R)>{tile_avx512<T, static_cast<int>(R) + 1>...};
}

}  // namespace detail

/// T float, double (AVX-512) or bfloat16 (AVX512-BF16).
template <class T>
struct MicroAvx512 {
  using In = T;
  using Acc = accum_t<T>;
  static constexpr Index rows = 14;
  static constexpr Index cols = 2 * detail::Zmm<T>::width;
  static constexpr Index k_group = std::is_same_v<T, bfloat16> ? 2 : 1;
  static void tile(const TileCall<In, Acc>& call) {
    static constexpr auto tiles = detail::tiles_avx512<T>(std::make_index_sequence<rows>());
    tiles[static_cast<std::size_t>(call.rows - 1)](call);
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
