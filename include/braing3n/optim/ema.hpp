// Exponential moving average of the parameters: average <- d average + (1 - d) value after every step.
//
// With warm-up the decay of update n = 0, 1, ... is min(d, (1 + n) / (10 + n)), so that the average forgets the initial
// values within the first steps.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/core/parameter_view.hpp"
#include "braing3n/ops/update.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct EmaOptions {
  double decay = 0.9999;
  bool warmup = false;

  static void visit(auto& self, auto&& v) {
    v("decay", self.decay);
    v("warmup", self.warmup);
  }
};

template <class T, Backend B>
class Ema {
 public:
  /// The averages start as copies of the values. Throws Error (config) unless 0 <= decay < 1.
  Ema(ParameterViews<T, B> parameters, const EmaOptions& options)
      : options_(options), parameters_(std::move(parameters)) {
    if (!(options.decay >= 0 && options.decay < 1))
      fail(ErrorKind::config, "ema.decay", "ema: decay ", options.decay, ", expected a number in [0, 1)");
    block_ = parameter_block(std::span<const ParameterView<T, B>>(parameters_));
    if (block_) {  // averages in a block like that of the parameters
      Context<B>& context = parameters_.front().value.context();
      all_ = Tensor<T, B>::zeros(context, {block_->size});
      context.memory().copy(all_.data(), block_->values, all_.bytes());
    }
    for (const ParameterView<T, B>& p : parameters_) {
      const Index begin = block_ ? p.value.data() - block_->values : 0;
      averages_.push_back(block_ ? all_.slice(begin, begin + p.value.size()).reshape(p.value.shape())
                                 : p.value.clone());
    }
  }

  /// Takes the current values in.
  void update() {
    if (!parameters_.empty()) update(scalar(parameters_.front().value.context(), 1.0));
  }
  /// The same, unless `factor` is not finite: the factor of the optimiser's step, which then did nothing.
  void update(const Tensor<double, B>& factor) {
    const double d = decay();
    for (std::size_t i = 0; i < parameters_.size(); ++i) ema_update(averages_[i], parameters_[i].value, factor, d);
    ++updates_;
  }

  /// The averages of a block of parameters, at the places of the values; null where this is the average of others. Whoever changes them
  /// counts the update.
  T* block_of(const ParameterBlock<T, B>& block) {
    return block_ && block_->values == block.values && block_->size == block.size ? all_.data() : nullptr;
  }

  /// Exchanges values and averages: once before an evaluation with the averaged weights, and once after it.
  void swap() {
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      ParameterView<T, B>& p = parameters_[i];
      swap_in_place(p.value, averages_[i]);
      if (p.changed) p.changed();
    }
  }

  /// Decay of the next update.
  double decay() const {
    const double n = static_cast<double>(updates_);
    return options_.warmup ? std::min(options_.decay, (1.0 + n) / (10.0 + n)) : options_.decay;
  }

  const EmaOptions& options() const { return options_; }
  std::int64_t updates() const { return updates_; }
  void set_updates(std::int64_t updates) { updates_ = updates; }

  /// f(name, tensor) for every average, under the name of its parameter. The tensors may be written to.
  template <class F>
  void visit_state(F&& f) {
    for (std::size_t i = 0; i < parameters_.size(); ++i) f(parameters_[i].name, averages_[i]);
  }

 private:
  EmaOptions options_;
  ParameterViews<T, B> parameters_;
  std::vector<Tensor<T, B>> averages_;
  std::optional<ParameterBlock<T, B>> block_;
  Tensor<T, B> all_;  // the averages of a block
  std::int64_t updates_ = 0;
};

}  // namespace braing3n::inline BRAING3N_ABI
