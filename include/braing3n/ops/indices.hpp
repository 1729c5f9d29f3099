// Indices that are checked where they are made, so that no op has to look at them again: on a GPU that look would stop the host.
#pragma once

#include <cstdint>
#include <span>
#include <utility>

#include "braing3n/ops/reduce.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

struct OutOfRange {
  const std::int32_t* index;
  Index bound;
  BRAING3N_HD BRAING3N_INLINE float operator()(Index i) const {
    return index[i] < 0 || index[i] >= bound ? 1.0f : 0.0f;
  }
};

}  // namespace detail

/// Indices of any shape, every one in [0, bound). Ops compare `bound` with the rows they read and trust the rest.
template <Backend B>
class Indices {
 public:
  Indices() = default;

  /// Checks values of the host. Throws Error: shape (another number of values than the shape has, or none), argument (an index outside
  /// [0, bound)).
  static Indices from_host(Context<B>& context, const Shape& shape, std::span<const std::int32_t> values, Index bound) {
    for (std::size_t i = 0; i < values.size(); ++i)
      if (values[i] < 0 || values[i] >= bound)
        fail(ErrorKind::argument, "indices.range", "indices: expected numbers in [0, ", bound, "), got ", values[i],
             " at place ", i, " of ", shape);
    auto tensor = Tensor<std::int32_t, B>::from_host(context, shape, values);
    require_elements("indices", tensor);
    return Indices(std::move(tensor), bound);
  }

  /// Checks values that lie on the backend already; waits for the answer. Throws Error as from_host.
  static Indices checked(Tensor<std::int32_t, B> values, Index bound) {
    require_elements("indices", values);
    const double bad = sum(values.context(), values.size(), detail::OutOfRange{values.data(), bound});
    if (bad != 0)
      fail(ErrorKind::argument, "indices.range", "indices: expected numbers in [0, ", bound, "), got ",
           static_cast<Index>(bad), " others among ", values.shape());
    return Indices(std::move(values), bound);
  }

  const Tensor<std::int32_t, B>& values() const { return values_; }
  const std::int32_t* data() const { return values_.data(); }
  const Shape& shape() const { return values_.shape(); }
  Index dim(int axis) const { return values_.dim(axis); }
  Index size() const { return values_.size(); }
  /// All indices are below it.
  Index bound() const { return bound_; }

 private:
  Indices(Tensor<std::int32_t, B> values, Index bound) : values_(std::move(values)), bound_(bound) {}

  Tensor<std::int32_t, B> values_;
  Index bound_ = 0;
};

/// Throws Error (argument) unless all indices name one of `rows` rows.
template <Backend B>
void require_indices(const char* op, const Indices<B>& index, Index rows) {
  require_elements(op, index.values());
  if (index.bound() > rows)
    fail(ErrorKind::argument, "op.index", op, ": expected indices in [0, ", rows, "), got indices ", index.shape(),
         " in [0, ", index.bound(), ")");
}

}  // namespace braing3n::inline BRAING3N_ABI
