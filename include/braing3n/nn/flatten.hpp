// A model's parameters as the optimiser sees them: named views, optionally in one allocation.
#pragma once

#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "braing3n/core/parameter_view.hpp"
#include "braing3n/nn/visit.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// Parameters whose products read a copy in low precision.
template <class P>
inline constexpr bool has_low_copy_v = std::is_same_v<typename std::remove_cvref_t<P>::Compute, bfloat16>;

}  // namespace detail

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
    if constexpr (detail::has_low_copy_v<decltype(p)>) {
      if (p.copy_in_place()) {
        view.copy = p.compute();
        view.renewed = [&p] { p.renewed(); };
      }
    }
    views.push_back(std::move(view));
  });
  return views;
}

/// Moves the trainable parameters of a model into one block of values and one of gradients, and copies in low precision into a third, so that
/// an optimiser step, an average or a norm streams through memory once. Values stay as they are; gradients become zero.
template <class Model, Backend B, class T = float>
void flatten(Model& model, Context<B>& context) {
  Index total = 0;
  bool copies = false;
  for_each_parameter(model, [&](const std::string&, auto& p) {
    if (!p.trainable()) return;
    total += padded_elements<T>(p.shape().size());
    copies = copies || detail::has_low_copy_v<decltype(p)>;
  });
  if (total == 0) return;
  const Tensor<T, B> values = Tensor<T, B>::zeros(context, {total}), gradients = Tensor<T, B>::zeros(context, {total});
  const Tensor<bfloat16, B> low = copies ? Tensor<bfloat16, B>::zeros(context, {total}) : Tensor<bfloat16, B>();
  Index offset = 0;
  for_each_parameter(model, [&](const std::string&, auto& p) {
    if (!p.trainable()) return;
    const Index n = p.shape().size();
    Tensor<T, B> value = values.slice(offset, offset + n).reshape(p.shape());
    context.memory().copy(value.data(), p.value().data(), value.bytes());
    if constexpr (detail::has_low_copy_v<decltype(p)>)
      p.adopt(std::move(value), low.slice(offset, offset + n).reshape(p.shape()));
    else p.adopt(std::move(value));
    p.adopt_gradient(gradients.slice(offset, offset + n).reshape(p.shape()));
    offset += padded_elements<T>(n);
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
