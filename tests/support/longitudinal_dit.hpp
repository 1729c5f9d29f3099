// A small transformer under the conditions of follow-ups.
#pragma once

#include <string>

#include "braing3n/models/dit3d.hpp"
#include "braing3n/nn/initialize.hpp"
#include "tests/support/check.hpp"

namespace braing3n::test {

inline Dit3dConfig small_longitudinal(Index context_channels, Index outputs) {
  Dit3dConfig c;
  c.channels = 4, c.grid = {2, 2, 3}, c.width = 24, c.depth = 1, c.heads = 2, c.mlp = 48;
  c.context_channels = context_channels, c.outputs = outputs;
  c.conditions = longitudinal_conditions();
  return c;
}

/// Values of every parameter by its name, where wanted(name): gates and the last layer start at zero, and nothing would be seen.
template <class Model, class Wanted>
void fill_by_name(Context<Cpu>& ctx, Model& model, std::uint64_t seed, Wanted&& wanted) {
  initialize(model, seed);
  for_each_parameter(model, [&](const std::string& name, auto& p) {
    using Value = typename std::remove_cvref_t<decltype(p)>::Value;
    if (!p.spec().fixed && wanted(name)) p.adopt(random<Value>(ctx, p.shape(), detail::name_hash(name), 0.2));
  });
}
template <class Model>
void fill_by_name(Context<Cpu>& ctx, Model& model, std::uint64_t seed) {
  fill_by_name(ctx, model, seed, [](const std::string&) { return true; });
}

}  // namespace braing3n::test
