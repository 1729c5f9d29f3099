// The micro-kernel of machines without AVX2: plain loops, 4 x 8 (contract: micro.hpp).
#pragma once

#include <cstring>

#include "braing3n/backend/cpu/gemm/micro.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// T float or double.
template <class T>
struct MicroPortable {
  using In = T;
  using Acc = T;
  static constexpr Index rows = 4;
  static constexpr Index cols = 8;
  static constexpr Index k_group = 1;
  static constexpr Isa isa = Isa::baseline;
  static constexpr Index block = 4;

  static void transpose(const void* from, Index from_bytes, void* to, Index to_bytes) {
    for (Index r = 0; r < block; ++r)
      for (Index c = 0; c < block; ++c)
        std::memcpy(static_cast<char*>(to) + c * to_bytes + r * Index{sizeof(T)},
                    static_cast<const char*>(from) + r * from_bytes + c * Index{sizeof(T)}, sizeof(T));
  }

  static void tile(const TileCall<T, T>& call) {
    if (call.rows == rows) {
      sum<4>(call, 0);
    } else {
      for (Index r = 0; r < call.rows; ++r) sum<1>(call, r);
    }
  }

 private:
  template <int R>
  static void sum(const TileCall<T, T>& call, Index first) {
    T x[R][cols] = {};
    for (Index t = 0; t < call.term_count; ++t) {
      const T* a = call.terms[t].a + first * call.lda;
      const T* b = call.terms[t].b;
      for (Index k = 0; k < call.k; ++k)
        for (int r = 0; r < R; ++r)
          for (Index j = 0; j < cols; ++j) x[r][j] += a[r * call.lda + k] * b[k * cols + j];
    }
    for (int r = 0; r < R; ++r) {
      T* c = call.c + (first + r) * call.ldc;
      for (Index j = 0; j < call.cols; ++j) c[j] = call.accumulate ? c[j] + x[r][j] : x[r][j];
    }
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
