// Training steps, sampling and decoding of the paper's models on a GPU, as CSV: beside the rate of large products in the same precision.
//
//   bench_gpu_models [--budget 0.3] [--small]
#include <string>
#include <vector>

#include "bench/gpu/report.hpp"
#include "bench/support/model_cost.hpp"
#include "braing3n/cuda.cuh"
#include "braing3n/models/cnn_decoder3d.hpp"
#include "braing3n/models/dit3d.hpp"
#include "braing3n/models/mae3d.hpp"
#include "braing3n/nn/initialize.hpp"
#include "braing3n/objective/flow_matching.hpp"
#include "braing3n/sample/generate.hpp"
#include "braing3n/train/trainer.hpp"

using namespace braing3n;

namespace {

struct Run {
  Context<Cuda>* context;
  const bench::GpuReport* report;
  bool small;
  double products;  // multiplications and additions a second of large ones, times 1e-9

  template <class F>
  void line(const std::string& what, double flop, F&& f) const {
    report->line(what, flop, "GFLOP/s", products, "products", f);
    std::printf("models,\"%s: memory at most\",,%.0f,MB,,\n", what.c_str(),
                static_cast<double>(context->memory().stats().peak) * 1e-6);
    context->memory().trim();
    context->memory().reset_peak();
  }
};

Mae3dConfig mae_config(bool small) {
  Mae3dConfig c;
  if (!small) return c;
  c.encoder = {.image = {8, 12, 8}, .patch = {4, 4, 4}, .width = 24, .depth = 1, .heads = 2, .mlp = 32};
  c.decoder_width = 24, c.decoder_depth = 1, c.decoder_heads = 2, c.decoder_mlp = 32;
  return c;
}
Dit3dConfig dit_config(bool small) {
  Dit3dConfig c;
  if (small) c.channels = 6, c.grid = {2, 3, 2}, c.width = 48, c.depth = 1, c.heads = 4, c.mlp = 192;
  return c;
}
std::vector<ConditionRow> known(const Dit3dConfig& config, Index n) {
  ConditionRow row(config.conditions.size());
  for (std::size_t f = 0; f < row.size(); ++f)
    if (config.conditions[f].kind == ConditionKind::categorical) row[f].label = 0;
  return std::vector<ConditionRow>(static_cast<std::size_t>(n), row);
}
std::vector<std::uint32_t> numbers(Index n) {
  std::vector<std::uint32_t> all;
  for (Index i = 0; i < n; ++i) all.push_back(static_cast<std::uint32_t>(i));
  return all;
}

/// The masked autoencoder on one batch of noise, with other masks each time.
template <Precision P>
struct MaeTask {
  using T = typename P::Compute;
  using Model = Mae3d<Cuda, P>;
  Context<Cuda>& context;
  const Model& model;
  Tensor<T, Cuda> x;
  Index taken = 0;

  struct Batch {
    TokenMask<Cuda> mask;
  };
  Index position() const { return taken; }
  Index scans() const { return x.dim(0); }
  Batch next() {
    const std::vector<std::uint32_t> samples = numbers(x.dim(0));
    return {draw_token_mask(context, 3, static_cast<std::uint32_t>(taken++), std::span<const std::uint32_t>(samples),
                            model.config.encoder.tokens(), 0.7)};
  }
  Var<double, Cuda> loss(Pass<Cuda>& pass, const Batch& b) const {
    const auto out = model(pass, x, b.mask);
    return masked_patch_loss(out.prediction, out.target, b.mask, true);
  }
};

/// The transformer on one batch of noise, with other noise on it each time.
template <Precision P>
struct DitTask {
  using T = typename P::Compute;
  using Model = Dit3d<Cuda, P>;
  Context<Cuda>& context;
  const Model& model;
  Tensor<T, Cuda> z;
  ConditionBatch conditions;
  Index taken = 0;

  struct Batch {
    FlowSample<T, Cuda> flow;
    std::vector<double> t;
  };
  Index position() const { return taken; }
  Index scans() const { return z.dim(0); }
  Batch next() {
    std::vector<Index> places;
    for (Index i = 0; i < z.dim(0); ++i) places.push_back(taken * z.dim(0) + i);
    ++taken;
    const std::vector<double> t = draw_times(3, std::span<const Index>(places), TimeDistribution::uniform);
    return {flow_interpolate(z, draw_noise<T>(context, 3, std::span<const Index>(places), {z.dim(1), z.dim(2)}), t), t};
  }
  Var<double, Cuda> loss(Pass<Cuda>& pass, const Batch& b) const {
    return mse_loss(model(pass, Var<T, Cuda>(b.flow.x_t), b.t, conditions), b.flow.velocity);
  }
};

TrainingOptions training() {
  TrainingOptions o;
  o.steps = 1'000'000, o.validate_every = 1'000'000;
  return o;
}

template <Precision P>
void mae_step(const Run& run) {
  const Index batch = run.small ? 2 : 16;
  Mae3d<Cuda, P> model(*run.context, mae_config(run.small));
  initialize(model, 1);
  Trainer<Mae3d<Cuda, P>, Cuda> trainer(*run.context, model, training(), 1);
  const Extent3 n = model.config.encoder.image;
  MaeTask<P> task{*run.context, model,
                  bench::gpu_noise<typename P::Compute>(*run.context, {batch, n[0], n[1], n[2], 1})};
  run.line(concat("MAE step, ", P::name, ", batch ", batch), 3 * bench::mae_flop(static_cast<double>(batch)),
           [&] { trainer.advance(task); });
  trainer.finish();
}

template <Precision P>
void dit_step(const Run& run) {
  const Index batch = run.small ? 2 : 28;
  Dit3d<Cuda, P> model(*run.context, dit_config(run.small));
  initialize(model, 1);
  Trainer<Dit3d<Cuda, P>, Cuda> trainer(*run.context, model, training(), 1);
  DitTask<P> task{
      *run.context, model,
      bench::gpu_noise<typename P::Compute>(*run.context, {batch, volume_of(model.config.grid), model.config.channels}),
      condition_batch(model.config.conditions, known(model.config, batch))};
  run.line(concat("DiT step, ", P::name, ", batch ", batch), 3 * bench::dit_flop(static_cast<double>(batch)),
           [&] { trainer.advance(task); });
  trainer.finish();
}

/// Guided samples of 50 steps.
template <Precision P>
void sampling(const Run& run) {
  const Index batch = run.small ? 2 : 8;
  const int steps = run.small ? 2 : 50;
  Dit3d<Cuda, P> model(*run.context, dit_config(run.small));
  initialize(model, 1);
  const std::vector<std::uint32_t> ids = numbers(batch);
  const std::vector<ConditionRow> conditions = known(model.config, batch);
  run.line(concat("guided samples, ", steps, " steps, ", P::name, ", batch ", batch),
           steps * bench::dit_flop(2.0 * static_cast<double>(batch)), [&] {
             sample_latents(*run.context, model, std::span<const std::uint32_t>(ids), conditions, 1,
                            {.steps = steps, .guidance = {.scale = 2}});
           });
}

template <Precision P>
void decode(const Run& run) {
  const Index batch = run.small ? 1 : 4;
  CnnDecoder3dConfig config = residual_first_decoder();
  if (run.small) config.grid = {1, 1, 1};
  CnnDecoder3d<Cuda, P> decoder(*run.context, config);
  initialize(decoder, 1);
  const auto z = bench::gpu_noise<typename P::Compute>(*run.context, {batch, volume_of(config.grid), 32});
  Pass<Cuda> pass(*run.context);
  run.line(concat("decoder, ", P::name, ", batch ", batch), bench::decoder_flop(static_cast<double>(batch)),
           [&] { decoder(pass, Var<typename P::Compute, Cuda>(z)); });
}

}  // namespace

int main(int argc, char** argv) {
  const auto arguments = bench::GpuArguments::parse(argc, argv, "models on a GPU beside the rate of products");
  Context<Cuda> context;
  const bench::GpuReport report(context, "models", arguments);
  const Run run{&context, &report, arguments.small,
                bench::product_rate<bfloat16>(context, report, arguments, "products, BF16")};
  mae_step<BF16>(run);
  dit_step<BF16>(run);
  sampling<BF16>(run);
  decode<BF16>(run);
}
