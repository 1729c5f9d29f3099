// The optimiser over the flattened parameters of a model: one launch, whatever their number.
#include "tests/cuda/both.hpp"

#include "braing3n/cuda.cuh"
#include "braing3n/nn/flatten.hpp"
#include "braing3n/nn/initialize.hpp"
#include "braing3n/nn/mlp.hpp"
#include "braing3n/nn/norm.hpp"
#include "braing3n/ops/transfer.hpp"
#include "braing3n/optim/adamw.hpp"
#include "braing3n/optim/clip.hpp"

using namespace braing3n;
using test::apart;

namespace {

/// Weights with decay, biases without, and with BF16 some that have copies and some that do not.
template <Backend B, Precision P>
struct Layers {
  std::vector<Mlp<B, P>> mlps;
  LayerNorm<B, wide_t<P>> norm;
  Layers(Context<B>& context, int depth) : norm(context, 13, 1e-6) {
    for (int i = 0; i < depth; ++i) mlps.emplace_back(context, 13, 21);
    bind_names(*this);
    initialize(*this, 3);
  }
  static void visit(auto& self, auto&& v) {
    v("mlps", self.mlps);
    v("norm", self.norm);
  }
};

template <Precision P, Backend B>
std::vector<double> stepped(Context<B>& context, Context<Cpu>& host, int depth, bool block) {
  Layers<B, P> model(context, depth);
  if (block) flatten<Layers<B, P>, B>(model, context);
  auto views = parameter_views<Layers<B, P>, B>(model);
  AdamW<float, B> optimizer(views, {.weight_decay = 0.1});
  Ema<float, B> average(views, {.decay = 0.9});
  std::uint32_t id = 0;
  for (int i = 0; i < 3; ++i) {
    for (auto& p : views) {
      const auto g = to_backend<float>(context, test::random<float>(host, p.value.shape(), ++id));
      context.memory().copy(p.gradient.data(), g.data(), g.bytes());
    }
    const auto factor = clip_factor(squared_gradient_norm(std::span<const ParameterView<float, B>>(views)), 1.0);
    optimizer.step(0.01, factor, &average);
  }
  std::vector<double> all;
  const auto add = [&](const auto& t) {
    for (const auto v : t.to_host()) all.push_back(static_cast<double>(static_cast<float>(v)));
  };
  for_each_parameter(model, [&](const std::string&, const auto& p) {
    add(p.value());
    // The copy that products read is that of the value.
    const auto copy = p.compute().to_host();
    const auto value = p.value().to_host();
    for (std::size_t i = 0; i < copy.size(); ++i)
      CHECK(static_cast<float>(copy[i]) ==
            static_cast<float>(static_cast<typename std::remove_cvref_t<decltype(p)>::Compute>(value[i])));
  });
  optimizer.visit_state([&](const std::string&, Tensor<float, B>& t) { add(t); });
  average.visit_state([&](const std::string&, Tensor<float, B>& t) { add(t); });
  average.swap();
  for_each_parameter(model, [&](const std::string&, const auto& p) { add(p.compute()); });
  return all;
}

}  // namespace

TEST_CASE("steps over one block are those of the parameters on their own, and those of the CPU") {
  test::Both b;
  const auto cpu = stepped<F32>(b.cpu, b.cpu, 2, true), gpu = stepped<F32>(b.cuda, b.cpu, 2, true);
  CHECK(cpu == stepped<F32>(b.cpu, b.cpu, 2, false));
  CHECK(apart(gpu, cpu) < 1e-5);
  CHECK(apart(gpu, stepped<F32>(b.cuda, b.cpu, 2, false)) < 1e-5);
  CHECK(apart(stepped<BF16>(b.cuda, b.cpu, 2, true), stepped<BF16>(b.cuda, b.cpu, 2, false)) < 1e-5);
}

#ifdef BRAING3N_EMULATE_CUDA
TEST_CASE("clipping, AdamW, average and copies are as many launches for ten layers as for one") {
  test::Both b;
  std::vector<std::uint64_t> launches;
  for (const int depth : {1, 10}) {
    Layers<Cuda, BF16> model(b.cuda, depth);
    flatten<Layers<Cuda, BF16>, Cuda>(model, b.cuda);
    auto views = parameter_views<Layers<Cuda, BF16>, Cuda>(model);
    AdamW<float, Cuda> optimizer(views, {});
    Ema<float, Cuda> average(views, {});
    b.cuda.synchronize();
    emulation::reset_counters();
    optimizer.zero_gradients();
    CHECK(emulation::counters().fills == 1);
    const auto factor = clip_factor(squared_gradient_norm(std::span<const ParameterView<float, Cuda>>(views)), 1.0);
    b.cuda.synchronize();
    const std::uint64_t before = emulation::counters().launches;
    optimizer.step(0.01, factor, &average);
    b.cuda.synchronize();
    CHECK(emulation::counters().launches == before + 1);
    CHECK(emulation::counters().copies_to_device == 0);
    launches.push_back(emulation::counters().launches);
  }
  CHECK(launches[0] <= 5);
  CHECK(launches[1] <= launches[0] + 1);  // partial sums of a long block are added by a launch of their own
}
#endif
