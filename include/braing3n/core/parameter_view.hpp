// What an optimiser sees of a parameter: a name, a value to change, a gradient to read. It knows no modules.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "braing3n/base/bfloat16.hpp"
#include "braing3n/core/tensor.hpp"

namespace braing3n::inline BRAING3N_ABI {

template <class T, Backend B>
struct ParameterView {
  std::string name;                 // for messages and for the state in files
  Tensor<T, B> value;               // shares the storage of the parameter
  Tensor<T, B> gradient;            // the same shape; shares the storage of the parameter's gradient
  bool decay = true;                // weight decay applies
  std::function<void()> changed{};  // called after `value` was changed: renews copies and caches made from it
  Tensor<bfloat16, B> copy{};       // the copy in low precision, where an optimiser may renew it with the value
  std::function<void()> renewed{};  // called instead of `changed` by one that did
};

template <class T, Backend B>
using ParameterViews = std::vector<ParameterView<T, B>>;

/// Elements that a parameter of n elements takes in a block of several: a whole number of cache lines.
template <class T>
constexpr Index padded_elements(Index n) {
  constexpr Index line = 64 / static_cast<Index>(sizeof(T));
  return (n + line - 1) / line * line;
}

/// Parameters that stand one after the other, values and gradients alike, with nothing but padding in between: what is done to every element
/// needs one launch. Padding holds zeros and stays so.
template <class T, Backend B>
struct ParameterBlock {
  T* values = nullptr;
  T* gradients = nullptr;
  // `size` elements, written at every place, also of parameters without a copy (nn/flatten.hpp makes them so); null where some copy stands
  // elsewhere.
  bfloat16* copies = nullptr;
  Index size = 0;  // elements with padding
};

/// The block of the views, in their order; nothing where they do not form one.
template <class T, Backend B>
std::optional<ParameterBlock<T, B>> parameter_block(std::span<const ParameterView<T, B>* const> views) {
  if (views.empty()) return std::nullopt;
  const ParameterView<T, B>& first = *views.front();
  ParameterBlock<T, B> block{const_cast<T*>(first.value.data()), const_cast<T*>(first.gradient.data()), nullptr, 0};
  bool copied = true;
  for (const ParameterView<T, B>* view : views) {
    if (!view->value.shares_storage_with(first.value) || !view->gradient.shares_storage_with(first.gradient) ||
        view->value.data() != block.values + block.size || view->gradient.data() != block.gradients + block.size)
      return std::nullopt;
    if (!view->copy.empty()) {
      bfloat16* const start = const_cast<bfloat16*>(view->copy.data()) - block.size;
      if (block.copies == nullptr) block.copies = start;
      copied = copied && block.copies == start;
    }
    block.size += view == views.back() ? view->value.size() : padded_elements<T>(view->value.size());
  }
  if (!copied) block.copies = nullptr;
  return block;
}

template <class T, Backend B>
std::optional<ParameterBlock<T, B>> parameter_block(std::span<const ParameterView<T, B>> views) {
  std::vector<const ParameterView<T, B>*> pointers;
  for (const ParameterView<T, B>& view : views) pointers.push_back(&view);
  return parameter_block<T, B>(std::span<const ParameterView<T, B>* const>(pointers));
}

}  // namespace braing3n::inline BRAING3N_ABI
