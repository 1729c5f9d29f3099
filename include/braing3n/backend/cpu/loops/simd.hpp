// One binary for every x86-64, each loop at the width of the machine it runs on.
//
// A loop body is written once, in plain C++ and without intrinsics, as an always-inlined callable. vectorized(isa, body)
// inlines it into one of three functions that carry different instruction-set attributes, so the compiler vectorises the
// same source three times. No function body depends on a feature macro: every translation unit sees the same code.
#pragma once

#include <utility>

#include "braing3n/base/config.hpp"

// clang vectorises at 512 bits by itself once AVX-512 is there; g++ has to be told, and clang rejects the option.
#if defined(__clang__)
#define BRAING3N_PREFER_512
#else
#define BRAING3N_PREFER_512 ",prefer-vector-width=512"
#endif

#define BRAING3N_TARGET_AVX2 __attribute__((target("avx2,fma,f16c,bmi2")))
#define BRAING3N_TARGET_AVX512 \
  __attribute__((target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512dq,avx512vl" BRAING3N_PREFER_512)))
#define BRAING3N_TARGET_AVX512BF16 \
  __attribute__((target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16" BRAING3N_PREFER_512)))

namespace braing3n::inline BRAING3N_ABI {

/// Instruction sets the kernels are built for, each including the ones before it.
enum class Isa { baseline, avx2, avx512, avx512bf16 };

constexpr const char* to_string(Isa isa) {
  switch (isa) {
    case Isa::baseline:
      return "baseline";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    case Isa::avx512bf16:
      return "avx512bf16";
  }
  return "unknown";
}

/// What this processor has.
inline Isa detect_isa() {
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (avx512 && __builtin_cpu_supports("avx512bf16")) return Isa::avx512bf16;
  return avx512 ? Isa::avx512 : avx2 ? Isa::avx2 : Isa::baseline;
}

// With -O2 g++ vectorises only loops whose number of turns it knows; these are there to be vectorised. clang does it anyway, and does not
// know the attribute.
#if defined(__clang__)
#define BRAING3N_VECTORIZE
#else
#define BRAING3N_VECTORIZE __attribute__((optimize("tree-vectorize", "vect-cost-model=dynamic")))
#endif

namespace detail {
template <class F>
BRAING3N_TARGET_AVX512 BRAING3N_VECTORIZE inline void call_avx512(F& f) {
  f();
}
template <class F>
BRAING3N_TARGET_AVX2 BRAING3N_VECTORIZE inline void call_avx2(F& f) {
  f();
}
template <class F>
BRAING3N_VECTORIZE inline void call_baseline(F& f) {
  f();
}
}  // namespace detail

/// Calls body() compiled for `isa`. Declare the body as `[&]() BRAING3N_LAMBDA_INLINE { ... }`; what it calls in its loop
/// must be always inlined as well.
#define BRAING3N_LAMBDA_INLINE __attribute__((always_inline))

template <class F>
inline void vectorized(Isa isa, F&& body) {
  if (isa >= Isa::avx512) {
    detail::call_avx512(body);
  } else if (isa == Isa::avx2) {
    detail::call_avx2(body);
  } else {
    detail::call_baseline(body);
  }
}

/// The same for one instruction set known at compile time: a kernel that belongs to it anyway needs no other copies.
template <Isa isa, class F>
inline void vectorized_for(F&& body) {
  if constexpr (isa >= Isa::avx512) detail::call_avx512(body);
  else if constexpr (isa == Isa::avx2) detail::call_avx2(body);
  else detail::call_baseline(body);
}

}  // namespace braing3n::inline BRAING3N_ABI
