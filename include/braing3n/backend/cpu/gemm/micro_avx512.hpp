// AVX-512 micro-kernels: float 14 x 32, double 14 x 16, bfloat16 14 x 32 with float sums (contract: micro.hpp).
//
// 28 accumulators, two vectors of B and one broadcast of A fill 31 of the 32 registers, and 16 loads feed 28 multiply-adds. Where
// the result has no more columns than one vector, the other vector and its half of the arithmetic are left out.
#pragma once

#include <immintrin.h>

#include <array>
#include <cstring>
#include <type_traits>
#include <utility>

#include "braing3n/backend/cpu/gemm/micro.hpp"
#include "braing3n/backend/cpu/loops/simd.hpp"
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
  BRAING3N_TARGET_AVX512 BRAING3N_INLINE static V broadcast(const float* p, std::false_type) {
    return _mm512_set1_ps(*p);
  }
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
  BRAING3N_TARGET_AVX512 BRAING3N_INLINE static V broadcast(const double* p, std::false_type) {
    return _mm512_set1_pd(*p);
  }
  BRAING3N_TARGET_AVX512 BRAING3N_INLINE static V fma(V a, V b, V c) { return _mm512_fmadd_pd(a, b, c); }
  BRAING3N_TARGET_AVX512 BRAING3N_INLINE static V add(V a, V b) { return _mm512_add_pd(a, b); }
  BRAING3N_TARGET_AVX512 BRAING3N_INLINE static V load(Mask m, const double* p) { return _mm512_maskz_loadu_pd(m, p); }
  BRAING3N_TARGET_AVX512 BRAING3N_INLINE static void store(double* p, Mask m, V v) { _mm512_mask_storeu_pd(p, m, v); }
};

/// Pairs of bfloat16 in the lanes of a float vector. The dot product is written as the instruction itself: as an intrinsic it
/// would need another target attribute, and with it a second copy of the kernel.
template <>
struct Zmm<bfloat16> : Zmm<float> {
  BRAING3N_TARGET_AVX512 BRAING3N_INLINE static V load(const bfloat16* p) {
    return _mm512_load_ps(reinterpret_cast<const float*>(p));
  }
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

// Four 128-bit pieces of rows r, r + 4, r + 8, r + 12 share a vector, so that a 4 x 4 transposition inside the 128-bit lanes is all
// that is left to do.
BRAING3N_TARGET_AVX512 inline void transpose_16x16(const char* from, Index from_bytes, char* to, Index to_bytes) {
  constexpr __mmask16 all = 0xffff;  // g++ 12 warns about the inside of the intrinsics without a mask
  for (int quad = 0; quad < 4; ++quad) {
    __m512 v[4];
    for (int r = 0; r < 4; ++r) {
      const char* row = from + r * from_bytes + 16 * quad;
      const auto piece = [&](int i) { return reinterpret_cast<const float*>(row + 4 * i * from_bytes); };
      v[r] = _mm512_castps128_ps512(_mm_loadu_ps(piece(0)));
      v[r] = _mm512_maskz_insertf32x4(all, v[r], _mm_loadu_ps(piece(1)), 1);
      v[r] = _mm512_maskz_insertf32x4(all, v[r], _mm_loadu_ps(piece(2)), 2);
      v[r] = _mm512_maskz_insertf32x4(all, v[r], _mm_loadu_ps(piece(3)), 3);
    }
    const __m512d lo01 = _mm512_castps_pd(_mm512_maskz_unpacklo_ps(all, v[0], v[1]));
    const __m512d hi01 = _mm512_castps_pd(_mm512_maskz_unpackhi_ps(all, v[0], v[1]));
    const __m512d lo23 = _mm512_castps_pd(_mm512_maskz_unpacklo_ps(all, v[2], v[3]));
    const __m512d hi23 = _mm512_castps_pd(_mm512_maskz_unpackhi_ps(all, v[2], v[3]));
    char* out = to + 4 * quad * to_bytes;
    _mm512_storeu_pd(reinterpret_cast<double*>(out), _mm512_maskz_unpacklo_pd(0xff, lo01, lo23));
    _mm512_storeu_pd(reinterpret_cast<double*>(out + to_bytes), _mm512_maskz_unpackhi_pd(0xff, lo01, lo23));
    _mm512_storeu_pd(reinterpret_cast<double*>(out + 2 * to_bytes), _mm512_maskz_unpacklo_pd(0xff, hi01, hi23));
    _mm512_storeu_pd(reinterpret_cast<double*>(out + 3 * to_bytes), _mm512_maskz_unpackhi_pd(0xff, hi01, hi23));
  }
}

BRAING3N_TARGET_AVX512 inline void transpose_8x8(const char* from, Index from_bytes, char* to, Index to_bytes) {
  constexpr __mmask8 all = 0xff;
  for (int pair = 0; pair < 4; ++pair) {
    __m512d v[2];
    for (int r = 0; r < 2; ++r) {
      const char* row = from + r * from_bytes + 16 * pair;
      const auto piece = [&](int i) { return reinterpret_cast<const double*>(row + 2 * i * from_bytes); };
      v[r] = _mm512_castpd128_pd512(_mm_loadu_pd(piece(0)));
      v[r] = _mm512_maskz_insertf64x2(all, v[r], _mm_loadu_pd(piece(1)), 1);
      v[r] = _mm512_maskz_insertf64x2(all, v[r], _mm_loadu_pd(piece(2)), 2);
      v[r] = _mm512_maskz_insertf64x2(all, v[r], _mm_loadu_pd(piece(3)), 3);
    }
    char* out = to + 2 * pair * to_bytes;
    _mm512_storeu_pd(reinterpret_cast<double*>(out), _mm512_maskz_unpacklo_pd(all, v[0], v[1]));
    _mm512_storeu_pd(reinterpret_cast<double*>(out + to_bytes), _mm512_maskz_unpackhi_pd(all, v[0], v[1]));
  }
}

/// The lowest `count` lanes, clamped to none and all.
template <class Z>
BRAING3N_INLINE typename Z::Mask lane_mask(Index count) {
  const Index lanes = count < 0 ? 0 : count > Z::width ? Z::width : count;
  return static_cast<typename Z::Mask>((1u << lanes) - 1u);
}

// The rows are template arguments in fold expressions: unrolled at every optimisation level, and no lambda or pragma that
// one of the compilers would not take. Rows are addressed in groups of three, one pointer per group and the distance once, so
// that every address stays in a register.
template <class T, class Rows, bool Narrow>
struct TileAvx512;

template <class T, int... I, bool Narrow>
struct TileAvx512<T, std::integer_sequence<int, I...>, Narrow> {
  using Z = Zmm<T>;
  using V = typename Z::V;
  using Acc = accum_t<T>;
  static constexpr int rows = sizeof...(I);
  static constexpr int pointers = (rows + 2) / 3;
  static constexpr Index w = Z::width;
  static constexpr Index group = std::is_same_v<T, bfloat16> ? 2 : 1;
  static constexpr Index half_row = w * group;

  // Compilers would move the broadcasts of several steps to the front and then spill; this keeps rows in order.
  BRAING3N_TARGET_AVX512 BRAING3N_INLINE static void keep_order(V& x, V& y) {
    asm volatile("" : "+v"(x), "+v"(y) : : "memory");
  }

  template <class LastOfOdd>
  BRAING3N_TARGET_AVX512 BRAING3N_INLINE static void step(V (&x)[rows], V (&y)[rows], const T* const (&a)[pointers],
                                                          Index lda, Index u, const T* b, LastOfOdd last_of_odd) {
    const V b0 = Z::load(b);
    V s;
    if constexpr (Narrow) {
      ((s = Z::broadcast(a[I / 3] + (I % 3) * lda + u * group, last_of_odd), x[I] = Z::fma(s, b0, x[I]),
        keep_order(x[I], s)),
       ...);
    } else {
      const V b1 = Z::load(b + half_row);
      _mm_prefetch(reinterpret_cast<const char*>(b + 16 * half_row), _MM_HINT_T0);
      _mm_prefetch(reinterpret_cast<const char*>(b + 17 * half_row), _MM_HINT_T0);
      ((s = Z::broadcast(a[I / 3] + (I % 3) * lda + u * group, last_of_odd), x[I] = Z::fma(s, b0, x[I]),
        y[I] = Z::fma(s, b1, y[I]), keep_order(x[I], y[I])),
       ...);
    }
  }

  /// Rows [first, first + rows) of the tile.
  BRAING3N_TARGET_AVX512 static void run(const TileCall<T, Acc>& call, Index first) {
    V x[rows], y[rows];
    ((x[I] = y[I] = Z::zero()), ...);
    const Index lda = call.lda;
    for (Index t = 0; t < call.term_count; ++t) {
      const T* b = call.terms[t].b;
      const T* a[pointers];
      ((a[I / 3] = call.terms[t].a + (first + I / 3 * 3) * lda), ...);
      Index k = call.k / group;
      for (; k >= 2; k -= 2, b += 4 * half_row) {
        step(x, y, a, lda, 0, b, std::false_type());
        step(x, y, a, lda, 1, b + 2 * half_row, std::false_type());
        ((a[I / 3] += I % 3 == 0 ? 2 * group : 0), ...);
      }
      if (k != 0) step(x, y, a, lda, 0, b, std::false_type()), b += 2 * half_row;
      if constexpr (group == 2)
        if (call.k % 2 != 0) step(x, y, a, lda, k, b, std::true_type());
    }
    const typename Z::Mask m0 = lane_mask<Z>(call.cols);
    const Index ldc = call.ldc;
    Acc* c = call.c + first * ldc;
    if constexpr (Narrow) {
      if (call.accumulate) ((x[I] = Z::add(x[I], Z::load(m0, c + I * ldc))), ...);
      (Z::store(c + I * ldc, m0, x[I]), ...);
      return;
    }
    const typename Z::Mask m1 = lane_mask<Z>(call.cols - w);
    if (call.accumulate)
      ((x[I] = Z::add(x[I], Z::load(m0, c + I * ldc)), y[I] = Z::add(y[I], Z::load(m1, c + I * ldc + w))), ...);
    ((Z::store(c + I * ldc, m0, x[I]), Z::store(c + I * ldc + w, m1, y[I])), ...);
  }
};

}  // namespace detail

/// T float, double (AVX-512) or bfloat16 (AVX512-BF16).
template <class T>
struct MicroAvx512 {
  using In = T;
  using Acc = accum_t<T>;
  static constexpr Index rows = sizeof(T) == 8 ? 8 : 14;
  static constexpr Index cols = 2 * detail::Zmm<T>::width;
  static constexpr Index k_group = std::is_same_v<T, bfloat16> ? 2 : 1;

  static constexpr Isa isa = k_group == 2 ? Isa::avx512bf16 : Isa::avx512;
  static constexpr Index block = cols / 2;

  static void transpose(const void* from, Index from_bytes, void* to, Index to_bytes) {
    constexpr auto blocks = sizeof(T) == 8 ? detail::transpose_8x8 : detail::transpose_16x16;
    blocks(static_cast<const char*>(from), from_bytes, static_cast<char*>(to), to_bytes);
  }

  // A tile with an odd number of rows is two calls, which saves half of the kernels and of their compile time.
  static void tile(const TileCall<In, Acc>& call) {
    if (call.cols <= detail::Zmm<T>::width) tile_of<true>(call);
    else tile_of<false>(call);
  }

 private:
  template <bool Narrow>
  static void tile_of(const TileCall<In, Acc>& call) {
    static constexpr auto even = kernels<Narrow>(std::make_integer_sequence<int, static_cast<int>(rows / 2)>());
    if (call.rows >= 2) even[static_cast<std::size_t>(call.rows / 2 - 1)](call, 0);
    if (call.rows % 2 != 0) kernel<1, Narrow>(call, call.rows - 1);
  }
  template <int R, bool Narrow>
  static constexpr auto kernel = detail::TileAvx512<T, std::make_integer_sequence<int, R>, Narrow>::run;
  template <bool Narrow, int... I>
  static constexpr auto kernels(std::integer_sequence<int, I...>) {
    return std::array{kernel<2 * I + 2, Narrow>...};
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
