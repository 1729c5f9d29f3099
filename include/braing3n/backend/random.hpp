// What the random numbers of a backend are drawn from, and the class template that each backend specialises.
#pragma once

#include <span>

#include "braing3n/backend/kernels.hpp"
#include "braing3n/base/philox.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Numbers 0, 1, ... of one generator per sample: to[n per_sample + i] is number i of generators[n]. Integers of Philox are the same on
/// every backend, and with them uniform numbers. Normal numbers go through a logarithm, a sine and a cosine in double, whose last bits are
/// those of the platform: rounded to float they agree within 1 unit in the last place, in double within 8.
template <Backend B>
struct RandomKernel {
  /// Standard normal: Philox::normal.
  template <class T>
  static void normal(Context<B>&, std::span<const Philox>, Index, T*) {
    BRAING3N_REQUIRE_LAUNCH(B, T);
  }
  /// In [0, 1): Philox::uniform.
  template <class T>
  static void uniform(Context<B>&, std::span<const Philox>, Index, T*) {
    BRAING3N_REQUIRE_LAUNCH(B, T);
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
