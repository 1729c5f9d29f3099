// Embeddings of times, ages and labels into the width of a transformer. Always in fp32 or better: a condition is one vector
// per sample, so precision costs nothing here and is what separates neighbouring times and ages.
#pragma once

#include <type_traits>
#include <vector>

#include "braing3n/autograd/compiled.hpp"
#include "braing3n/nn/linear.hpp"
#include "braing3n/nn/position.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// A scalar per sample -> (N, width): sinusoidal features (256), then Linear - SiLU - Linear (Peebles and Xie 2023).
template <Backend B, Precision P>
struct ScalarEmbedding {
  using W = wide_t<P>;
  using Act = Var<typename W::Compute, B>;
  static constexpr Index features = 256;

  Linear<B, W> fc1, fc2;

  ScalarEmbedding() = default;
  ScalarEmbedding(Context<B>& context, Index width)
      : fc1(context, features, width, {.weight_init = normal(0.02)}),
        fc2(context, width, width, {.weight_init = normal(0.02)}) {}

  Act operator()(Pass<B>& pass, const std::vector<double>& values) const;

  static void visit(auto& self, auto&& v) {
    v("mlp.0", self.fc1);
    v("mlp.2", self.fc2);
  }
};

template <Backend B, Precision P>
auto ScalarEmbedding<B, P>::operator()(Pass<B>& pass, const std::vector<double>& values) const -> Act {
  using T = typename W::Compute;
  const std::vector<double> rows = sinusoidal_features(values, features);
  const std::vector<T> cast_rows(rows.begin(), rows.end());
  const Act x = Tensor<T, B>::from_host(pass.context(), {static_cast<Index>(values.size()), features}, cast_rows);
  return fc2(pass, fc1(pass, x, Activation::silu));
}

/// A class per sample -> (N, width): rows of a table. The last row stands for "unknown" when the table has one.
template <Backend B, Precision P>
struct LabelEmbedding {
  using W = wide_t<P>;
  using Act = Var<typename W::Compute, B>;

  Parameter<B, W> table;
  std::string path;

  LabelEmbedding() = default;
  LabelEmbedding(Context<B>& context, Index rows, Index width)
      : table(context, {.shape = {rows, width}, .init = normal(0.02)}) {}

  Act operator()(Pass<B>& pass, const std::vector<std::int32_t>& labels) const;

  static void visit(auto& self, auto&& v) { v("embedding_table.weight", self.table); }
};

template <Backend B, Precision P>
auto LabelEmbedding<B, P>::operator()(Pass<B>& pass, const std::vector<std::int32_t>& labels) const -> Act {
  return pass.at(path, [&] {
    return embedding(table.var(pass), Indices<B>::from_host(pass.context(), {static_cast<Index>(labels.size())}, labels,
                                                            table.shape()[0]));
  });
}

BRAING3N_COMPILED_LAYER(ScalarEmbedding)
BRAING3N_COMPILED_LAYER(LabelEmbedding)

}  // namespace braing3n::inline BRAING3N_ABI
