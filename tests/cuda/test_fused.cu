// Calls that a GPU does in fewer passes: against the ops they consist of, on the GPU and on the CPU. On the CPU they are these ops, bit for
// bit.
#include "tests/cuda/both.hpp"

#include "braing3n/autograd/ops.hpp"
#include "braing3n/cuda.cuh"
#include "braing3n/ops/linear_backward.hpp"
#include "braing3n/ops/masked_patch.hpp"
#include "braing3n/ops/norm_modulate.hpp"

using namespace braing3n;
using test::apart;
using test::Both;
using test::download;
using test::upload;

namespace {

#ifdef BRAING3N_EMULATE_CUDA
template <class F>
std::uint64_t launches(Both& b, F&& f) {
  b.cuda.synchronize();
  emulation::reset_counters();
  f();
  b.cuda.synchronize();
  return emulation::counters().launches;
}
#endif

template <class T>
void compare_linear(Both& b, Index rows, Index in, Index out, Activation activation) {
  using A = accum_t<T>;
  CAPTURE(rows);
  CAPTURE(out);
  CAPTURE(static_cast<int>(activation));
  const auto x = test::random<T>(b.cpu, {rows, in}, 1), w = test::random<T>(b.cpu, {out, in}, 2, 0.3),
             dy = test::random<T>(b.cpu, {rows, out}, 3), pre = test::random<T>(b.cpu, {rows, out}, 4);
  auto dw = test::random<A>(b.cpu, {out, in}, 5), db = test::random<A>(b.cpu, {out}, 6);
  auto gdw = upload(b, dw), gdb = upload(b, db);
  auto pdw = dw.clone(), pdb = db.clone();
  LinearBackwardOptions<T, Cpu> o{.activation = activation, .dweight = &dw, .dbias = &db};
  LinearBackwardOptions<T, Cuda> go{.activation = activation, .dweight = &gdw, .dbias = &gdb};
  if (activation != Activation::none) o.preactivation = pre, go.preactivation = upload(b, pre);
  const auto dx = linear_backward(x, w, dy, o);
  const auto gdx = linear_backward(upload(b, x), upload(b, w), upload(b, dy), go);
  const double scale = std::sqrt(static_cast<double>(std::max(rows, out)));
  CHECK(apart(b, gdx, dx) <= test::tolerance<T>(out));
  CHECK(apart(b, gdw, dw) <= test::tolerance<T>(rows, sizeof(T) == 2 ? 0.5 * scale : scale));
  CHECK(apart(b, gdb, db) <= test::tolerance<T>(rows, sizeof(T) == 2 ? 0.5 * scale : scale));
  // The CPU's own parts.
  const auto dz = activation_backward(pre, dy, activation);
  CHECK(test::same_bits(dx, linear_backward_input(dz, w)));
  linear_backward_weight(x, dz, pdw);
  linear_backward_bias(dz, pdb);
  CHECK(test::same_bits(dw, pdw));
  CHECK(test::same_bits(db, pdb));
}

}  // namespace

TEST_CASE_TEMPLATE("gradients of a linear layer in one call", T, float, double, bfloat16) {
  Both b;
  for (const Activation activation : {Activation::none, Activation::gelu, Activation::gelu_tanh, Activation::silu})
    for (const Index rows : {1, 33, 70})
      for (const Index out : {16, 13}) compare_linear<T>(b, rows, 9, out, activation);
}

TEST_CASE("gradients that nobody wants are left alone, and a bias alone is summed") {
  Both b;
  const auto x = upload(b, test::random<float>(b.cpu, {40, 9}, 1)),
             w = upload(b, test::random<float>(b.cpu, {16, 9}, 2));
  const auto dy = test::random<float>(b.cpu, {40, 16}, 3);
  auto db = Tensor<float, Cpu>::zeros(b.cpu, {16});
  auto gdb = upload(b, db);
  linear_backward_bias(dy, db);
  CHECK(
      linear_backward(x, w, upload(b, dy), LinearBackwardOptions<float, Cuda>{.input = false, .dbias = &gdb}).empty());
  CHECK(apart(b, gdb, db) <= test::tolerance<float>(40));
  auto gdw = Tensor<float, Cuda>::zeros(b.cuda, {16, 9});
  CHECK(linear_backward(x, w, upload(b, dy), LinearBackwardOptions<float, Cuda>{.input = false, .dweight = &gdw})
            .empty());
  auto wrong = Tensor<float, Cuda>::zeros(b.cuda, {15});
  test::check_error("op.shape", {"linear_backward", "bias gradient"},
                    [&] { linear_backward(x, w, upload(b, dy), LinearBackwardOptions<float, Cuda>{.dbias = &wrong}); });
#ifdef BRAING3N_EMULATE_CUDA
  const auto gdy = upload(b, dy);
  const auto all = [&](Activation activation) {
    return launches(b, [&] {
      linear_backward(x, w, gdy,
                      LinearBackwardOptions<float, Cuda>{
                          .activation = activation, .preactivation = gdy, .dweight = &gdw, .dbias = &gdb});
    });
  };
  CHECK(all(Activation::none) == 1);  // 2 in parts
  CHECK(all(Activation::gelu) == 2);  // 3 in parts
  CHECK(emulation::counters().products == 2);
  // Where cuBLASLt has no sums of gradients, everything is as before.
  emulation::options().missing_epilogues = CUBLASLT_EPILOGUE_BGRADB;
  emulation::set_quiet(true);
  {
    Both fresh;
    compare_linear<float>(fresh, 33, 9, 16, Activation::none);
    CHECK(fresh.cuda.product_plans().counts().unavailable == 1);
  }
  emulation::set_quiet(false);
  emulation::options().missing_epilogues = 0;
  CHECK(emulation::take_refusals().size() == 1);
#endif
}

namespace {

template <class T>
struct NormCase {
  Tensor<T, Cpu> residual, gate, branch, shift, scale, dx, dy;
  NormCase(Both& b, Index samples, Index tokens, Index width)
      : residual(test::random<T>(b.cpu, {samples, tokens, width}, 1, 2)),
        gate(test::random<T>(b.cpu, {samples, width}, 2)), branch(test::random<T>(b.cpu, {samples, tokens, width}, 3)),
        shift(test::random<T>(b.cpu, {samples, width}, 4)), scale(test::random<T>(b.cpu, {samples, width}, 5)),
        dx(test::random<T>(b.cpu, {samples, tokens, width}, 6)),
        dy(test::random<T>(b.cpu, {samples, tokens, width}, 7)) {}
  NormModulateInputs<T, Cpu> inputs(bool gated) const {
    const Tensor<T, Cpu> none;
    return {residual, gated ? gate : none, gated ? branch : none, shift, scale, 1e-6};
  }
};

template <class T>
NormModulateInputs<T, Cuda> upload_inputs(Both& b, const NormModulateInputs<T, Cpu>& in) {
  const auto there = [&](const Tensor<T, Cpu>& x) { return x.empty() ? Tensor<T, Cuda>() : upload(b, x); };
  return {upload(b, in.residual), there(in.gate), there(in.branch), upload(b, in.shift), upload(b, in.scale), in.eps};
}

}  // namespace

TEST_CASE_TEMPLATE("norm, modulation and gate in one call", T, float, double, bfloat16) {
  Both b;
  for (const Index tokens : {1, 32, 45})
    for (const bool gated : {false, true})
      for (const bool with_dx : {false, true}) {
        CAPTURE(tokens);
        CAPTURE(gated);
        CAPTURE(with_dx);
        const NormCase<T> given(b, 2, tokens, 300);
        const auto in = given.inputs(gated);
        const auto gin = upload_inputs(b, in);
        const auto r = norm_modulate_forward(in);
        const auto gr = norm_modulate_forward(gin);
        CHECK(apart(b, gr.x, r.x) <= test::tolerance<T>());
        CHECK(apart(b, gr.y, r.y) <= test::tolerance<T>(1, 8.0));
        const Tensor<T, Cpu> none;
        const auto d = norm_modulate_backward(in, r, with_dx ? given.dx : none, given.dy);
        const auto gd =
            norm_modulate_backward(gin, gr, with_dx ? upload(b, given.dx) : Tensor<T, Cuda>(), upload(b, given.dy));
        const double sums = test::tolerance<T>(tokens, 8.0);
        CHECK(apart(b, gd.residual, d.residual) <= test::tolerance<T>(1, 8.0));
        CHECK(apart(b, gd.shift, d.shift) <= sums);
        CHECK(apart(b, gd.scale, d.scale) <= sums);
        if (gated) CHECK(apart(b, gd.gate, d.gate) <= sums);
        if (gated) CHECK(apart(b, gd.branch, d.branch) <= test::tolerance<T>(1, 16.0));
        // The CPU's own parts.
        const auto x = gated ? gated_add_forward(in.residual, in.gate, in.branch) : in.residual;
        const auto norm = layer_norm_forward(x, none, none);
        CHECK(test::same_bits(r.y, modulate_forward(norm.y, in.shift, in.scale)));
        const auto m = modulate_backward(norm.y, in.scale, given.dy);
        auto dx = layer_norm_backward(x, none, norm, m.dx);
        if (with_dx) dx = add_forward(given.dx, dx);
        CHECK(test::same_bits(d.residual, dx));
        CHECK(test::same_bits(d.shift, m.dshift));
        CHECK(test::same_bits(d.scale, m.dscale));
        if (!gated) continue;
        const auto g = gate_backward(in.gate, in.branch, dx);
        CHECK(test::same_bits(d.gate, g.dg));
        CHECK(test::same_bits(d.branch, g.dx));
      }
#ifdef BRAING3N_EMULATE_CUDA
  const NormCase<T> given(b, 2, 45, 40);
  const auto in = upload_inputs(b, given.inputs(true));
  const auto dx = upload(b, given.dx), dy = upload(b, given.dy);
  NormModulateResult<T, Cuda> r;
  CHECK(launches(b, [&] { r = norm_modulate_forward(in); }) == 1);          // 3 in parts
  CHECK(launches(b, [&] { norm_modulate_backward(in, r, dx, dy); }) == 2);  // 10 in parts
#endif
}

TEST_CASE("a gate without a branch is refused") {
  Both b;
  const NormCase<float> given(b, 1, 2, 4);
  auto in = given.inputs(true);
  in.branch = {};
  test::check_error("norm_modulate.gate", {"expected a gate and a branch or neither"},
                    [&] { norm_modulate_forward(in); });
}

TEST_CASE_TEMPLATE("the loss of masked patches with its gradient in one call", T, float, double, bfloat16) {
  Both b;
  for (const bool normalize : {false, true})
    for (const double up : {1.0, 0.25}) {
      CAPTURE(normalize);
      CAPTURE(up);
      const auto p = test::random<T>(b.cpu, {2, 6, 300}, 1), t = test::random<T>(b.cpu, {2, 6, 300}, 2, 3);
      const std::vector<std::uint32_t> samples = {1, 2};
      const auto mask = draw_token_mask(b.cpu, 3, 0, std::span<const std::uint32_t>(samples), 6, 0.5);
      const auto gmask = draw_token_mask(b.cuda, 3, 0, std::span<const std::uint32_t>(samples), 6, 0.5);
      const auto upstream = full<double>(b.cpu, Shape{}, up);
      const auto r = masked_patch_forward(p, t, mask.masked, normalize, true);
      const auto d = masked_patch_backward(p, r, mask.masked, upstream);
      const auto wanted = normalize ? normalize_patches(t) : t;
      CHECK(item(r.loss) == item(masked_patch_mse_forward(p, wanted, mask.masked)));
      CHECK(test::same_bits(d, masked_patch_mse_backward(p, wanted, mask.masked, upstream)));
      const auto gp = upload(b, p), gt = upload(b, t);
      const auto gr = masked_patch_forward(gp, gt, gmask.masked, normalize, true);
      CHECK(item(gr.loss) == doctest::Approx(item(r.loss)).epsilon(sizeof(T) == 2 ? 1e-3 : 1e-12));
      const auto gd = masked_patch_backward(gp, gr, gmask.masked, upload(b, upstream));
      CHECK(apart(b, gd, d) <= test::tolerance<T>(1, 2.0 / 900));
      CHECK(masked_patch_forward(gp, gt, gmask.masked, normalize, false).gradient.empty());
#ifdef BRAING3N_EMULATE_CUDA
      CHECK(launches(b, [&] { masked_patch_forward(gp, gt, gmask.masked, normalize, true); }) ==
            2);  // 2, or 5, in parts
#endif
    }
}
