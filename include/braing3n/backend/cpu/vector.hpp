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

#include "braing3n/base/config.hpp"

/// "Unroll the next loop completely" (its trip count is a small constant).
#if defined(__clang__)
#define BRAING3N_UNROLL _Pragma("clang loop unroll(full)")
#else
#define BRAING3N_UNROLL _Pragma("GCC unroll 16")
#endif

namespace braing3n::inline BRAING3N_ABI {

template <class T, int W>
struct Lanes {
  static constexpr int width = W;
  typedef T type __attribute__((vector_size(W * sizeof(T)), aligned(sizeof(T)), may_alias));
  using Int = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  typedef Int int_type __attribute__((vector_size(W * sizeof(T)), aligned(sizeof(T)), may_alias));

  BRAING3N_INLINE static const type& at(const T* p) { return *reinterpret_cast<const type*>(p); }
  BRAING3N_INLINE static type& at(T* p) { return *reinterpret_cast<type*>(p); }

  BRAING3N_INLINE static void max(type& x, const type& y) { x = x > y ? x : y; }

  /// x = 2^x for x <= 0, at most 2 ulp off; below 2^-125 the result stays near 2^-125 for float.
  BRAING3N_INLINE static void exp2_nonpositive(type& x) {
    if constexpr (std::is_same_v<T, float>) {
      constexpr float magic = 12582912.0f;  // 1.5 * 2^23 rounds to an integer and leaves it in the low bits
      const type low = type{} - 125.0f;
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
      x = reinterpret_cast<type>(reinterpret_cast<int_type>(p) + (reinterpret_cast<int_type>(shifted) << 23));
    } else {
      for (int lane = 0; lane < W; ++lane) x[lane] = std::exp2(x[lane]);
    }
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
