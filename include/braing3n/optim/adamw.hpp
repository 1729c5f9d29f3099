// AdamW with parameter groups (Loshchilov and Hutter, arXiv 1711.05101), step by step equal to torch.optim.AdamW.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/core/parameter_view.hpp"
#include "braing3n/ops/update.hpp"
#include "braing3n/optim/ema.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.01;  // decoupled: the value shrinks by lr * weight_decay per step

  static void visit(auto& self, auto&& v) {
    v("beta1", self.beta1);
    v("beta2", self.beta2);
    v("eps", self.eps);
    v("weight_decay", self.weight_decay);
  }
};

/// Parameters that share a weight decay and a factor on the learning rate.
template <class T, Backend B>
struct ParameterGroup {
  ParameterViews<T, B> parameters;
  double weight_decay = 0;
  double lr_scale = 1;
};

template <class T, Backend B>
class AdamW {
 public:
  /// Two groups: parameters with `decay` get options.weight_decay, the others none.
  AdamW(const ParameterViews<T, B>& parameters, const AdamWOptions& options)
      : AdamW(by_decay(parameters, options), options) {}

  /// Groups as given; options.weight_decay is then not used. The moments start at zero.
  /// Throws Error (config) for betas outside [0, 1), eps <= 0 or negative decay; Error (argument) for a name that appears twice;
  /// Error (shape) for a gradient that does not fit its value.
  AdamW(std::vector<ParameterGroup<T, B>> groups, const AdamWOptions& options)
      : options_(options), groups_(std::move(groups)) {
    const auto fraction = [](double beta) { return beta >= 0 && beta < 1; };
    if (!fraction(options.beta1) || !fraction(options.beta2) || !(options.eps > 0))
      fail(ErrorKind::config, "adamw.options", "adamw: expected betas in [0, 1) and eps > 0, got betas ", options.beta1,
           ", ", options.beta2, " and eps ", options.eps);
    std::set<std::string> names;
    for (const ParameterGroup<T, B>& group : groups_) {
      if (!(group.weight_decay >= 0) || !(group.lr_scale >= 0))
        fail(ErrorKind::config, "adamw.group", "adamw: a group has weight decay ", group.weight_decay, " and lr_scale ",
             group.lr_scale, ", expected both >= 0");
      for (const ParameterView<T, B>& p : group.parameters) {
        if (!names.insert(p.name).second)
          fail(ErrorKind::argument, "adamw.name", "adamw: parameter ", p.name, " appears twice");
        if (p.value.empty() || p.gradient.empty() || !(p.value.shape() == p.gradient.shape()))
          fail(ErrorKind::shape, "adamw.gradient", "adamw: parameter ", p.name, ": expected a gradient ",
               p.value.shape(), ", got ", p.gradient.shape());
      }
    }
    if (names.empty())
      fail(ErrorKind::argument, "adamw.empty",
           "adamw: expected at least one parameter, got none (is every one frozen?)");
    make_moments();
  }

  /// Updates every parameter with its gradient times gradient_scale (see clip_coefficient). Gradients are left as they are.
  void step(double lr, double gradient_scale = 1.0) {
    step(lr, scalar(first_parameter().value.context(), gradient_scale));
  }

  /// The same with a factor that lies on the backend (see clip_factor), so that the host need not know it. One that is not finite
  /// leaves values and moments as they are.
  void step(double lr, const Tensor<double, B>& gradient_scale) { step(lr, gradient_scale, nullptr); }

  /// The same, and average->update(gradient_scale). For parameters in one block (nn/flatten.hpp) all of it is one launch on a GPU, with the
  /// copies in low precision.
  void step(double lr, const Tensor<double, B>& gradient_scale, Ema<T, B>* average) {
    if (!std::isfinite(lr) || lr < 0)
      fail(ErrorKind::argument, "adamw.lr", "adamw: expected a finite learning rate of at least 0, got ", lr);
    ++steps_;
    std::vector<AdamWStep> steps;
    for (const ParameterGroup<T, B>& group : groups_)
      steps.push_back({lr * group.lr_scale, options_.beta1, options_.beta2, options_.eps, group.weight_decay, steps_});
    if (block_) {
      BlockStep<T, B> s{*block_, m_.data(), v_.data(), nullptr, 0, lines_.data(), steps, segments_};
      if (average != nullptr) s.average = average->block_of(*block_);
      if (s.average != nullptr) s.average_decay = average->decay();
      block_update(first_parameter().value.context(), s, gradient_scale);
      if (s.average != nullptr) average->set_updates(average->updates() + 1);
      else if (average != nullptr) average->update(gradient_scale);
    } else {
      update_each(steps, gradient_scale);
      if (average != nullptr) average->update(gradient_scale);
    }
    const bool copied = one_launch_v<B> && block_ && block_->copies != nullptr;
    for (const ParameterGroup<T, B>& group : groups_)
      for (const ParameterView<T, B>& p : group.parameters) {
        const auto& tell = copied && p.renewed ? p.renewed : p.changed;
        if (tell) tell();
      }
  }

  void zero_gradients() {
    if (block_)
      return first_parameter().gradient.context().memory().zero(block_->gradients,
                                                                static_cast<std::size_t>(block_->size) * sizeof(T));
    for (ParameterGroup<T, B>& group : groups_)
      for (ParameterView<T, B>& p : group.parameters) p.gradient.zero();
  }

  const AdamWOptions& options() const { return options_; }
  const std::vector<ParameterGroup<T, B>>& groups() const { return groups_; }

  /// Steps taken so far, part of the state.
  std::int64_t steps() const { return steps_; }
  void set_steps(std::int64_t steps) { steps_ = steps; }

  /// f(name, tensor) for both moments of every parameter, named "exp_avg.NAME" and "exp_avg_sq.NAME": the state that, with
  /// steps(), continues a run bit for bit. The tensors may be written to.
  template <class F>
  void visit_state(F&& f) {
    auto moments = moments_.begin();
    for (const ParameterGroup<T, B>& group : groups_) {
      for (const ParameterView<T, B>& p : group.parameters) {
        f("exp_avg." + p.name, moments->m);
        f("exp_avg_sq." + p.name, moments->v);
        ++moments;
      }
    }
  }

 private:
  struct Moments {
    Tensor<T, B> m, v;
  };

  /// Both in blocks like that of the parameters, where they are in one.
  void make_moments() {
    struct Place {
      const ParameterView<T, B>* view;
      std::uint8_t group;
    };
    std::vector<Place> places;
    for (std::size_t g = 0; g < groups_.size(); ++g)
      for (const ParameterView<T, B>& p : groups_[g].parameters) places.push_back({&p, static_cast<std::uint8_t>(g)});
    std::vector<Place> sorted = places;
    std::ranges::sort(sorted, std::less<>(), [](const Place& p) { return p.view->value.data(); });
    std::vector<const ParameterView<T, B>*> views;
    for (const Place& p : sorted) views.push_back(p.view);
    if (groups_.size() <= detail::BlockUpdate<T>::most_groups) block_ = parameter_block<T, B>(views);
    Context<B>& context = first_parameter().value.context();
    if (block_) {
      m_ = Tensor<T, B>::zeros(context, {block_->size});
      v_ = Tensor<T, B>::zeros(context, {block_->size});
      constexpr Index line = padded_elements<T>(1);
      std::vector<std::uint8_t> lines;
      for (const Place& p : sorted) {
        const Index begin = p.view->value.data() - block_->values, size = p.view->value.size();
        segments_.push_back({begin, size, p.group});
        lines.resize(static_cast<std::size_t>((begin + size + line - 1) / line), p.group);
      }
      if constexpr (one_launch_v<B>) lines_ = Tensor<std::uint8_t, B>::from_host(context, {std::ssize(lines)}, lines);
    }
    for (const Place& p : places) {
      const Shape& shape = p.view->value.shape();
      if (block_) {
        const Index begin = p.view->value.data() - block_->values, end = begin + p.view->value.size();
        moments_.push_back({m_.slice(begin, end).reshape(shape), v_.slice(begin, end).reshape(shape)});
      } else {
        moments_.push_back({Tensor<T, B>::zeros(context, shape), Tensor<T, B>::zeros(context, shape)});
      }
    }
  }

  void update_each(const std::vector<AdamWStep>& steps, const Tensor<double, B>& gradient_scale) {
    auto moments = moments_.begin();
    for (std::size_t g = 0; g < groups_.size(); ++g)
      for (ParameterView<T, B>& p : groups_[g].parameters) {
        adamw_update(p.value, p.gradient, moments->m, moments->v, gradient_scale, steps[g]);
        ++moments;
      }
  }

  const ParameterView<T, B>& first_parameter() const {
    std::size_t i = 0;
    while (groups_[i].parameters.empty()) ++i;  // the constructor has seen a parameter
    return groups_[i].parameters.front();
  }

  static std::vector<ParameterGroup<T, B>> by_decay(const ParameterViews<T, B>& parameters,
                                                    const AdamWOptions& options) {
    std::vector<ParameterGroup<T, B>> groups = {{{}, options.weight_decay, 1.0}, {{}, 0.0, 1.0}};
    for (const ParameterView<T, B>& p : parameters) groups[p.decay ? 0 : 1].parameters.push_back(p);
    return groups;
  }

  AdamWOptions options_;
  std::vector<ParameterGroup<T, B>> groups_;
  std::vector<Moments> moments_;
  // Of parameters in one block:
  std::optional<ParameterBlock<T, B>> block_;
  Tensor<T, B> m_, v_;
  Tensor<std::uint8_t, B> lines_;       // the group of every cache line
  std::vector<BlockSegment> segments_;  // in the order of the block
  std::int64_t steps_ = 0;
};

}  // namespace braing3n::inline BRAING3N_ABI
