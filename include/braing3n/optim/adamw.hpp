// AdamW with parameter groups (Loshchilov and Hutter, arXiv 1711.05101), step by step equal to torch.optim.AdamW.
#pragma once

#include <cmath>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/core/parameter_view.hpp"
#include "braing3n/ops/update.hpp"

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
        moments_.push_back({Tensor<T, B>::zeros(p.value.context(), p.value.shape()),
                            Tensor<T, B>::zeros(p.value.context(), p.value.shape())});
      }
    }
    if (names.empty())
      fail(ErrorKind::argument, "adamw.empty",
           "adamw: expected at least one parameter, got none (is every one frozen?)");
  }

  /// Updates every parameter with its gradient times gradient_scale (see clip_coefficient). Gradients are left as they are.
  void step(double lr, double gradient_scale = 1.0) {
    step(lr, scalar(first_parameter().value.context(), gradient_scale));
  }

  /// The same with a factor that lies on the backend (see clip_factor), so that the host need not know it. One that is not finite
  /// leaves values and moments as they are.
  void step(double lr, const Tensor<double, B>& gradient_scale) {
    if (!std::isfinite(lr) || lr < 0)
      fail(ErrorKind::argument, "adamw.lr", "adamw: expected a finite learning rate of at least 0, got ", lr);
    ++steps_;
    auto moments = moments_.begin();
    for (ParameterGroup<T, B>& group : groups_) {
      const AdamWStep s{lr * group.lr_scale, options_.beta1, options_.beta2, options_.eps, group.weight_decay, steps_};
      for (ParameterView<T, B>& p : group.parameters) {
        adamw_update(p.value, p.gradient, moments->m, moments->v, gradient_scale, s);
        if (p.changed) p.changed();
        ++moments;
      }
    }
  }

  void zero_gradients() {
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
  std::int64_t steps_ = 0;
};

}  // namespace braing3n::inline BRAING3N_ABI
