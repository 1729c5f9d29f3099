// Whole models at the paper's sizes, as shares of the FMA peak measured in the same run.
//
//   bench_models [encoder] [encoder-bf16] [dit] [d1] [mae-step] [dit-step] [dit-sample] [memory]   (default: all)
//                --threads N --provider NAME --repeats N --steps N --pack none|bfloat16|all
//
// FLOP counts are nominal (bench/support/model_cost.hpp).
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "bench/support/arguments.hpp"
#include "bench/support/model_cost.hpp"
#include "bench/support/peak.hpp"
#include "bench/support/provider.hpp"
#include "braing3n/autograd/checkpoint.hpp"
#include "braing3n/backend/cpu.hpp"
#include "braing3n/models/cnn_decoder3d.hpp"
#include "braing3n/models/dit3d.hpp"
#include "braing3n/models/dit_memory.hpp"
#include "braing3n/models/mae3d.hpp"
#include "braing3n/nn/flatten.hpp"
#include "braing3n/nn/initialize.hpp"
#include "braing3n/objective/flow_matching.hpp"
#include "braing3n/optim/adamw.hpp"
#include "braing3n/optim/clip.hpp"
#include "braing3n/optim/ema.hpp"
#include "braing3n/sample/generate.hpp"

using namespace braing3n;

namespace {

using Clock = std::chrono::steady_clock;

double median_seconds(int repeats, const std::function<void()>& f) {
  f();  // warm
  std::vector<double> t;
  for (int i = 0; i < repeats; ++i) {
    const auto start = Clock::now();
    f();
    t.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  std::sort(t.begin(), t.end());
  return t[t.size() / 2];
}

/// A line of /proc/self/status in megabytes.
double status_megabytes(const char* field) {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);)
    if (line.rfind(field, 0) == 0) return std::stod(line.substr(std::strlen(field) + 1)) / 1000.0 * 1.024;
  return 0;
}

struct Bench {
  Context<Cpu>& ctx;
  int repeats;
  double peak;

  void report(const char* name, double flop, double seconds) const {
    std::printf("%-28s %8.3f s  %7.1f GFLOP/s  %5.3f of the FMA peak\n", name, seconds, flop / seconds * 1e-9,
                flop / seconds * 1e-9 / peak);
    std::fflush(stdout);
  }
};

Tensor<float, Cpu> noise(Context<Cpu>& ctx, const Shape& shape) {
  const std::vector<std::uint32_t> samples = [&] {
    std::vector<std::uint32_t> s(static_cast<std::size_t>(shape[0]));
    for (std::size_t i = 0; i < s.size(); ++i) s[i] = static_cast<std::uint32_t>(i);
    return s;
  }();
  Shape rest;
  for (int a = 1; a < shape.rank(); ++a) rest.push_back(shape[a]);
  return draw_noise<float>(ctx, 1, 0, std::span<const std::uint32_t>(samples), rest);
}

constexpr Vit3dConfig paper_encoder() { return {}; }

template <Precision P>
double encoder(const Bench& b) {
  Vit3d<Cpu, P> vit(b.ctx, paper_encoder());
  initialize(vit, 1);
  if constexpr (std::is_same_v<P, BF16>)
    for_each_parameter(vit, [](const std::string&, auto& p) { p.adopt_compute(Tensor<bfloat16, Cpu>(p.compute())); });
  const auto x = cast<typename P::Compute>(noise(b.ctx, {1, 160, 192, 160, 1}));
  Pass<Cpu> pass(b.ctx);
  const double seconds = median_seconds(b.repeats, [&] { vit(pass, x); });
  const double flop = bench::Transformer{1152, 12, 4608, 1201, 1}.flop() + 2.0 * 1200 * 4096 * 1152;
  b.report(std::is_same_v<P, BF16> ? "MAE encoder, bf16" : "MAE encoder, fp32", flop, seconds);
  return seconds;
}

void dit(const Bench& b) {
  Dit3d<Cpu, F32> model(b.ctx, Dit3dConfig{});
  initialize(model, 1);
  const auto x = noise(b.ctx, {2, 1200, 32});
  ConditionBatch c;
  for (const ConditionField& f : model.config.conditions)
    c.fields.push_back(f.kind == ConditionKind::categorical ? ConditionBatch::Field{{0, f.required ? 0 : -1}, {}}
                                                            : ConditionBatch::Field{{}, {70.0, std::nan("")}});
  Pass<Cpu> pass(b.ctx);
  const double seconds = median_seconds(b.repeats, [&] { model(pass, Var<float, Cpu>(x), {0.5, 0.5}, c); });
  b.report("DiT forward, batch 2", bench::dit_flop(2), seconds);
}

/// Forward, backward, clipping, AdamW and the average of all parameters.
void dit_step(const Bench& b) {
  using Model = Dit3d<Cpu, F32>;
  Model model(b.ctx, Dit3dConfig{});
  initialize(model, 1);
  flatten(model, b.ctx);
  auto views = parameter_views<Model, Cpu, float>(model);
  AdamW<float, Cpu> optimizer(views, {});
  Ema<float, Cpu> average(views, {.warmup = true});
  const auto data = noise(b.ctx, {2, 1200, 32});
  std::vector<ConditionRow> rows(2, ConditionRow(model.config.conditions.size()));
  rows[0][2].label = rows[1][2].label = 0;
  rows[0][4].number = 70;
  const ConditionBatch conditions = condition_batch(model.config.conditions, rows);
  Index position = 0;
  const double seconds = median_seconds(b.repeats, [&] {
    const std::vector<Index> positions = {position, position + 1};
    position += 2;
    const auto t = draw_times(1, std::span<const Index>(positions), TimeDistribution::uniform);
    const auto flow =
        flow_interpolate(data, draw_noise<float>(b.ctx, 1, std::span<const Index>(positions), {1200, 32}), t);
    optimizer.zero_gradients();
    Tape<Cpu> tape;
    Pass<Cpu> pass(b.ctx, tape);
    tape.backward(mse_loss(model(pass, Var<float, Cpu>(flow.x_t), t, conditions), flow.velocity));
    const double norm = gradient_norm(std::span<const ParameterView<float, Cpu>>(views));
    optimizer.step(5e-5, std::min(1.0, 0.5 / (norm + 1e-6)));
    average.update();
  });
  b.report("DiT training step, batch 2", 3 * bench::dit_flop(2), seconds);
  const double planned = static_cast<double>(5 * sizeof(float)) * static_cast<double>(count_parameters(model).learned) +
                         static_cast<double>(training_pass_bytes<F32>(model.config, 2, false));
  std::printf("%-28s %8.0f MB of tensors at most, %.0f MB planned\n", "",
              static_cast<double>(b.ctx.memory().stats().peak) * 1e-6, planned * 1e-6);
}

/// A guided sample of `steps` steps against as many evaluations of the bare model on both halves; seconds of the sample.
template <Precision P>
double dit_sample(const Bench& b, int steps) {
  using Model = Dit3d<Cpu, P>;
  using T = typename Model::T;
  Model model(b.ctx, Dit3dConfig{});
  initialize(model, 1);
  if constexpr (std::is_same_v<P, BF16>)
    for_each_parameter(model, [](const std::string&, auto& p) {
      p.adopt_compute(typename std::remove_cvref_t<decltype(p.compute())>(p.compute()));
    });
  std::vector<ConditionRow> rows(1, ConditionRow(model.config.conditions.size()));
  rows[0][2].label = 0;
  rows[0][4].number = 70;
  const std::vector<ConditionRow> both = {null_conditions(model.config.conditions, rows[0]), rows[0]};
  const ConditionBatch conditions = condition_batch(model.config.conditions, both);
  const auto x = cast<T>(noise(b.ctx, {2, 1200, 32}));
  Pass<Cpu> pass(b.ctx);
  const double evaluation = median_seconds(b.repeats, [&] { model(pass, Var<T, Cpu>(x), {0.5, 0.5}, conditions); });
  std::vector<std::size_t> calls;
  const std::vector<std::uint32_t> ids = {0};
  const SamplingOptions options{.steps = steps, .guidance = {.scale = 2.0}};
  const auto start = Clock::now();
  sample_latents(b.ctx, model, std::span<const std::uint32_t>(ids), rows, 1, options,
                 [&] { calls.push_back(b.ctx.memory().stats().system_calls); });
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  b.report(std::is_same_v<P, BF16> ? "DiT guided sample, bf16" : "DiT guided sample, fp32", steps * bench::dit_flop(2),
           seconds);
  std::printf("%-28s %8.3f of the time of its %d evaluations, %zu allocations after the first step\n", "",
              seconds / (steps * evaluation), 2 * steps, b.ctx.memory().stats().system_calls - calls[1]);
  return seconds;
}

void d1(const Bench& b) {
  CnnDecoder3d<Cpu, F32> decoder(b.ctx, residual_first_decoder());
  initialize(decoder, 1);
  const auto z = noise(b.ctx, {1, 1200, 32});
  Pass<Cpu> pass(b.ctx);
  const double seconds = median_seconds(b.repeats, [&] { decoder(pass, Var<float, Cpu>(z)); });
  b.report("D1 decoder, nominal", bench::decoder_flop(1), seconds);
}

void mae_step(const Bench& b) {
  Mae3d<Cpu, F32> mae(b.ctx, Mae3dConfig{});
  initialize(mae, 1);
  flatten(mae, b.ctx);
  auto views = parameter_views<Mae3d<Cpu, F32>, Cpu, float>(mae);
  AdamW<float, Cpu> optimizer(views, {.beta2 = 0.95, .weight_decay = 0.05});
  const auto x = noise(b.ctx, {2, 160, 192, 160, 1});
  const std::vector<std::uint32_t> samples = {0, 1};
  std::uint32_t step = 0;
  const double seconds = median_seconds(b.repeats, [&] {
    const auto mask = draw_token_mask(b.ctx, 1, step++, std::span<const std::uint32_t>(samples), 1200, 0.7);
    optimizer.zero_gradients();
    Tape<Cpu> tape;
    Pass<Cpu> pass(b.ctx, tape);
    const auto out = mae(pass, x, mask);
    tape.backward(masked_patch_loss(out.prediction, out.target, mask, false));
    optimizer.step(1e-4);
  });
  b.report("MAE training step, batch 2", 3 * bench::mae_flop(2), seconds);
}

void memory(const Bench& b) {
  Vit3d<Cpu, F32> vit(b.ctx, paper_encoder());
  initialize(vit, 1);
  CnnDecoder3d<Cpu, F32> decoder(b.ctx, residual_first_decoder());
  initialize(decoder, 1);
  Pass<Cpu> pass(b.ctx);
  const auto x = noise(b.ctx, {1, 160, 192, 160, 1});
  {
    const auto tokens = vit.drop_class_token(vit(pass, x));
    decoder(pass, Var<float, Cpu>(slice_forward(tokens.value(), -1, 0, 32)));
  }
  std::printf("encoder + D1 forward, fp32   peak resident %.0f MB, peak tensors %.0f MB\n", status_megabytes("VmHWM:"),
              static_cast<double>(b.ctx.memory().stats().peak) * 1e-6);
}

}  // namespace

int main(int argc, char** argv) {
  bench::check_arguments(
      argc, argv, "models",
      {.options = {"--threads", "--repeats", "--steps", "--provider", "--pack"},
       .flags = {},
       .words = {"memory", "encoder", "encoder-bf16", "dit", "d1", "mae-step", "dit-sample", "dit-step"},
       .any_word = false});
  std::vector<std::string> wanted;
  CpuOptions options{.threads = 2};
  int repeats = 5, steps = 6;
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    if (a == "--threads" && i + 1 < argc) options.threads = std::stoi(argv[++i]);
    else if (a == "--repeats" && i + 1 < argc) repeats = std::stoi(argv[++i]);
    else if (a == "--steps" && i + 1 < argc) steps = std::max(2, std::stoi(argv[++i]));
    else if (a == "--provider" && i + 1 < argc) options.provider = &bench::provider(argv[++i]);
    else if (a == "--pack" && i + 1 < argc) {
      const std::string which = argv[++i];
      options.packed_weights = which == "all"    ? PackedWeights::all
                               : which == "none" ? PackedWeights::none
                                                 : PackedWeights::bfloat16;
    } else wanted.push_back(a);
  }
  const auto want = [&](const char* name) {
    return wanted.empty() || std::find(wanted.begin(), wanted.end(), name) != wanted.end();
  };
  if (want("memory")) {  // first and in a context of its own: the resident peak never falls
    Context<Cpu> ctx(options);
    memory({ctx, 1, 1});
  }
  Context<Cpu> ctx(options);
  const Bench b{ctx, repeats, bench::fma_peak(ctx.isa(), ctx.threads())};
  std::printf("provider %s, %d threads, FMA peak %.0f GFLOP/s\n", ctx.provider().name, ctx.threads(), b.peak);
  double fp32 = 0;
  if (want("encoder")) fp32 = encoder<F32>(b);
  ctx.memory().trim();
  if (want("encoder-bf16")) {
    const double bf16 = encoder<BF16>(b);
    if (fp32 > 0) std::printf("%-28s %8.2f x\n", "  bf16 against fp32", fp32 / bf16);
  }
  ctx.memory().trim();
  if (want("dit")) dit(b);
  ctx.memory().trim();
  if (want("d1")) d1(b);
  ctx.memory().trim();
  if (want("mae-step")) mae_step(b);
  ctx.memory().trim();
  if (want("dit-sample")) {
    const double f32 = dit_sample<F32>(b, steps);
    ctx.memory().trim();
    std::printf("%-28s %8.2f x\n", "  bf16 against fp32", f32 / dit_sample<BF16>(b, steps));
    ctx.memory().trim();
  }
  if (want("dit-step")) {
    ctx.memory().reset_peak();
    dit_step(b);
  }
  return 0;
}
