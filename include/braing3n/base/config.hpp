// Version, ABI namespace and the few attributes that every header may use.
#pragma once

#include <cstdint>

// NaN marks missing values, files are checked for values that are not finite, and the elementary functions round by adding and taking
// away a large number: all of it means nothing to a compiler that may assume finite values or reorder sums.
#if (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__ > 0) || defined(__FAST_MATH__) || \
    defined(__ASSOCIATIVE_MATH__)
#error \
    "braing3n: files that include it cannot be compiled with -ffast-math, -Ofast, -ffinite-math-only or -fassociative-math"
#endif

#define BRAING3N_VERSION_MAJOR 0
#define BRAING3N_VERSION_MINOR 1
#define BRAING3N_VERSION_PATCH 0
#define BRAING3N_VERSION_STRING "0.1.0"

// The inline namespace carries the version and nothing else, so that two versions linked into one program cannot
// silently share symbols.
#define BRAING3N_ABI v0_1

// The only thing __CUDACC__ may change: the two function qualifiers. No body, member or overload depends on it.
#ifdef __CUDACC__
#define BRAING3N_HD __host__ __device__
#else
#define BRAING3N_HD
#endif

// A kernel body has to be inlined into the function that carries the
// instruction-set attribute, or it is compiled for the baseline instruction set.
#define BRAING3N_INLINE inline __attribute__((always_inline))

// "The iterations of the next loop do not depend on each other."
#if defined(__clang__)
#define BRAING3N_IVDEP _Pragma("clang loop vectorize(assume_safety)")
#else
#define BRAING3N_IVDEP _Pragma("GCC ivdep")
#endif

namespace braing3n::inline BRAING3N_ABI {

/// Sizes, offsets and counts. Signed, so that differences and downward loops are safe.
using Index = std::int64_t;

constexpr const char* version() { return BRAING3N_VERSION_STRING; }

}  // namespace braing3n::inline BRAING3N_ABI
