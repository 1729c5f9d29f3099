// Which attention calls the flash kernels take, and their instances for heads of some widths.
#pragma once

#if !defined(__CUDACC__) && !defined(BRAING3N_EMULATE_CUDA)
#error "braing3n/backend/cuda/flash.cuh needs nvcc: include it from a .cu file and link braing3n::cuda"
#endif

#include <limits>
#include <type_traits>

#include "braing3n/backend/cuda/flash_backward.cuh"
#include "braing3n/backend/cuda/flash_forward.cuh"

namespace braing3n::inline BRAING3N_ABI::detail {

constexpr Index flash_widest = 128;

/// Copies go 16 bytes at a time: eight elements, all of one head.
inline bool flash_aligned(const bfloat16* p, Index row = 8, Index sample = 8) {
  return reinterpret_cast<std::uintptr_t>(p) % 16 == 0 && row % 8 == 0 && sample % 8 == 0;
}
inline bool flash_fits(const AttentionCall<bfloat16>& c) {
  return c.width > 0 && c.width % 8 == 0 && c.width <= flash_widest &&
         std::max(c.queries, c.keys) <= std::numeric_limits<int>::max() / 2 &&
         flash_aligned(c.q, c.q_row, c.q_sample) && flash_aligned(c.k, c.k_row, c.k_sample) &&
         flash_aligned(c.v, c.v_row, c.v_sample) && flash_aligned(c.y);
}

inline bool flash_fits(const AttentionCall<bfloat16>& c, const AttentionGradients<bfloat16>& g) {
  return flash_fits(c) && flash_aligned(g.dy) && flash_aligned(g.dq) && flash_aligned(g.dk) && flash_aligned(g.dv);
}

/// Calls f(std::integral_constant<int, W>) with the narrowest kernel that takes heads of `width`; columns past the width are zeros.
template <class F>
void with_flash_width(Index width, const F& f) {
  if (width <= 32) f(std::integral_constant<int, 32>{});
  else if (width <= 64) f(std::integral_constant<int, 64>{});
  else if (width <= 72) f(std::integral_constant<int, 72>{});
  else if (width <= 96) f(std::integral_constant<int, 96>{});
  else f(std::integral_constant<int, flash_widest>{});
}

}  // namespace braing3n::inline BRAING3N_ABI::detail
