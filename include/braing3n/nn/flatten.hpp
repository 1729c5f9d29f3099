// A model's parameters as the optimiser sees them: named views, optionally in one allocation.
#pragma once

#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "braing3n/core/parameter_view.hpp"
#include "braing3n/nn/visit.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Views of the trainable parameters, in the order of visit(). The model must be initialised, must not move while the views
/// are in use, and gradients that do not exist yet are made (zero).
template <class Model, Backend B, class T = float>
ParameterViews<T, B> parameter_views(Model& model) {
  ParameterViews<T, B> views;
  for_each_parameter(model, [&](const std::string& path, auto& p) {
    using Value = typename std::remove_cvref_t<decltype(p)>::Value;
    static_assert(std::is_same_v<Value, T>, "parameter_views: the element type is the precision's Param type");
    if (!p.trainable()) return;
    if (p.value().empty())
      fail(ErrorKind::state, "parameter.empty", "parameter ", path,
           ": has no values; initialize or load the model first");
    if (p.gradient().empty()) p.adopt_gradient(Tensor<T, B>::zeros(p.context(), p.shape()));
    ParameterView<T, B> view;
    view.name = path;
    view.value = p.value();
    view.gradient = p.gradient();
    view.decay = p.spec().decay;
    view.changed = [&p] { p.refresh(); };
    views.push_back(std::move(view));
  });
  return views;
}

/// Moves the trainable parameters of a model into one block of values and one of gradients, so that an optimiser step, an
/// average or a norm streams through memory once. Values stay as they are; gradients become zero.
template <class Model, Backend B, class T = float>
void flatten(Model& model, Context<B>& context) {
  constexpr Index align = 64 / static_cast<Index>(sizeof(T));
  Index total = 0;
  const auto padded = [](Index n) { return (n + align - 1) / align * align; };
  for_each_parameter(model, [&](const std::string&, auto& p) {
    if (p.trainable()) total += padded(p.shape().size());
  });
  if (total == 0) return;
  const Tensor<T, B> values = Tensor<T, B>::zeros(context, {total}), gradients = Tensor<T, B>::zeros(context, {total});
  Index offset = 0;
  for_each_parameter(model, [&](const std::string&, auto& p) {
    if (!p.trainable()) return;
    const Index n = p.shape().size();
    Tensor<T, B> value = values.slice(offset, offset + n).reshape(p.shape());
    context.memory().copy(value.data(), p.value().data(), value.bytes());
    p.adopt(std::move(value));
    p.adopt_gradient(gradients.slice(offset, offset + n).reshape(p.shape()));
    offset += padded(n);
  });
}

/// A second model with the same values. Model must be constructible from (context, config) and keep its `config`.
template <class Model, Backend B>
Model clone(const Model& model, Context<B>& context) {
  Model copy(context, model.config);
  bind_names(copy);
  std::vector<const void*> from;
  for_each_parameter(model, [&](const std::string&, const auto& p) { from.push_back(&p); });
  std::size_t i = 0;
  for_each_parameter(copy, [&](const std::string&, auto& p) {
    const auto& source = *static_cast<const std::remove_cvref_t<decltype(p)>*>(from[i++]);
    if (!source.value().empty()) p.adopt(source.value().clone());
    else if (source.allocated()) p.adopt_compute(source.compute().clone());
    p.set_trainable(source.trainable());
  });
  return copy;
}

}  // namespace braing3n::inline BRAING3N_ABI
