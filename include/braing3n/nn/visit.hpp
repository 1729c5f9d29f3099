// One walk over a model. A module names every part once:
//
//   static void visit(auto& self, auto&& v) { v("norm1", self.norm1);  v("attn", self.attn);  v("blocks", self.blocks); }
//
// and from it come parameter lists, state dicts, loading, initialisation, EMA, counting and error messages. Names are the
// ones of the PyTorch state dict; a vector adds ".0", ".1", ...; the name "" puts the parts of a module at the level above.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "braing3n/autograd/parameter.hpp"

namespace braing3n::inline BRAING3N_ABI {

template <class>
inline constexpr bool is_parameter_v = false;
template <Backend B, Precision P>
inline constexpr bool is_parameter_v<Parameter<B, P>> = true;

namespace detail {

template <class>
inline constexpr bool is_vector_v = false;
template <class T>
inline constexpr bool is_vector_v<std::vector<T>> = true;
template <class>
inline constexpr bool is_optional_v = false;
template <class T>
inline constexpr bool is_optional_v<std::optional<T>> = true;

inline std::string join_path(const std::string& prefix, const std::string& name) {
  return prefix.empty() ? name : name.empty() ? prefix : prefix + "." + name;
}

template <class F>
struct Walk {
  F& f;
  std::string prefix;

  template <class Part>
  void operator()(const std::string& name, Part& part) const {
    using Plain = std::remove_const_t<Part>;
    const std::string path = join_path(prefix, name);
    if constexpr (is_parameter_v<Plain>) {
      if (part.exists()) f(path, part);
    } else if constexpr (is_vector_v<Plain>) {
      std::size_t i = 0;
      for (auto& element : part) (*this)(join_path(name, std::to_string(i++)), element);
    } else if constexpr (is_optional_v<Plain>) {
      if (part) (*this)(name, *part);
    } else {
      f(path, part);
      Plain::visit(part, Walk{f, path});
    }
  }
};

}  // namespace detail

/// Calls f(path, part) for the model, each module and each parameter in it, parents first. Absent parameters (a layer without
/// bias) are skipped.
template <class Model, class F>
void for_each_part(Model& model, F&& f) {
  detail::Walk<F>{f, ""}("", model);
}

/// Calls f(path, parameter) for every parameter, in the order of visit().
template <class Model, class F>
void for_each_parameter(Model& model, F&& f) {
  for_each_part(model, [&f](const std::string& path, auto& part) {
    if constexpr (is_parameter_v<std::remove_cvref_t<decltype(part)>>) f(path, part);
  });
}

/// Writes every part's path into it, for error messages and taps. Call it once after construction (initialize() and load do).
template <class Model>
void bind_names(Model& model) {
  for_each_part(model, [](const std::string& path, auto& part) {
    if constexpr (requires { part.path = path; }) part.path = path;
  });
}

struct ParameterCount {
  Index learned = 0;  // elements that training can change
  Index fixed = 0;    // elements of fixed tables
};

/// Counts without allocating anything.
template <class Model>
ParameterCount count_parameters(const Model& model) {
  ParameterCount count;
  for_each_parameter(model, [&](const std::string&, const auto& p) {
    (p.spec().fixed ? count.fixed : count.learned) += p.shape().size();
  });
  return count;
}

/// Freezes or thaws a model or a part of it.
template <class Model>
void set_trainable(Model& model, bool trainable) {
  for_each_parameter(model, [&](const std::string&, auto& p) { p.set_trainable(trainable); });
}

template <class Model>
void zero_gradients(Model& model) {
  for_each_parameter(model, [](const std::string&, auto& p) { p.zero_gradient(); });
}

/// One line per parameter with its shape, and the totals.
template <class Model>
std::string describe(const Model& model) {
  std::string text;
  for_each_parameter(model, [&](const std::string& path, const auto& p) {
    text += concat(path, "  ", p.shape(), p.spec().fixed ? "  fixed" : "", "\n");
  });
  const ParameterCount count = count_parameters(model);
  return text + concat(count.learned, " parameters, ", count.fixed, " fixed\n");
}

}  // namespace braing3n::inline BRAING3N_ABI
