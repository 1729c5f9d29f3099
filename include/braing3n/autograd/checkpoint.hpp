// Activation checkpointing: keep the inputs of a sub-graph, recompute it when its gradient is needed.
#pragma once

#include <tuple>
#include <utility>

#include "braing3n/autograd/pass.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// While it lives, nothing can be recorded on the tape: a value that f captured instead of taking it as an argument shows.
class SealedTape {
 public:
  explicit SealedTape(std::shared_ptr<TapeState> tape) : tape_(std::move(tape)) { ++tape_->sealed; }
  ~SealedTape() { --tape_->sealed; }
  SealedTape(const SealedTape&) = delete;
  SealedTape& operator=(const SealedTape&) = delete;

 private:
  std::shared_ptr<TapeState> tape_;
};

/// What a slot has collected, unrounded, to another slot of the same value.
template <class T, Backend B>
void move_gradient(const Slot<T, B>& from, const Slot<T, B>& to) {
  to->gradient = std::exchange(from->gradient, {});
  to->sums = std::exchange(from->sums, {});
}

/// A leaf of the inner tape that goes on collecting where the outer slot stands, so that every sum is formed in the order of
/// the plain call and no bit differs.
template <class T, Backend B>
Var<T, B> leaf_for(Tape<B>& tape, const Tensor<T, B>& value, const Slot<T, B>& outer) {
  if (outer == nullptr) return Var<T, B>(value);
  Var<T, B> leaf = tape.leaf(value);
  move_gradient(outer, leaf.slot());
  leaf.slot()->parameter = outer->parameter;
  return leaf;
}

template <class T, Backend B>
void return_gradient(const Slot<T, B>& outer, const Var<T, B>& leaf) {
  if (outer != nullptr) move_gradient(leaf.slot(), outer);
}

}  // namespace detail

/// y = f(pass, x...), with the activations inside f dropped after the forward and recomputed in the backward; gradients are
/// equal bit for bit to those of the plain call. f: (Pass<B>&, const Var&...) -> Var, called twice, so it must be a function
/// of its arguments; every differentiable value it uses must be an argument (a captured one throws Error (state)), parameters
/// excepted. Taps stay silent in the recomputation.
template <Backend B, class F, class... Vars>
auto checkpoint(Pass<B>& pass, F f, const Vars&... x) -> decltype(f(pass, x...)) {
  using Result = decltype(f(pass, x...));
  using T = typename Result::value_type;
  if (pass.tape() == nullptr) return f(pass, x...);

  Context<B>& context = pass.context();
  Tensor<T, B> y;
  {
    const detail::SealedTape seal(pass.tape()->state());
    Pass<B> plain(context);
    plain.taps = pass.taps;
    plain.check_finite = pass.check_finite;
    y = f(plain, x.detach()...).value();
  }
  // Parameters inside f want gradients even when no input does, so the result is recorded on the pass's tape in any case.
  const Var<T, B> anchor = pass.tape()->leaf(y);
  auto backward = [&context, f = std::move(f), values = std::make_tuple(x.value()...),
                   input_slots = std::make_tuple(x.slot()...)](const Tensor<T, B>& dy) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      Tape<B> inner;
      Pass<B> again(context, inner);
      auto leaves = std::make_tuple(detail::leaf_for(inner, std::get<I>(values), std::get<I>(input_slots))...);
      const Result recomputed = f(again, std::get<I>(leaves)...);
      if (recomputed.wants_gradient()) inner.backward(recomputed, dy);
      (detail::return_gradient(std::get<I>(input_slots), std::get<I>(leaves)), ...);
    }(std::index_sequence_for<Vars...>{});
  };
  return record(std::move(y), std::move(backward), anchor, x...);
}

/// block(pass, x), checkpointed when the pass says so. The block must stay where it is until the backward.
template <Backend B, class Block, class T>
Var<T, B> run_block(Pass<B>& pass, const Block& block, Var<T, B> x) {
  if (!pass.recompute_blocks || pass.tape() == nullptr) return block(pass, std::move(x));
  return checkpoint(pass, [&block](Pass<B>& p, const Var<T, B>& v) { return block(p, v); }, x);
}

}  // namespace braing3n::inline BRAING3N_ABI
