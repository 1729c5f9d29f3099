// A learned tensor: its value, the copy that products read, its gradient, how it is stored in files.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/autograd/pass.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// How a parameter starts. The numbers come from Philox with the parameter's own name, so they do not depend on the order in
/// which a model is built.
struct Init {
  enum class Kind { zero, one, normal, truncated_normal, uniform, table } kind = Kind::zero;
  double scale = 0;                        // standard deviation, or the bound of the uniform distribution
  std::function<double(Index)> element{};  // table: the value of element i, row-major
};
inline Init zeros() { return {}; }
inline Init ones() { return {Init::Kind::one, 1.0, {}}; }
inline Init normal(double sd) { return {Init::Kind::normal, sd, {}}; }
/// Cut at +-2 (absolute), as PyTorch's trunc_normal_ does by default.
inline Init truncated_normal(double sd) { return {Init::Kind::truncated_normal, sd, {}}; }
/// Glorot and Bengio 2010: U(-a, a), a = sqrt(6 / (fan_in + fan_out)).
inline Init xavier_uniform(Index fan_in, Index fan_out) {
  return {Init::Kind::uniform, std::sqrt(6.0 / static_cast<double>(fan_in + fan_out)), {}};
}
/// PyTorch's default for linear and convolution weights and biases: U(-1/sqrt(fan_in), 1/sqrt(fan_in)).
inline Init fan_in_uniform(Index fan_in) {
  return {Init::Kind::uniform, 1.0 / std::sqrt(static_cast<double>(fan_in)), {}};
}

/// Axis order of a parameter in a file (PyTorch's) relative to ours.
enum class FileLayout {
  same,
  conv,            // ours (k0, k1, k2, in, out)   file (out, in, k0, k1, k2)
  conv_transpose,  // ours (k0, k1, k2, in, out)   file (in, out, k0, k1, k2)
  patch,           // ours (out, k0, k1, k2, in)   file (out, in, k0, k1, k2)
};

struct ParameterSpec {
  Shape shape;  // ours
  Init init{};
  FileLayout layout = FileLayout::same;
  bool decay = true;   // weight decay applies
  bool fixed = false;  // a table that is stored but never learned and not counted
};

template <Backend B, Precision P>
class Parameter {
 public:
  using Value = typename P::Param;
  using Compute = typename P::Compute;

  Parameter() = default;
  /// No memory is taken before initialize(), load() or allocate(): a model of any size can be constructed and printed.
  Parameter(Context<B>& context, ParameterSpec spec)
      : context_(&context), spec_(std::move(spec)), trainable_(!spec_.fixed) {
    ++constructed();
  }
  Parameter(Parameter&&) = default;
  Parameter& operator=(Parameter&&) = default;

  /// How many parameters this thread has made, so that a test can prove that visit() of a model names them all.
  static Index& constructed() {
    thread_local Index count = 0;
    return count;
  }

  const Shape& shape() const { return spec_.shape; }
  const ParameterSpec& spec() const { return spec_; }
  Context<B>& context() const { return *context_; }
  bool exists() const { return context_ != nullptr; }
  bool allocated() const { return !compute_.empty(); }

  /// What products read. Throws Error (state) when the parameter has no values yet.
  const Tensor<Compute, B>& compute() const {
    if (compute_.empty())
      fail(ErrorKind::state, "parameter.empty", "parameter ", path,
           ": has no values; initialize or load the model first");
    return compute_;
  }
  /// What the optimiser changes. Empty after keep_compute_only().
  Tensor<Value, B>& value() { return value_; }
  const Tensor<Value, B>& value() const { return value_; }
  Tensor<Value, B>& gradient() { return gradient_; }
  const Tensor<Value, B>& gradient() const { return gradient_; }

  /// Gives the parameter storage (a view of a larger block, or its own).
  void adopt(Tensor<Value, B> value) {
    value_ = std::move(value);
    copy_in_place_ = false;
    refresh();
  }
  /// The same for the compute copy, which is then renewed where it is.
  void adopt(Tensor<Value, B> value, Tensor<Compute, B> copy) {
    value_ = std::move(value);
    compute_ = std::move(copy);
    copy_in_place_ = true;
    refresh();
  }
  void adopt_gradient(Tensor<Value, B> gradient) { gradient_ = std::move(gradient); }
  /// Inference in low precision: only the compute copy stays.
  void adopt_compute(Tensor<Compute, B> compute) {
    value_ = {};
    gradient_ = {};
    compute_ = std::move(compute);
    copy_in_place_ = false;
    changed();
  }

  /// To be called after value() changed: renews the compute copy and forgets what was derived from it.
  void refresh() {
    if constexpr (std::is_same_v<Value, Compute>) {
      compute_ = value_;
    } else if (copy_in_place_) {
      map(*context_, value_.size(), detail::Cast<Compute, Value>{value_.data(), compute_.data()});
    } else {
      compute_ = cast<Compute>(value_);
    }
    changed();
  }
  /// To be called instead when the compute copy was renewed as well.
  void renewed() { changed(); }
  bool copy_in_place() const { return copy_in_place_; }

  bool trainable() const { return trainable_; }
  void set_trainable(bool trainable) {
    trainable_ = trainable && !spec_.fixed;
    if (!trainable_) gradient_ = {};
  }
  void zero_gradient() {
    if (!gradient_.empty()) gradient_.zero();
  }

  /// The parameter as an input of an op: recorded when the pass has a tape and the parameter is trainable.
  Var<Compute, B> var(Pass<B>& pass) const {
    if (pass.tape() == nullptr || !trainable_) return Var<Compute, B>(compute());
    static_assert(std::is_same_v<accum_t<Compute>, Value>);
    if (gradient_.empty()) gradient_ = Tensor<Value, B>::zeros(*context_, spec_.shape);
    auto slot = std::make_shared<GradientSlot<Compute, B>>();
    slot->tape = pass.tape()->state();
    slot->parameter = gradient_;
    return Var<Compute, B>(compute(), std::move(slot));
  }

  /// Something derived from the compute copy (weights in packed order), kept until the values change.
  template <class Make>
  const Tensor<std::uint8_t, B>& derived(Make&& make) const {
    if (derived_.empty()) derived_ = make(compute());
    return derived_;
  }

  /// The compute copy as numbers of the host, read once and kept until the values change: for small tables that the host computes with.
  const std::vector<double>& host_values() const {
    if (host_.empty()) {
      const std::vector<Compute> values = compute().to_host();
      host_.assign(values.begin(), values.end());
    }
    return host_;
  }

  std::string path;  // "blocks.3.mlp.fc1.weight", written by bind_names()

 private:
  void changed() {
    derived_ = {};
    host_.clear();
  }

  Context<B>* context_ = nullptr;
  ParameterSpec spec_;
  Tensor<Value, B> value_;
  Tensor<Compute, B> compute_;
  mutable Tensor<Value, B> gradient_;        // made when the first gradient is about to arrive
  mutable Tensor<std::uint8_t, B> derived_;  // a cache
  mutable std::vector<double> host_;         // another one
  bool trainable_ = true;
  bool copy_in_place_ = false;  // the compute copy is a view of a larger block
};

}  // namespace braing3n::inline BRAING3N_ABI
