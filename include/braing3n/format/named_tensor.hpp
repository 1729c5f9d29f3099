// Tensors with a name and raw elements: what tensor files hold.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/base/text.hpp"
#include "braing3n/format/dtype.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// A tensor in a file or on its way into one. `bytes` are row-major, little-endian and perhaps unaligned; `owner` keeps them
/// alive where nobody else does.
struct NamedTensor {
  std::string name;
  DType dtype = DType::f32;
  std::vector<Index> shape;
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;

  Index elements() const { return static_cast<Index>(bytes.size() / size_of(dtype)); }
};

/// "(2, 3)"; files may hold more axes than a Tensor can have.
inline std::string shape_text(std::span<const Index> shape) { return "(" + joined(shape) + ")"; }

/// A tensor over memory of the caller, which must stay until the file is written. The product of `shape` must be the count.
template <class T>
NamedTensor named_tensor(std::string name, std::vector<Index> shape, std::span<const T> values) {
  return {std::move(name), dtype_of<T>(), std::move(shape), std::as_bytes(values), nullptr};
}

/// The same with values that move into the tensor.
template <class T>
NamedTensor named_tensor(std::string name, std::vector<Index> shape, std::vector<T>&& values) {
  auto owner = std::make_shared<const std::vector<T>>(std::move(values));
  return {std::move(name), dtype_of<T>(), std::move(shape), std::as_bytes(std::span<const T>(*owner)), owner};
}

/// Text beside the tensors of a file.
using Metadata = std::map<std::string, std::string>;

}  // namespace braing3n::inline BRAING3N_ABI
