// Vectors as a language type: `typename Lanes<T, W>::type` holds W values and has + - * / and comparisons lane by lane.
//
// g++ and clang translate them to the widest registers of the function they end up in, so one always-inlined kernel gives
// AVX-512, AVX2 and baseline code (call it inside vectorized-like wrappers), for float and for double. Used where a kernel
// must say which values stay in registers; plain loops are left to the vectoriser.
// Vectors are passed by reference: by value their ABI would depend on the instruction set.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "braing3n/base/config.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// f(0), ..., f(N - 1) with the numbers as constants: a loop that is unrolled at every optimisation level, without pragmas (no
/// two compilers agree on them), so that arrays indexed by them become registers.
template <int... I, class F>
BRAING3N_INLINE void unroll(std::integer_sequence<int, I...>, const F& f) {
  (f(std::integral_constant<int, I>()), ...);
}
template <int N, class F>
BRAING3N_INLINE void unroll(const F& f) {
  unroll(std::make_integer_sequence<int, N>(), f);
}

template <class T, int W>
struct Lanes {
  static constexpr int width = W;
  typedef T type __attribute__((vector_size(W * sizeof(T)), aligned(sizeof(T)), may_alias));
  using Int = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  typedef Int int_type __attribute__((vector_size(W * sizeof(T)), aligned(sizeof(T)), may_alias));

  BRAING3N_INLINE static const type& at(const T* p) { return *reinterpret_cast<const type*>(p); }
  BRAING3N_INLINE static type& at(T* p) { return *reinterpret_cast<type*>(p); }

  BRAING3N_INLINE static const int_type& bits(const type& x) { return reinterpret_cast<const int_type&>(x); }
  BRAING3N_INLINE static void max(type& x, const type& y) { x = x > y ? x : y; }

  /// x = 2^x for x <= 0, at most 2 ulp off; below 2^-125 the result stays near 2^-125 for float.
  BRAING3N_INLINE static void exp2_nonpositive(type& x) {
    if constexpr (std::is_same_v<T, float>) {
      constexpr float magic = 12582912.0f;  // 1.5 * 2^23 rounds to an integer and leaves it in the low bits
      type low = {};                        // not type{}: nvcc's front end ends at that with a segmentation fault
      low -= 125.0f;
      const type v = x < low ? low : x;  // a NaN passes
      const type shifted = v + magic;
      const type f = v - (shifted - magic);
      // 2^f on |f| <= 1/2, relative error 2e-9 (minimax).
      type p = f * 1.53532448e-4f + 1.33990033e-3f;
      p = p * f + 9.61843865e-3f;
      p = p * f + 5.55033216e-2f;
      p = p * f + 2.40226479e-1f;
      p = p * f + 6.93147203e-1f;
      p = p * f + 1.0f;
      const int_type scaled = bits(p) + (bits(shifted) << 23);
      x = reinterpret_cast<const type&>(scaled);
    } else {
      for (int lane = 0; lane < W; ++lane) x[lane] = std::exp2(x[lane]);
    }
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
