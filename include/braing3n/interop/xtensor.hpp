// Tensors on the CPU and tensors in files as arrays of xtensor, and arrays of xtensor as tensors, without a copy.
// Target: braing3n::xtensor.
//
// A view has the memory of what it was made of, which must stay where it is as long as the view is used. The values of a Volume are an
// xt::xtensor themselves: from_xtensor(context, volume.values) is a tensor (X, Y, Z) over them.
#pragma once

#if __has_include(<xtensor/containers/xadapt.hpp>)
#include <xtensor/containers/xadapt.hpp>
#else
#include <xtensor/xadapt.hpp>
#endif

#include <array>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "braing3n/core/tensor.hpp"
#include "braing3n/format/named_tensor.hpp"
#include "braing3n/volume/xtensor.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

template <std::size_t N, class T>
auto xtensor_view(std::span<const Index> extents, T* data) {
  if (extents.size() != N)
    fail(ErrorKind::shape, "interop.rank", "as_xtensor: expected ", N, " axes, got shape ", shape_text(extents));
  std::array<std::size_t, N> shape{};
  std::size_t size = 1;
  for (std::size_t axis = 0; axis < N; ++axis) size *= shape[axis] = static_cast<std::size_t>(extents[axis]);
  return xt::adapt<xt::layout_type::row_major>(data, size, xt::no_ownership(), shape);
}

template <class T>
auto xtensor_view(std::span<const Index> extents, T* data) {
  std::vector<std::size_t> shape(extents.begin(), extents.end());
  std::size_t size = 1;
  for (const std::size_t extent : shape) size *= extent;
  return xt::adapt<xt::layout_type::row_major>(data, size, xt::no_ownership(), shape);
}

}  // namespace detail

/// t as an xtensor of N axes: as_xtensor<2>(t). Errors: shape (another number of axes).
template <std::size_t N, class T, Backend B>
auto as_xtensor(Tensor<T, B>& t) {
  static_assert(std::is_same_v<B, Cpu>,
                "braing3n: as_xtensor takes a tensor on the CPU: xtensor cannot read a GPU's memory");
  return detail::xtensor_view<N>(t.shape().extents(), t.data());
}
template <std::size_t N, class T, Backend B>
auto as_xtensor(const Tensor<T, B>& t) {
  static_assert(std::is_same_v<B, Cpu>,
                "braing3n: as_xtensor takes a tensor on the CPU: xtensor cannot read a GPU's memory");
  return detail::xtensor_view<N>(t.shape().extents(), t.data());
}
template <std::size_t N, class T, Backend B>
void as_xtensor(const Tensor<T, B>&&) = delete;  // the view would outlive the tensor

/// t as an xarray, whose number of axes is known when the program runs.
template <class T, Backend B>
auto as_xtensor(Tensor<T, B>& t) {
  static_assert(std::is_same_v<B, Cpu>,
                "braing3n: as_xtensor takes a tensor on the CPU: xtensor cannot read a GPU's memory");
  return detail::xtensor_view(t.shape().extents(), t.data());
}
template <class T, Backend B>
auto as_xtensor(const Tensor<T, B>& t) {
  static_assert(std::is_same_v<B, Cpu>,
                "braing3n: as_xtensor takes a tensor on the CPU: xtensor cannot read a GPU's memory");
  return detail::xtensor_view(t.shape().extents(), t.data());
}
template <class T, Backend B>
void as_xtensor(const Tensor<T, B>&&) = delete;

/// A tensor of a file (SafetensorsFile::info(), LatentFile::tensor()) as a constant xtensor of N axes over the mapped bytes. Nothing is read
/// before it is asked for. Errors: dtype (the file holds another type than T), shape (another number of axes), format (the bytes are not
/// aligned for T; read() copies them).
template <class T, std::size_t N>
auto as_xtensor(const NamedTensor& t) {
  if (t.dtype != dtype_of<T>())
    fail(ErrorKind::dtype, "interop.dtype", "tensor ", t.name, ": expected ", to_string(dtype_of<T>()), ", got ",
         to_string(t.dtype));
  if (reinterpret_cast<std::uintptr_t>(t.bytes.data()) % alignof(T) != 0)
    fail(ErrorKind::format, "interop.alignment", "tensor ", t.name, ": expected bytes aligned to ", alignof(T),
         ", got an offset of ", reinterpret_cast<std::uintptr_t>(t.bytes.data()) % alignof(T));
  return detail::xtensor_view<N>(t.shape, reinterpret_cast<const T*>(t.bytes.data()));
}

/// A tensor over the values of an xtensor.
template <class T, std::size_t N>
Tensor<T, Cpu> from_xtensor(Context<Cpu>& context, xt::xtensor<T, N>& values) {
  Shape shape;
  for (const std::size_t extent : values.shape()) shape.push_back(static_cast<Index>(extent));
  return Tensor<T, Cpu>::borrow(context, shape, values.data());
}

}  // namespace braing3n::inline BRAING3N_ABI
