// AVX2 inner loop of the weight gradient, as conv_outer_avx512.hpp with half the vector width and 6 rows.
#pragma once

#include "braing3n/backend/cpu/conv/weight.hpp"
#include "braing3n/backend/cpu/gemm/micro_avx2.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

template <class T, class Rows>
struct OuterTileAvx2;

template <class T, int... I>
struct OuterTileAvx2<T, std::integer_sequence<int, I...>> {
  using Z = Ymm<T>;
  using V = typename Z::V;
  static constexpr Index w = Z::width;

  BRAING3N_TARGET_AVX2 BRAING3N_INLINE static void keep_order(V& x, V& y) {
    asm volatile("" : "+x"(x), "+x"(y) : : "memory");
  }

  /// Rows [first, first + sizeof...(I)) of the tile.
  BRAING3N_TARGET_AVX2 static void run(const OuterCall<T>& call, Index first) {
    const typename Z::Mask m0 = Z::mask(call.cols), m1 = Z::mask(call.cols - w);
    V x[sizeof...(I)], y[sizeof...(I)];
    ((x[I] = y[I] = Z::zero()), ...);
    const Index a_step = call.a_step, b_step = call.b_step, ldc = call.ldc;
    for (Index t = 0; t < call.term_count; ++t) {
      const T* a = call.terms[t].a + call.a_offset + first;
      const T* b = call.terms[t].b + call.b_offset;
      for (Index k = 0; k < call.k; ++k, a += a_step, b += b_step) {
        const V b0 = Z::load(m0, b), b1 = Z::load(m1, b + w);
        V s;
        ((s = Z::broadcast(a + I), x[I] = Z::fma(s, b0, x[I]), y[I] = Z::fma(s, b1, y[I]), keep_order(x[I], y[I])),
         ...);
      }
    }
    T* c = call.c + first * ldc;
    ((Z::store(c + I * ldc, m0, Z::add(x[I], Z::load(m0, c + I * ldc))),
      Z::store(c + I * ldc + w, m1, Z::add(y[I], Z::load(m1, c + I * ldc + w)))),
     ...);
  }
};

}  // namespace detail

/// T float or double.
template <class T>
struct OuterAvx2 {
  using In = T;
  static constexpr Index rows = 6;
  static constexpr Index cols = 2 * detail::Ymm<T>::width;
  static constexpr Index row_limit(Index) { return rows; }

  static void tile(const detail::OuterCall<T>& call) {
    static constexpr std::array kernels = {kernel<1>, kernel<2>, kernel<3>, kernel<4>, kernel<5>, kernel<6>};
    kernels[static_cast<std::size_t>(call.rows - 1)](call, 0);
  }

 private:
  template <int R>
  static constexpr auto kernel = detail::OuterTileAvx2<T, std::make_integer_sequence<int, R>>::run;
};

}  // namespace braing3n::inline BRAING3N_ABI
