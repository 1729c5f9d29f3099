// Tensors of random numbers, drawn where they are wanted: one generator per sample, so that a sample's numbers do not depend on its place
// in a batch.
#pragma once

#include <span>

#include "braing3n/backend/random.hpp"
#include "braing3n/core/tensor.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

inline Shape of_samples(std::size_t samples, const Shape& shape) {
  Shape whole = {static_cast<Index>(samples)};
  for (const Index extent : shape.extents()) whole.push_back(extent);
  return whole;
}

}  // namespace detail

/// Standard normal numbers (samples, shape...): element i of sample n is number i of generators[n].
template <class T, Backend B>
Tensor<T, B> random_normal(Context<B>& context, std::span<const Philox> generators, const Shape& shape) {
  Tensor<T, B> x(context, detail::of_samples(generators.size(), shape));
  RandomKernel<B>::normal(context, generators, shape.size(), x.data());
  return x;
}

/// The same, uniform in [0, 1) with 24 bits.
template <class T, Backend B>
Tensor<T, B> random_uniform(Context<B>& context, std::span<const Philox> generators, const Shape& shape) {
  Tensor<T, B> x(context, detail::of_samples(generators.size(), shape));
  RandomKernel<B>::uniform(context, generators, shape.size(), x.data());
  return x;
}

}  // namespace braing3n::inline BRAING3N_ABI
