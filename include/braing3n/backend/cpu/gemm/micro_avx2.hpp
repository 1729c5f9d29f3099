// AVX2 + FMA micro-kernels: float 6 x 16, double 6 x 8 (contract: micro.hpp; built like micro_avx512.hpp).
//
// 12 accumulators, two vectors of B and one broadcast of A fill 15 of the 16 registers. The 16-bit formats need AVX-512:
// here bfloat16 products are computed as float (gemm_packed.hpp converts while packing).
#pragma once

#include <immintrin.h>

#include <array>
#include <utility>

#include "braing3n/backend/cpu/gemm/micro.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

template <class T>
struct Ymm;

template <>
struct Ymm<float> {
  using V = __m256;
  using Mask = __m256i;
  static constexpr Index width = 8;
  BRAING3N_TARGET_AVX2 BRAING3N_INLINE static V zero() { return _mm256_setzero_ps(); }
  BRAING3N_TARGET_AVX2 BRAING3N_INLINE static V load(const float* p) { return _mm256_load_ps(p); }
  BRAING3N_TARGET_AVX2 BRAING3N_INLINE static V broadcast(const float* p) { return _mm256_broadcast_ss(p); }
  BRAING3N_TARGET_AVX2 BRAING3N_INLINE static V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
  BRAING3N_TARGET_AVX2 BRAING3N_INLINE static V add(V a, V b) { return _mm256_add_ps(a, b); }
  BRAING3N_TARGET_AVX2 BRAING3N_INLINE static V load(Mask m, const float* p) { return _mm256_maskload_ps(p, m); }
  BRAING3N_TARGET_AVX2 BRAING3N_INLINE static void store(float* p, Mask m, V v) { _mm256_maskstore_ps(p, m, v); }
  BRAING3N_TARGET_AVX2 BRAING3N_INLINE static Mask mask(Index count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
};

template <>
struct Ymm<double> {
  using V = __m256d;
  using Mask = __m256i;
  static constexpr Index width = 4;
  BRAING3N_TARGET_AVX2 BRAING3N_INLINE static V zero() { return _mm256_setzero_pd(); }
  BRAING3N_TARGET_AVX2 BRAING3N_INLINE static V load(const double* p) { return _mm256_load_pd(p); }
  BRAING3N_TARGET_AVX2 BRAING3N_INLINE static V broadcast(const double* p) { return _mm256_broadcast_sd(p); }
  BRAING3N_TARGET_AVX2 BRAING3N_INLINE static V fma(V a, V b, V c) { return _mm256_fmadd_pd(a, b, c); }
  BRAING3N_TARGET_AVX2 BRAING3N_INLINE static V add(V a, V b) { return _mm256_add_pd(a, b); }
  BRAING3N_TARGET_AVX2 BRAING3N_INLINE static V load(Mask m, const double* p) { return _mm256_maskload_pd(p, m); }
  BRAING3N_TARGET_AVX2 BRAING3N_INLINE static void store(double* p, Mask m, V v) { _mm256_maskstore_pd(p, m, v); }
  BRAING3N_TARGET_AVX2 BRAING3N_INLINE static Mask mask(Index count) {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(count), _mm256_setr_epi64x(0, 1, 2, 3));
  }
};

// As transpose_16x16 of micro_avx512.hpp, with two pieces of rows r and r + 4 (double: r + 2) in a vector.
BRAING3N_TARGET_AVX2 inline void transpose_8x8_words(const char* from, Index from_bytes, char* to, Index to_bytes) {
  for (int quad = 0; quad < 2; ++quad) {
    __m256 v[4];
    for (int r = 0; r < 4; ++r) {
      const char* row = from + r * from_bytes + 16 * quad;
      v[r] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(reinterpret_cast<const float*>(row))),
                                  _mm_loadu_ps(reinterpret_cast<const float*>(row + 4 * from_bytes)), 1);
    }
    const __m256d lo01 = _mm256_castps_pd(_mm256_unpacklo_ps(v[0], v[1])),
                  hi01 = _mm256_castps_pd(_mm256_unpackhi_ps(v[0], v[1]));
    const __m256d lo23 = _mm256_castps_pd(_mm256_unpacklo_ps(v[2], v[3])),
                  hi23 = _mm256_castps_pd(_mm256_unpackhi_ps(v[2], v[3]));
    char* out = to + 4 * quad * to_bytes;
    _mm256_storeu_pd(reinterpret_cast<double*>(out), _mm256_unpacklo_pd(lo01, lo23));
    _mm256_storeu_pd(reinterpret_cast<double*>(out + to_bytes), _mm256_unpackhi_pd(lo01, lo23));
    _mm256_storeu_pd(reinterpret_cast<double*>(out + 2 * to_bytes), _mm256_unpacklo_pd(hi01, hi23));
    _mm256_storeu_pd(reinterpret_cast<double*>(out + 3 * to_bytes), _mm256_unpackhi_pd(hi01, hi23));
  }
}

BRAING3N_TARGET_AVX2 inline void transpose_4x4_words(const char* from, Index from_bytes, char* to, Index to_bytes) {
  for (int pair = 0; pair < 2; ++pair) {
    __m256d v[2];
    for (int r = 0; r < 2; ++r) {
      const char* row = from + r * from_bytes + 16 * pair;
      v[r] = _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(reinterpret_cast<const double*>(row))),
                                  _mm_loadu_pd(reinterpret_cast<const double*>(row + 2 * from_bytes)), 1);
    }
    char* out = to + 2 * pair * to_bytes;
    _mm256_storeu_pd(reinterpret_cast<double*>(out), _mm256_unpacklo_pd(v[0], v[1]));
    _mm256_storeu_pd(reinterpret_cast<double*>(out + to_bytes), _mm256_unpackhi_pd(v[0], v[1]));
  }
}

template <class T, class Rows>
struct TileAvx2;

template <class T, int... I>
struct TileAvx2<T, std::integer_sequence<int, I...>> {
  using Z = Ymm<T>;
  using V = typename Z::V;
  static constexpr int rows = sizeof...(I);
  static constexpr int pointers = (rows + 2) / 3;
  static constexpr Index w = Z::width;

  BRAING3N_TARGET_AVX2 BRAING3N_INLINE static void keep_order(V& x, V& y) {
    asm volatile("" : "+x"(x), "+x"(y) : : "memory");
  }

  BRAING3N_TARGET_AVX2 BRAING3N_INLINE static void step(V (&x)[rows], V (&y)[rows], const T* const (&a)[pointers],
                                                        Index lda, Index u, const T* b) {
    const V b0 = Z::load(b), b1 = Z::load(b + w);
    _mm_prefetch(reinterpret_cast<const char*>(b + 16 * w), _MM_HINT_T0);
    V s;
    ((s = Z::broadcast(a[I / 3] + (I % 3) * lda + u), x[I] = Z::fma(s, b0, x[I]), y[I] = Z::fma(s, b1, y[I]),
      keep_order(x[I], y[I])),
     ...);
  }

  /// Rows [first, first + rows) of the tile.
  BRAING3N_TARGET_AVX2 static void run(const TileCall<T, T>& call, Index first) {
    V x[rows], y[rows];
    ((x[I] = y[I] = Z::zero()), ...);
    const Index lda = call.lda;
    for (Index t = 0; t < call.term_count; ++t) {
      const T* b = call.terms[t].b;
      const T* a[pointers];
      ((a[I / 3] = call.terms[t].a + (first + I / 3 * 3) * lda), ...);
      Index k = call.k;
      for (; k >= 2; k -= 2, b += 4 * w) {
        step(x, y, a, lda, 0, b);
        step(x, y, a, lda, 1, b + 2 * w);
        ((a[I / 3] += I % 3 == 0 ? 2 : 0), ...);
      }
      if (k != 0) step(x, y, a, lda, 0, b);
    }
    const typename Z::Mask m0 = Z::mask(call.cols), m1 = Z::mask(call.cols - w);
    const Index ldc = call.ldc;
    T* c = call.c + first * ldc;
    if (call.accumulate)
      ((x[I] = Z::add(x[I], Z::load(m0, c + I * ldc)), y[I] = Z::add(y[I], Z::load(m1, c + I * ldc + w))), ...);
    ((Z::store(c + I * ldc, m0, x[I]), Z::store(c + I * ldc + w, m1, y[I])), ...);
  }
};

}  // namespace detail

/// T float or double.
template <class T>
struct MicroAvx2 {
  using In = T;
  using Acc = T;
  static constexpr Index rows = 6;
  static constexpr Index cols = 2 * detail::Ymm<T>::width;
  static constexpr Index k_group = 1;
  static constexpr Isa isa = Isa::avx2;
  static constexpr Index block = cols / 2;

  static void transpose(const void* from, Index from_bytes, void* to, Index to_bytes) {
    constexpr auto words = sizeof(T) == 8 ? detail::transpose_4x4_words : detail::transpose_8x8_words;
    words(static_cast<const char*>(from), from_bytes, static_cast<char*>(to), to_bytes);
  }

  static void tile(const TileCall<T, T>& call) {
    static constexpr std::array even = {kernel<2>, kernel<4>, kernel<6>};
    if (call.rows >= 2) even[static_cast<std::size_t>(call.rows / 2 - 1)](call, 0);
    if (call.rows % 2 != 0) kernel<1>(call, call.rows - 1);
  }

 private:
  template <int R>
  static constexpr auto kernel = detail::TileAvx2<T, std::make_integer_sequence<int, R>>::run;
};

}  // namespace braing3n::inline BRAING3N_ABI
