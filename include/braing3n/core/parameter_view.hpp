// What an optimiser sees of a parameter: a name, a value to change, a gradient to read. It knows no modules.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "braing3n/core/tensor.hpp"

namespace braing3n::inline BRAING3N_ABI {

template <class T, Backend B>
struct ParameterView {
  std::string name;                 // for messages and for the state in files
  Tensor<T, B> value;               // shares the storage of the parameter
  Tensor<T, B> gradient;            // the same shape; shares the storage of the parameter's gradient
  bool decay = true;                // weight decay applies
  std::function<void()> changed{};  // called after `value` was changed: renews copies and caches made from it
};

template <class T, Backend B>
using ParameterViews = std::vector<ParameterView<T, B>>;

}  // namespace braing3n::inline BRAING3N_ABI
