// A new layer: parts from the library, one visit() that names them, and from it initialisation, training and printing.
#include <iostream>

#include <braing3n/braing3n.hpp>
#include <braing3n/train.hpp>

using namespace braing3n;

// [layer]
/// y = x + value(x) * sigmoid-like gate: gelu(gate(norm(x))). x (N, L, width).
template <Backend B, Precision P>
struct ResidualLayer {
  LayerNorm<B, P> norm;
  Linear<B, P> inner, outer;

  ResidualLayer(Context<B>& context, Index width)
      : norm(context, width, 1e-6), inner(context, width, 2 * width), outer(context, 2 * width, width) {}

  auto operator()(Pass<B>& pass, const Var<typename P::Compute, B>& x) const {
    return add(x, outer(pass, gelu(inner(pass, norm(pass, x)))));
  }
  static void visit(auto& self, auto&& v) { v("norm", self.norm), v("inner", self.inner), v("outer", self.outer); }
};
// [layer]

int main() {
  Context<Cpu> context;
  ResidualLayer<Cpu, F32> layer(context, 8);
  initialize(layer, 1);
  auto parameters = parameter_views<ResidualLayer<Cpu, F32>, Cpu>(layer);
  AdamW<float, Cpu> optimizer(parameters, {});
  const std::vector<std::uint32_t> samples = {0, 1, 2, 3};
  const auto x = draw_noise<float>(context, 1, 0, samples, {6, 8});  // (4, 6, 8)
  for (int step = 0; step < 100; ++step) {
    optimizer.zero_gradients();
    Tape<Cpu> tape;
    Pass<Cpu> pass(context, tape);
    const auto loss = mse_loss(layer(pass, Var<float, Cpu>(x)), scale_forward(x, 2.0));  // learn to double
    tape.backward(loss);
    optimizer.step(1e-2);
    if (step % 33 == 0) std::cout << "step " << step << ": loss " << item(loss) << '\n';
  }
  std::cout << describe(layer);
  return 0;
}
