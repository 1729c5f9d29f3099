// AVX-512 inner loop of the weight gradient: C[r][j] += sum over terms, over k of a[k * a_step + r] * b[k * b_step + j].
//
// The other micro-kernels read a row of A along k; here k is the voxel and r the channel, so the broadcasts of one step lie side
// by side, and both operands are read in place.
#pragma once

#include "braing3n/backend/cpu/conv/weight.hpp"
#include "braing3n/backend/cpu/gemm/micro_avx512.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

template <class T, class Rows, bool Narrow>
struct OuterTileAvx512;

// Narrow: no more columns than one vector, and only one is computed.
template <class T, int... I, bool Narrow>
struct OuterTileAvx512<T, std::integer_sequence<int, I...>, Narrow> {
  using Z = Zmm<T>;
  using V = typename Z::V;
  static constexpr Index w = Z::width;

  // As in micro_avx512.hpp: without it the broadcasts of several steps move to the front, and the sums spill.
  BRAING3N_TARGET_AVX512 BRAING3N_INLINE static void keep_order(V& x, V& y) {
    asm volatile("" : "+v"(x), "+v"(y) : : "memory");
  }

  /// Rows [first, first + sizeof...(I)) of the tile.
  BRAING3N_TARGET_AVX512 static void run(const OuterCall<T>& call, Index first) {
    const typename Z::Mask m0 = lane_mask<Z>(call.cols);
    [[maybe_unused]] const typename Z::Mask m1 = lane_mask<Z>(call.cols - w);
    V x[sizeof...(I)], y[sizeof...(I)];
    ((x[I] = y[I] = Z::zero()), ...);
    const Index a_step = call.a_step, b_step = call.b_step, ldc = call.ldc;
    for (Index t = 0; t < call.term_count; ++t) {
      const T* a = call.terms[t].a + call.a_offset + first;
      const T* b = call.terms[t].b + call.b_offset;
      for (Index k = 0; k < call.k; ++k, a += a_step, b += b_step) {
        const V b0 = Z::load(m0, b);
        V s;
        if constexpr (Narrow) {
          ((s = Z::broadcast(a + I, std::false_type()), x[I] = Z::fma(s, b0, x[I]), keep_order(x[I], s)), ...);
        } else {
          const V b1 = Z::load(m1, b + w);
          ((s = Z::broadcast(a + I, std::false_type()), x[I] = Z::fma(s, b0, x[I]), y[I] = Z::fma(s, b1, y[I]),
            keep_order(x[I], y[I])),
           ...);
        }
      }
    }
    T* c = call.c + first * ldc;
    if constexpr (Narrow) (Z::store(c + I * ldc, m0, Z::add(x[I], Z::load(m0, c + I * ldc))), ...);
    else
      ((Z::store(c + I * ldc, m0, Z::add(x[I], Z::load(m0, c + I * ldc))),
        Z::store(c + I * ldc + w, m1, Z::add(y[I], Z::load(m1, c + I * ldc + w)))),
       ...);
  }
};

}  // namespace detail

/// T float or double.
template <class T>
struct OuterAvx512 {
  using In = T;
  static constexpr Index rows = 14;
  static constexpr Index cols = 2 * detail::Zmm<T>::width;
  /// The most rows of a tile of so many columns: with one vector per row there is room for a whole group of 16 channels.
  static constexpr Index row_limit(Index columns) { return columns <= cols / 2 ? 16 : rows; }

  // Even tiles, with the last three rows of an odd one apart: half as many kernels to compile.
  static void tile(const detail::OuterCall<T>& call) {
    if (call.cols <= detail::Zmm<T>::width) tile_of<true>(call);
    else tile_of<false>(call);
  }

 private:
  template <bool Narrow>
  static void tile_of(const detail::OuterCall<T>& call) {
    static constexpr auto even =
        kernels<Narrow>(std::make_integer_sequence<int, static_cast<int>(row_limit(Narrow ? 1 : cols) / 2)>());
    const Index rest = call.rows % 2 == 0 ? 0 : call.rows == 1 ? 1 : 3;
    if (call.rows > rest) even[static_cast<std::size_t>((call.rows - rest) / 2 - 1)](call, 0);
    if (rest == 3) kernel<3, Narrow>(call, call.rows - 3);
    if (rest == 1) kernel<1, Narrow>(call, 0);
  }
  template <int R, bool Narrow>
  static constexpr auto kernel = detail::OuterTileAvx512<T, std::make_integer_sequence<int, R>, Narrow>::run;
  template <bool Narrow, int... I>
  static constexpr auto kernels(std::integer_sequence<int, I...>) {
    return std::array{kernel<2 * I + 2, Narrow>...};
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
