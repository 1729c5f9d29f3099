// Rows of features that somebody else owns: what probes and measures are given.
#pragma once

#include <span>

#include "braing3n/base/shape.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// A table of features in row-major order that somebody else owns.
template <class T>
struct FeatureView {
  const T* data = nullptr;  // (rows, features)
  Index rows = 0, features = 0;

  std::span<const T> row(Index i) const { return {data + i * features, static_cast<std::size_t>(features)}; }
};

}  // namespace braing3n::inline BRAING3N_ABI
