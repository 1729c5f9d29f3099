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

// The rows are template arguments in fold expressions: unrolled at every optimisation level, and no lambda or pragma that
// one of the compilers would not take. Rows are addressed in groups of three, one pointer per group and the distance once, so
// that every address stays in a register.
template <class T, class Rows>
struct TileAvx512;

template <class T, int... I>
struct TileAvx512<T, std::integer_sequence<int, I...>> {
  using Z = Zmm<T>;
  using V = typename Z::V;
  using Acc = accum_t<T>;
  static constexpr int rows = sizeof...(I);
  static constexpr int pointers = (rows + 2) / 3;
  static constexpr Index w = Z::width;
  static constexpr Index group = std::is_same_v<T, bfloat16> ? 2 : 1;
  static constexpr Index half_row = w * group;

  // Compilers would move the broadcasts of several steps to the front and then spill; this keeps rows in order.
  BRAING3N_TARGET_AVX512 BRAING3N_INLINE static void keep_order(V& x, V& y) { asm volatile("" : "+v"(x), "+v"(y) : : "memory"); }

  template <class LastOfOdd>
  BRAING3N_TARGET_AVX512 BRAING3N_INLINE static void step(V (&x)[rows], V (&y)[rows], const T* const (&a)[pointers], Index lda, Index u,
                                                          const T* b, LastOfOdd last_of_odd) {
    const V b0 = Z::load(b), b1 = Z::load(b + half_row);
    _mm_prefetch(reinterpret_cast<const char*>(b + 16 * half_row), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(b + 17 * half_row), _MM_HINT_T0);
    V s;
    ((s = Z::broadcast(a[I / 3] + (I % 3) * lda + u * group, last_of_odd), x[I] = Z::fma(s, b0, x[I]), y[I] = Z::fma(s, b1, y[I]),
      keep_order(x[I], y[I])),
     ...);
  }

  BRAING3N_TARGET_AVX512 static void run(const TileCall<T, Acc>& call) {
    V x[rows], y[rows];
    ((x[I] = y[I] = Z::zero()), ...);
    const Index lda = call.lda;
    for (Index t = 0; t < call.term_count; ++t) {
      const T* b = call.terms[t].b;
      const T* a[pointers];
      ((a[I / 3] = call.terms[t].a + I / 3 * 3 * lda), ...);
      Index k = call.k / group;
      for (; k >= 4; k -= 4, b += 8 * half_row) {
        step(x, y, a, lda, 0, b, std::false_type());
        step(x, y, a, lda, 1, b + 2 * half_row, std::false_type());
        step(x, y, a, lda, 2, b + 4 * half_row, std::false_type());
        step(x, y, a, lda, 3, b + 6 * half_row, std::false_type());
        ((a[I / 3] += I % 3 == 0 ? 4 * group : 0), ...);
      }
      for (Index u = 0; u < k; ++u, b += 2 * half_row) step(x, y, a, lda, u, b, std::false_type());
      if constexpr (group == 2)
        if (call.k % 2 != 0) step(x, y, a, lda, k, b, std::true_type());
    }
    const typename Z::Mask m0 = lane_mask<Z>(call.cols), m1 = lane_mask<Z>(call.cols - w);
    Acc* c = call.c;
    const Index ldc = call.ldc;
    if (call.accumulate) ((x[I] = Z::add(x[I], Z::load(m0, c + I * ldc)), y[I] = Z::add(y[I], Z::load(m1, c + I * ldc + w))), ...);
    ((Z::store(c + I * ldc, m0, x[I]), Z::store(c + I * ldc + w, m1, y[I])), ...);
  }
};

template <class T, std::size_t... R>
constexpr auto tiles_avx512(std::index_sequence<R...>) {
  return std::array<void (*)(const TileCall<T, accum_t<T>>&), sizeof...(R)>{TileAvx512<T, std::make_integer_sequence<int, static_cast<int>(R) + 1>>::run...};
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
