// A table of features where a backend computes with it: on the CPU the rows themselves, on a GPU a copy that is made once.
#pragma once

#include "braing3n/core/tensor.hpp"
#include "braing3n/table/feature_view.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Thrown for a feature that is not a number, so that a caller who knows ids and column names can say them.
struct NonFiniteFeature : Error {
  NonFiniteFeature(Index bad_row, Index bad_column, double value)
      : Error(ErrorKind::numeric, "probe.nonfinite",
              concat("features: row ", bad_row, ", column ", bad_column, " is ", value)),
        row(bad_row), column(bad_column) {}
  Index row, column;
};

/// The rows of `host` must outlive this.
template <class T, Backend B>
struct PlacedFeatures {
  FeatureView<T> host;
  Tensor<T, B> copy;  // (rows, features)

  PlacedFeatures(Context<B>& ctx, FeatureView<T> x) : host(x) {
    const Index size = x.rows * x.features;
    if (size > 0) copy = Tensor<T, B>::from_host(ctx, {x.rows, x.features}, {x.data, static_cast<std::size_t>(size)});
  }
};

template <class T>
struct PlacedFeatures<T, Cpu> {
  FeatureView<T> host;

  PlacedFeatures(Context<Cpu>&, FeatureView<T> x) : host(x) {}
  operator FeatureView<T>() const { return host; }
};

namespace detail {

/// rows: of the selection. Throws Error (shape) when there is nothing to fit.
template <class T>
void require_features(const FeatureView<T>& x, Index rows) {
  if (rows == 0 || x.features == 0)
    fail(ErrorKind::shape, "probe.empty", "features: a table of ", x.rows, " rows and ", x.features,
         " columns holds nothing to fit");
}

}  // namespace detail
}  // namespace braing3n::inline BRAING3N_ABI
