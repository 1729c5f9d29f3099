// Values of a model in the names, shapes and axis order of a PyTorch state dict.
#pragma once

#include <array>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "braing3n/base/text.hpp"
#include "braing3n/nn/initialize.hpp"
#include "braing3n/nn/visit.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// The axis of ours that stands at each axis of the file.
inline std::array<int, 5> file_axes(FileLayout layout) {
  switch (layout) {
    case FileLayout::conv:
      return {4, 3, 0, 1, 2};  // (k0, k1, k2, in, out) -> (out, in, k0, k1, k2)
    case FileLayout::conv_transpose:
      return {3, 4, 0, 1, 2};  // (k0, k1, k2, in, out) -> (in, out, k0, k1, k2)
    case FileLayout::patch:
      return {0, 4, 1, 2, 3};  // (out, k0, k1, k2, in) -> (out, in, k0, k1, k2)
    case FileLayout::same:
      break;
  }
  return {0, 1, 2, 3, 4};
}

/// Calls f(file index, our index) for every element, in file order.
template <class F>
void for_each_file_element(const ParameterSpec& spec, F&& f) {
  const std::array<int, 5> axes = file_axes(spec.layout);
  std::array<Index, 5> stride{}, extent{}, at{};
  std::array<Index, 5> ours{};
  Index step = 1;
  for (int a = 4; a >= 0; --a) {
    ours[static_cast<std::size_t>(a)] = step;
    step *= spec.shape[a];
  }
  for (std::size_t a = 0; a < 5; ++a) {
    extent[a] = spec.shape[axes[a]];
    stride[a] = ours[static_cast<std::size_t>(axes[a])];
  }
  Index file = 0;
  for (at[0] = 0; at[0] < extent[0]; ++at[0])
    for (at[1] = 0; at[1] < extent[1]; ++at[1])
      for (at[2] = 0; at[2] < extent[2]; ++at[2])
        for (at[3] = 0; at[3] < extent[3]; ++at[3])
          for (at[4] = 0; at[4] < extent[4]; ++at[4], ++file)
            f(file, at[0] * stride[0] + at[1] * stride[1] + at[2] * stride[2] + at[3] * stride[3] + at[4] * stride[4]);
}

}  // namespace detail

/// Shape of a parameter in a file.
inline Shape file_shape(const ParameterSpec& spec) {
  if (spec.layout == FileLayout::same) return spec.shape;
  Shape s;
  for (const int axis : detail::file_axes(spec.layout)) s.push_back(spec.shape[axis]);
  return s;
}

template <class V>
std::vector<V> to_file_order(const ParameterSpec& spec, std::vector<V> ours) {
  if (spec.layout == FileLayout::same) return ours;
  std::vector<V> file(ours.size());
  detail::for_each_file_element(
      spec, [&](Index f, Index o) { file[static_cast<std::size_t>(f)] = ours[static_cast<std::size_t>(o)]; });
  return file;
}

template <class V>
std::vector<V> from_file_order(const ParameterSpec& spec, std::vector<V> file) {
  if (spec.layout == FileLayout::same) return file;
  std::vector<V> ours(file.size());
  detail::for_each_file_element(
      spec, [&](Index f, Index o) { ours[static_cast<std::size_t>(o)] = file[static_cast<std::size_t>(f)]; });
  return ours;
}

/// Calls f(name, file shape, values in file order) for every parameter. Values are the master copy where there is one.
template <class Model, class F>
void for_each_state(const Model& model, F&& f) {
  for_each_parameter(model, [&](const std::string& path, const auto& p) {
    if (p.value().empty()) f(path, file_shape(p.spec()), to_file_order(p.spec(), p.compute().to_host()));
    else f(path, file_shape(p.spec()), to_file_order(p.spec(), p.value().to_host()));
  });
}

struct LoadOptions {
  bool inference = false;  // low precision keeps only the copy that products read
};

/// What load_state() found. Nothing has been changed unless complete().
struct LoadReport {
  struct WrongShape {
    std::string name;
    Shape expected;
    std::string found;
  };
  std::vector<std::string> missing, unexpected;
  std::vector<WrongShape> wrong_shape;
  bool complete() const { return missing.empty() && wrong_shape.empty(); }

  std::string str() const {
    std::string s;
    for (const std::string& n : missing) s += "  missing: " + n + "\n";
    for (const WrongShape& w : wrong_shape)
      s += "  wrong shape: " + w.name + " is " + w.found + ", expected " + w.expected.str() + "\n";
    for (const std::string& n : unexpected) s += "  unexpected: " + n + "\n";
    return s;
  }
};

/// Fills the model from a source of named tensors in file order, such as SafetensorsFile. The source offers tensors() (a range
/// of entries with a `name`), contains(name), info(name).shape and read<V>(name) -> std::vector<V>. Every name and shape is checked before the first
/// value is taken; a fixed table that the file lacks is computed from its rule, if it has one.
template <class Model, class Source>
LoadReport load_state(Model& model, const Source& source, const LoadOptions& options = {}) {
  bind_names(model);
  LoadReport report;
  std::vector<std::string> wanted;
  for_each_parameter(model, [&](const std::string& path, const auto& p) {
    wanted.push_back(path);
    if (!source.contains(path)) {
      if (!p.spec().fixed || p.spec().init.kind != Init::Kind::table) report.missing.push_back(path);
      return;
    }
    const std::vector<Index>& found = source.info(path).shape;
    const Shape expected = file_shape(p.spec());
    const auto extents = expected.extents();
    if (!std::equal(found.begin(), found.end(), extents.begin(), extents.end())) {
      report.wrong_shape.push_back({path, expected, "(" + joined(found) + ")"});
    }
  });
  std::sort(wanted.begin(), wanted.end());
  for (const auto& tensor : source.tensors())
    if (!std::binary_search(wanted.begin(), wanted.end(), tensor.name)) report.unexpected.push_back(tensor.name);
  if (!report.complete()) return report;

  for_each_parameter(model, [&](const std::string& path, auto& p) {
    using Part = std::remove_cvref_t<decltype(p)>;
    using Value = typename Part::Value;
    using Compute = typename Part::Compute;
    std::vector<Value> host(static_cast<std::size_t>(p.shape().size()));
    if (source.contains(path)) {
      host = from_file_order(p.spec(), source.template read<Value>(path));
    } else {
      for (std::size_t i = 0; i < host.size(); ++i)
        host[i] = static_cast<Value>(p.spec().init.element(static_cast<Index>(i)));
    }
    auto value = std::remove_cvref_t<decltype(p.value())>::from_host(p.context(), p.shape(), host);
    if constexpr (!std::is_same_v<Value, Compute>) {
      if (options.inference) {
        p.adopt_compute(cast<Compute>(value));
        return;
      }
    }
    p.adopt(std::move(value));
  });
  return report;
}

}  // namespace braing3n::inline BRAING3N_ABI
