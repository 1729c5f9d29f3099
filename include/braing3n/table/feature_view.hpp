// Rows of features that somebody else owns: what probes and measures are given.
#pragma once

#include "braing3n/base/shape.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// A table of features in row-major order that somebody else owns.
template <class T>
struct FeatureView {
  const T* data = nullptr;  // (rows, features)
  Index rows = 0, features = 0;
};

}  // namespace braing3n::inline BRAING3N_ABI
