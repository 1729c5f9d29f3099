// Weights must be numbers: one NaN in a model makes every result NaN, or, behind a softmax or a mask, quietly wrong.
#pragma once

#include <cmath>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>

#include "braing3n/base/error.hpp"
#include "braing3n/format/dtype.hpp"
#include "braing3n/format/named_tensor.hpp"
#include "braing3n/format/text.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct NonFiniteElement {
  Index at = 0;
  double value = 0;
};

/// The first element that is NaN or infinite as float32 (float64 beyond its range counts). Integers have none.
inline std::optional<NonFiniteElement> first_non_finite(const NamedTensor& t) {
  if (t.dtype == DType::boolean) return std::nullopt;
  return detail::with_dtype(t.dtype, [&](auto zero) -> std::optional<NonFiniteElement> {
    using Element = decltype(zero);
    if constexpr (!std::is_integral_v<Element>) {
      const auto as_float = [&](std::size_t i) {
        Element e;
        std::memcpy(&e, t.bytes.data() + i * sizeof(Element), sizeof(Element));
        if constexpr (std::is_same_v<Element, float16>) return to_float(e);
        else return static_cast<float>(e);
      };
      const std::size_t n = t.bytes.size() / sizeof(Element);
      constexpr std::size_t piece = 4096;
      for (std::size_t begin = 0; begin < n; begin += piece) {
        const std::size_t end = begin + piece < n ? begin + piece : n;
        bool good = true;
        for (std::size_t i = begin; i < end; ++i) good &= std::isfinite(as_float(i));
        if (good) continue;
        for (std::size_t i = begin; i < end; ++i)
          if (const float v = as_float(i); !std::isfinite(v))
            return NonFiniteElement{static_cast<Index>(i), static_cast<double>(v)};
      }
    }
    return std::nullopt;
  });
}

/// Throws Error (numeric) naming the first tensor with such an element. path: of the file, for the message.
inline void require_finite_weights(std::span<const NamedTensor> tensors, const std::string& path) {
  for (const NamedTensor& t : tensors)
    if (const auto found = first_non_finite(t))
      throw Error(
          ErrorKind::numeric, "weights.finite",
          concat("element ", found->at, " of ", in_quotes(t.name), " is ", found->value, ", expected finite weights"),
          path);
}

}  // namespace braing3n::inline BRAING3N_ABI
