// Element types by policy. Statistics, softmax, losses, time and condition embeddings are always Accum or better.
#pragma once

#include <concepts>
#include <cstdint>

#include "braing3n/base/bfloat16.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Tests and references.
struct F64 {
  using Param = double;    // what the optimiser keeps
  using Compute = double;  // activations and the weights that products read
  using Accum = double;    // sums
  static constexpr const char* name = "f64";
};
struct F32 {
  using Param = float;
  using Compute = float;
  using Accum = float;
  static constexpr const char* name = "f32";
};
/// On the CPU for inference with bf16 weights; on CUDA for training too, once models run there.
struct BF16 {
  using Param = float;
  using Compute = bfloat16;
  using Accum = float;
  static constexpr const char* name = "bf16";
};

template <class P>
concept Precision = std::same_as<P, F64> || std::same_as<P, F32> || std::same_as<P, BF16>;

/// The policy for parts that stay in fp32 or better.
template <Precision P>
using wide_t = std::conditional_t<std::is_same_v<P, BF16>, F32, P>;

/// The type in which values of type T are summed.
template <class T>
struct AccumOf {
  using type = T;
};
template <>
struct AccumOf<bfloat16> {
  using type = float;
};
template <class T>
using accum_t = typename AccumOf<T>::type;

template <class T>
constexpr const char* type_name();
template <>
constexpr const char* type_name<double>() {
  return "f64";
}
template <>
constexpr const char* type_name<float>() {
  return "f32";
}
template <>
constexpr const char* type_name<bfloat16>() {
  return "bf16";
}
template <>
constexpr const char* type_name<std::int32_t>() {
  return "i32";
}
template <>
constexpr const char* type_name<std::int64_t>() {
  return "i64";
}
template <>
constexpr const char* type_name<std::uint8_t>() {
  return "u8";
}

}  // namespace braing3n::inline BRAING3N_ABI
