// y = x W^T + b, optionally followed by an activation.
#pragma once

#include "braing3n/autograd/compiled.hpp"
#include "braing3n/autograd/ops.hpp"
#include "braing3n/autograd/parameter.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct LinearConfig {
  bool bias = true;
  Init weight_init{Init::Kind::uniform, 0.0, {}};  // scale 0: Xavier
  Init bias_init{};
};

/// x (..., in) -> (..., out); weight (out, in), bias (out), named and laid out as torch.nn.Linear.
template <Backend B, Precision P>
struct Linear {
  using Act = Var<typename P::Compute, B>;

  Index in = 0, out = 0;
  Parameter<B, P> weight, bias;
  std::string path;

  Linear() = default;
  Linear(Context<B>& context, Index inputs, Index outputs, const LinearConfig& options = {});

  Act operator()(Pass<B>& pass, const Act& x, Activation activation = Activation::none) const;

  /// residual + (x W^T + b), in one pass over memory when nothing is recorded.
  Act add_to(Pass<B>& pass, const Act& residual, const Act& x) const;

  static void visit(auto& self, auto&& v) {
    v("weight", self.weight);
    v("bias", self.bias);
  }

 private:
  LinearOptions<typename P::Compute, B> inference_options(Activation activation) const;
};

template <Backend B, Precision P>
Linear<B, P>::Linear(Context<B>& context, Index inputs, Index outputs, const LinearConfig& options)
    : in(inputs), out(outputs) {
  if (in < 1 || out < 1)
    fail(ErrorKind::config, "linear.size", "linear: expected positive sizes, got ", in, " -> ", out);
  Init init = options.weight_init;
  if (init.kind == Init::Kind::uniform && init.scale == 0.0) init = xavier_uniform(in, out);
  weight = Parameter<B, P>(context, {.shape = {out, in}, .init = init});
  if (options.bias) bias = Parameter<B, P>(context, {.shape = {out}, .init = options.bias_init, .decay = false});
}

template <Backend B, Precision P>
auto Linear<B, P>::operator()(Pass<B>& pass, const Act& x, Activation activation) const -> Act {
  return pass.at(path, [&] {
    const Act w = weight.var(pass);
    const Act b = bias.exists() ? bias.var(pass) : Act();
    if (any_wants_gradient(x, w, b)) return linear(x, w, b, activation);
    return Act(linear_forward(x.value(), w.value(), b.value(), inference_options(activation)).y);
  });
}

template <Backend B, Precision P>
auto Linear<B, P>::add_to(Pass<B>& pass, const Act& residual, const Act& x) const -> Act {
  return pass.at(path, [&] {
    const Act w = weight.var(pass);
    const Act b = bias.exists() ? bias.var(pass) : Act();
    if (any_wants_gradient(residual, x, w, b)) return linear_add(residual, x, w, b);
    LinearOptions<typename P::Compute, B> options = inference_options(Activation::none);
    options.residual = residual.value();
    return Act(linear_forward(x.value(), w.value(), b.value(), options).y);
  });
}

template <Backend B, Precision P>
auto Linear<B, P>::inference_options(Activation activation) const -> LinearOptions<typename P::Compute, B> {
  LinearOptions<typename P::Compute, B> options;
  options.activation = activation;
  if (weight.context().template keeps_packed_weights<typename P::Compute>())
    options.packed = weight.derived([](const Tensor<typename P::Compute, B>& w) { return pack_weight(w); });
  return options;
}

BRAING3N_COMPILED_LAYER(Linear)

}  // namespace braing3n::inline BRAING3N_ABI
