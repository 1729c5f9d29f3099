// Tensors between the host and the backend of a model.
#pragma once

#include <type_traits>

#include "braing3n/ops/elementwise.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// A tensor of the host in the memory of `context` and in element type T. x itself when neither changes.
template <class T, class U, Backend B>
Tensor<T, B> to_backend(Context<B>& context, const Tensor<U, Cpu>& x) {
  if (x.empty()) return {};
  if constexpr (std::is_same_v<B, Cpu>) {
    if (&x.context() == &context) return cast<T>(x);
  }
  return cast<T>(Tensor<U, B>::from_host(context, x.shape(), {x.data(), static_cast<std::size_t>(x.size())}));
}

/// The other way: a tensor of a backend as a tensor of the host in element type T. Waits for the backend. x itself when neither changes.
template <class T, class U, Backend B>
Tensor<T, Cpu> to_host(Context<Cpu>& host, const Tensor<U, B>& x) {
  if (x.empty()) return {};
  if constexpr (std::is_same_v<B, Cpu>) {
    if (&x.context() == &host) return cast<T>(x);
  }
  Tensor<U, Cpu> y(host, x.shape());
  if (x.size() > 0) x.context().memory().copy_to_host(y.data(), x.data(), x.bytes());
  return cast<T>(y);
}

}  // namespace braing3n::inline BRAING3N_ABI
