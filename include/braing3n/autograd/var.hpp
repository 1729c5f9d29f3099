// A tensor that may know its tape. Without a tape it is a constant, and ops on constants cost nothing extra.
#pragma once

#include <array>
#include <memory>
#include <type_traits>
#include <utility>

#include "braing3n/autograd/tape.hpp"

namespace braing3n::inline BRAING3N_ABI {

template <class T, Backend B>
class Var {
 public:
  using value_type = T;
  using backend = B;

  Var() = default;
  /// A constant.
  Var(Tensor<T, B> value) : value_(std::move(value)) {}  // NOLINT: a tensor is a constant value
  Var(Tensor<T, B> value, Slot<T, B> slot) : value_(std::move(value)), slot_(std::move(slot)) {}

  const Tensor<T, B>& value() const { return value_; }
  const Shape& shape() const { return value_.shape(); }
  Index dim(int axis) const { return value_.dim(axis); }
  bool wants_gradient() const { return slot_ != nullptr; }
  const Slot<T, B>& slot() const { return slot_; }

  /// The gradient after backward(); empty when none arrived.
  const Tensor<T, B>& gradient() const {
    if (!slot_) fail(ErrorKind::state, "var.constant", "var: a constant has no gradient");
    if (!slot_->sums.empty()) slot_->gradient = detail::take_gradient(slot_);
    return slot_->gradient;
  }
  /// The same value without its history.
  Var detach() const { return Var(value_); }
  /// Gives the tensor away, so that an op may work in place when it is not shared.
  Tensor<T, B> take() && { return std::move(value_); }

 private:
  Tensor<T, B> value_;
  Slot<T, B> slot_;
};

namespace detail {

inline void join_tape(std::shared_ptr<TapeState>& tape, const std::shared_ptr<TapeState>& other) {
  if (tape == nullptr) tape = other;
  if (tape != other)
    fail(ErrorKind::state, "tape.mixed",
         "tape: an op mixes values of two tapes; inside checkpoint() every differentiable value must be an argument of "
         "the function");
}

template <class V>
void join_tape_of(std::shared_ptr<TapeState>& tape, const V& v) {
  if (v.wants_gradient()) join_tape(tape, v.slot()->tape);
}

}  // namespace detail

namespace detail {

/// The tape an op on these inputs is recorded on; nullptr when none wants a gradient.
template <class... Inputs>
std::shared_ptr<TapeState> tape_of(const Inputs&... inputs) {
  std::shared_ptr<TapeState> tape;
  (join_tape_of(tape, inputs), ...);
  if (tape != nullptr && tape->sealed > 0)
    fail(ErrorKind::state, "checkpoint.captured",
         "checkpoint: the function uses a differentiable value from outside; pass it as an argument instead of "
         "capturing it");
  if (tape != nullptr && tape->consumed)
    fail(ErrorKind::state, "tape.consumed",
         "tape: a value of a finished tape is used again; make a new tape for each step");
  return tape;
}

template <class T, Backend B>
Slot<T, B> new_slot(const std::shared_ptr<TapeState>& tape) {
  auto slot = std::make_shared<GradientSlot<T, B>>();
  slot->tape = tape;
  return slot;
}

[[noreturn]] inline void fail_inference_only() {
  fail(ErrorKind::dtype, "tape.inference_only", "tape: bf16 on the CPU is for inference; train with the f32 policy");
}

}  // namespace detail

/// Whether values of this type can be recorded: bfloat16 on the CPU is for inference only.
template <class T, Backend B>
inline constexpr bool records_v = !(std::is_same_v<T, bfloat16> && std::is_same_v<B, Cpu>);

/// Wraps the result y of an op. When one of the inputs wants a gradient, backward(dy) is recorded; it passes dy on with
/// accumulate() to the slots it captured.
template <class T, Backend B, class Backward, class... Inputs>
Var<T, B> record(Tensor<T, B> y, Backward backward, const Inputs&... inputs) {
  const std::shared_ptr<TapeState> tape = detail::tape_of(inputs...);
  if (tape == nullptr) return Var<T, B>(std::move(y));
  if constexpr (records_v<T, B>) {
    Slot<T, B> slot = detail::new_slot<T, B>(tape);
    tape->entries.emplace_back([slot, backward = std::move(backward)] {
      if (slot->empty()) return;  // nothing downstream asked
      backward(detail::take_gradient(slot));
    });
    return Var<T, B>(std::move(y), std::move(slot));
  } else {
    detail::fail_inference_only();
  }
}

/// The same for an op with K results: backward(array of K gradients), zeros where none arrived.
template <std::size_t K, class T, Backend B, class Backward, class... Inputs>
std::array<Var<T, B>, K> record(std::array<Tensor<T, B>, K> ys, Backward backward, const Inputs&... inputs) {
  const std::shared_ptr<TapeState> tape = detail::tape_of(inputs...);
  std::array<Var<T, B>, K> results;
  std::array<Slot<T, B>, K> result_slots;
  std::array<Shape, K> shapes;
  for (std::size_t i = 0; i < K; ++i) {
    shapes[i] = ys[i].shape();
    if (tape != nullptr) result_slots[i] = detail::new_slot<T, B>(tape);
    results[i] = Var<T, B>(std::move(ys[i]), result_slots[i]);
  }
  if (tape == nullptr) return results;
  if constexpr (records_v<T, B>) {
    tape->entries.emplace_back([result_slots, shapes, backward = std::move(backward)] {
      Context<B>* context = nullptr;
      for (const Slot<T, B>& slot : result_slots)
        if (!slot->empty()) context = slot->gradient.empty() ? &slot->sums.context() : &slot->gradient.context();
      if (context == nullptr) return;
      std::array<Tensor<T, B>, K> dys;
      for (std::size_t i = 0; i < K; ++i)
        dys[i] = result_slots[i]->empty() ? Tensor<T, B>::zeros(*context, shapes[i])
                                          : detail::take_gradient(result_slots[i]);
      backward(dys);
    });
    return results;
  } else {
    detail::fail_inference_only();
  }
}

/// Whether an op on these values would be recorded.
template <class... Vs>
bool any_wants_gradient(const Vs&... vs) {
  return (vs.wants_gradient() || ...);
}

}  // namespace braing3n::inline BRAING3N_ABI
