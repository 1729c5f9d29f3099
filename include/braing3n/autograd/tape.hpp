// The tape: closures in execution order, run backwards once.
//
// There is no graph, no sorting and no global mode. A value is recorded when one of its inputs wants a gradient, and which
// tape it goes to follows from the values themselves. Rules (they keep gradients exact and memory small):
//  * activation gradients are set on first arrival and added after; parameter gradients are only ever added to;
//  * a closure is destroyed as soon as it has run, and with it the activations that only it kept alive;
//  * a tape runs once.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "braing3n/core/tensor.hpp"
#include "braing3n/ops/reduce.hpp"

namespace braing3n::inline BRAING3N_ABI {

template <class T, Backend B>
class Var;

/// What tapes share with the values recorded on them.
struct TapeState {
  std::vector<std::function<void()>> entries;
  bool consumed = false;
  int sealed = 0;  // > 0 while a checkpointed function runs: nothing may be recorded here
};

/// Where the gradient of one value is collected.
template <class T, Backend B>
struct GradientSlot {
  std::shared_ptr<TapeState> tape;
  Tensor<T, B> gradient{};            // of an activation; empty until something arrives
  Tensor<accum_t<T>, B> parameter{};  // of a parameter: shares the storage that is added to
  Tensor<accum_t<T>, B> sums{};       // of an activation in low precision: what ops of the form "gradient +=" add to

  /// Whether anything has arrived for an activation.
  bool empty() const { return gradient.empty() && sums.empty(); }
};

template <class T, Backend B>
using Slot = std::shared_ptr<GradientSlot<T, B>>;

/// Adds dy to what the slot holds; does nothing for a value that wants no gradient.
template <class T, Backend B>
void accumulate(const Slot<T, B>& slot, const Tensor<T, B>& dy) {
  if (!slot) return;
  if (slot->parameter) {
    add_to(slot->parameter, dy);
  } else if (slot->gradient.empty()) {
    slot->gradient = dy;
  } else if (slot->gradient.unique()) {
    add_to(slot->gradient, dy);
  } else {
    slot->gradient = add_forward(slot->gradient, dy);
  }
}

namespace detail {

/// Moves the gradient out, so that the slot holds no memory while the backward runs.
template <class T, Backend B>
Tensor<T, B> take_gradient(const Slot<T, B>& slot) {
  Tensor<T, B> dy = std::move(slot->gradient);
  slot->gradient = {};
  if constexpr (!std::is_same_v<T, accum_t<T>>) {
    if (!slot->sums.empty()) {  // rounded once, after everything has been added
      Tensor<accum_t<T>, B> sums = std::move(slot->sums);
      slot->sums = {};
      if (!dy.empty()) add_to(sums, dy);
      dy = cast<T>(sums);
    }
  }
  return dy;
}

}  // namespace detail

template <Backend B>
class Tape {
 public:
  Tape() : state_(std::make_shared<TapeState>()) {}
  /// Closures hold the slots of values, and slots hold the state: a tape that never ran has to cut that circle.
  ~Tape() {
    state_->consumed = true;
    while (!state_->entries.empty()) state_->entries.pop_back();
  }
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  /// A differentiable input: its gradient is in Var::gradient() after backward().
  template <class T>
  Var<T, B> leaf(Tensor<T, B> value) {
    auto slot = std::make_shared<GradientSlot<T, B>>();
    slot->tape = state_;
    return Var<T, B>(std::move(value), std::move(slot));
  }

  /// f() runs in the backward as soon as the gradients of everything recorded after this call are complete, those of its parameters
  /// included: for work that can begin before the backward ends. Throws Error (state) after backward().
  void mark(std::function<void()> f) {
    if (state_->consumed)
      fail(ErrorKind::state, "tape.consumed", "tape: expected a mark before backward(), got one after it");
    state_->entries.push_back(std::move(f));
  }

  /// Runs the tape backwards from `y` with the gradient `upstream` of the same shape. A tape runs once: a second call throws
  /// Error (state).
  template <class T>
  void backward(const Var<T, B>& y, const Tensor<T, B>& upstream) {
    if (state_->consumed)
      fail(ErrorKind::state, "tape.consumed", "tape: backward was already called; make a new tape for each step");
    if (!y.wants_gradient())
      fail(ErrorKind::state, "tape.constant",
           "tape: the value depends on nothing that wants a gradient (is every parameter frozen?)");
    if (y.slot()->tape != state_) fail(ErrorKind::state, "tape.other", "tape: the value was recorded on another tape");
    require_same_shape("tape: backward", y.value(), upstream);
    state_->consumed = true;
    accumulate(y.slot(), upstream);
    while (!state_->entries.empty()) {
      const std::function<void()> entry = std::move(state_->entries.back());
      state_->entries.pop_back();
      entry();
    }
  }

  /// The same for a scalar, with upstream gradient 1.
  template <class T>
  void backward(const Var<T, B>& loss) {
    if (loss.value().size() != 1)
      fail(ErrorKind::shape, "tape.scalar", "tape: backward without an upstream gradient: expected a scalar, got ",
           loss.shape());
    backward(loss, full<T>(loss.value().context(), loss.shape(), 1.0));
  }

  std::size_t size() const { return state_->entries.size(); }
  const std::shared_ptr<TapeState>& state() const { return state_; }

 private:
  std::shared_ptr<TapeState> state_;
};

}  // namespace braing3n::inline BRAING3N_ABI
