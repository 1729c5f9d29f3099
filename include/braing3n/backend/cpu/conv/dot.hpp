// Micro-kernels for very few result channels (a decoder's last layer has one): columns of a tile would be empty, so vectors run
// along the sum instead. Contract of micro.hpp with cols = 1, except that B needs no alignment and the sum over k has one
// partial sum per lane, added up in a fixed order at the end.
#pragma once

#include "braing3n/backend/cpu/gemm/micro_avx2.hpp"
#include "braing3n/backend/cpu/gemm/micro_avx512.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

BRAING3N_TARGET_AVX2 BRAING3N_INLINE float sum_lanes(__m256 v) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}

template <class Rows>
struct DotAvx512Rows;
template <int... I>
struct DotAvx512Rows<std::integer_sequence<int, I...>> {
  BRAING3N_TARGET_AVX512 static void run(const TileCall<float, float>& call, Index first) {
    using Z = Zmm<float>;
    __m512 x[sizeof...(I)];
    ((x[I] = Z::zero()), ...);
    const Index lda = call.lda, whole = call.k / 16 * 16;
    const Z::Mask tail = lane_mask<Z>(call.k - whole);
    for (Index t = 0; t < call.term_count; ++t) {
      const float* a = call.terms[t].a + first * lda;
      const float* b = call.terms[t].b;
      for (Index k = 0; k < whole; k += 16) {
        const __m512 w = _mm512_loadu_ps(b + k);
        ((x[I] = Z::fma(_mm512_loadu_ps(a + I * lda + k), w, x[I])), ...);
      }
      if (tail != 0) {
        const __m512 w = Z::load(tail, b + whole);
        ((x[I] = Z::fma(Z::load(tail, a + I * lda + whole), w, x[I])), ...);
      }
    }
    float* c = call.c + first * call.ldc;
    const auto put = [&](Index r, float sum)
                         BRAING3N_LAMBDA_INLINE { c[r * call.ldc] = call.accumulate ? c[r * call.ldc] + sum : sum; };
    (put(I, sum_lanes(_mm256_add_ps(_mm512_maskz_extractf32x8_ps(0xff, x[I], 0),
                                    _mm512_maskz_extractf32x8_ps(0xff, x[I], 1)))),
     ...);
  }
};

template <class Rows>
struct DotAvx2Rows;
template <int... I>
struct DotAvx2Rows<std::integer_sequence<int, I...>> {
  BRAING3N_TARGET_AVX2 static void run(const TileCall<float, float>& call, Index first) {
    using Z = Ymm<float>;
    __m256 x[sizeof...(I)];
    ((x[I] = Z::zero()), ...);
    const Index lda = call.lda, whole = call.k / 8 * 8;
    const Z::Mask tail = Z::mask(call.k - whole);
    for (Index t = 0; t < call.term_count; ++t) {
      const float* a = call.terms[t].a + first * lda;
      const float* b = call.terms[t].b;
      for (Index k = 0; k < whole; k += 8) {
        const __m256 w = _mm256_loadu_ps(b + k);
        ((x[I] = Z::fma(_mm256_loadu_ps(a + I * lda + k), w, x[I])), ...);
      }
      if (whole < call.k) {
        const __m256 w = Z::load(tail, b + whole);
        ((x[I] = Z::fma(Z::load(tail, a + I * lda + whole), w, x[I])), ...);
      }
    }
    float* c = call.c + first * call.ldc;
    const auto put = [&](Index r, float sum)
                         BRAING3N_LAMBDA_INLINE { c[r * call.ldc] = call.accumulate ? c[r * call.ldc] + sum : sum; };
    (put(I, sum_lanes(x[I])), ...);
  }
};

/// Whole tiles of `Most` rows; smaller ones in fours and ones.
template <template <class> class Kernel, int Most>
struct DotMicro {
  using In = float;
  using Acc = float;
  static constexpr Index rows = Most;
  static constexpr Index cols = 1;
  static constexpr Index k_group = 1;
  static void tile(const TileCall<float, float>& call) {
    Index r = 0;
    if (call.rows == rows) return kernel<Most>(call, 0);
    for (; r + 4 <= call.rows; r += 4) kernel<4>(call, r);
    for (; r < call.rows; ++r) kernel<1>(call, r);
  }

 private:
  template <int R>
  static constexpr auto kernel = Kernel<std::make_integer_sequence<int, R>>::run;
};

}  // namespace detail

using DotAvx512 = detail::DotMicro<detail::DotAvx512Rows, 16>;
using DotAvx2 = detail::DotMicro<detail::DotAvx2Rows, 12>;

}  // namespace braing3n::inline BRAING3N_ABI
