// Reference trainer of a conditional diffusion transformer, from public parts and with its own loop: flow matching on the latents of
// a tokenizer, under sex and age, each of which is dropped at random (classifier-free guidance).
//
//   train_conditional_dit --tokenizer TOKENIZER --out MODEL.safetensors [--data volumes.csv] [--steps N]   without a table: phantoms
// `generate`, sample_brains and Session::generator() open the result.
#include <cstdlib>
#include <iostream>
#include <string>

#include <braing3n/braing3n.hpp>
#include <braing3n/generate.hpp>
#include <braing3n/train.hpp>

using namespace braing3n;

namespace {

constexpr std::uint64_t seed = 1;

const std::vector<ConditionField> fields = {{"sex", ConditionKind::categorical, {"F", "M"}},
                                            {"age", ConditionKind::continuous, {}, 0.1, false, 0, 120}};

/// Standardised latents (N, L, C) of all scans, and their conditions.
struct Data {
  Tensor<float, Cpu> latents;
  std::vector<ConditionRow> conditions;
};

// [encode]
/// volume(i): scan i on the tokenizer's grid, (X, Y, Z).
template <class VolumeOf>
Data encode(Context<Cpu>& context, const LoadedTokenizer<Cpu, F32>& t, std::vector<ConditionRow> conditions,
            VolumeOf&& volume) {
  const Index n = std::ssize(conditions), tokens = t.model.config.encoder.tokens(),
              channels = t.model.config.bottleneck;
  Data data{Tensor<float, Cpu>(context, {n, tokens, channels}), std::move(conditions)};
  for (Index i = 0; i < n; ++i) {
    const Tensor<float, Cpu> x = volume(i);
    Pass<Cpu> pass(context);
    const auto z = t.model.encode(pass, x.reshape({1, x.dim(0), x.dim(1), x.dim(2), 1})).value();
    const auto standard = t.latents.standardize(z);
    std::copy_n(standard.data(), standard.size(), data.latents.data() + i * tokens * channels);
  }
  return data;
}
// [encode]

Data phantoms(Context<Cpu>& context, const LoadedTokenizer<Cpu, F32>& tokenizer) {
  std::vector<ConditionRow> conditions;
  for (std::uint32_t s = 0; s < 8; ++s) {
    const auto subject = phantom::draw_subject({.seed = seed}, s);
    conditions.push_back({condition_value(fields[0], enum_name(subject.sex)),
                          condition_number(fields[1], phantom::draw_visit(subject, 0).age)});
  }
  return encode(context, tokenizer, std::move(conditions), [&](Index i) {
    const auto subject = phantom::draw_subject({.seed = seed}, static_cast<std::uint32_t>(i));
    const auto tissues =
        phantom::render_tissues(context, subject, phantom::draw_visit(subject, 0).age, 0, {40, 48, 40});
    return preprocess(context, phantom::render_image(context, subject, tissues, {}), tokenizer.contract).data;
  });
}

Data scans_of(Context<Cpu>& context, const LoadedTokenizer<Cpu, F32>& tokenizer, const std::string& table) {
  const Manifest manifest = read_manifest(table);
  std::vector<Index> scans;
  for (Index i = 0; i < std::ssize(manifest.scans); ++i) scans.push_back(i);
  const VolumeSource source = scan_source(manifest, tokenizer.contract);
  return encode(context, tokenizer, condition_rows(fields, manifest, scans),
                [&](Index i) { return source(context, i); });
}

// [loop]
void train(Context<Cpu>& context, Dit3d<Cpu, F32>& model, const Data& data, std::int64_t steps) {
  flatten(model, context);
  auto parameters = parameter_views<Dit3d<Cpu, F32>, Cpu>(model);
  AdamW<float, Cpu> optimizer(parameters, {});
  Ema<float, Cpu> average(parameters, {.decay = 0.999, .warmup = true});
  const Schedule schedule({.lr = 1e-3, .warmup_steps = steps / 20, .steps = steps});
  const Index scans = data.latents.dim(0), batch = std::min<Index>(4, scans);
  for (std::int64_t step = 0; step < steps; ++step) {
    // The batch: noise, time and dropped conditions depend on the sample's index in the stream.
    std::vector<Index> positions;
    std::vector<ConditionRow> observed;
    Tensor<float, Cpu> x(context, {batch, data.latents.dim(1), data.latents.dim(2)});
    const Index each = x.size() / batch;
    for (Index i = 0; i < batch; ++i) {
      const Index position = step * batch + i, scan = position % scans;
      positions.push_back(position);
      observed.push_back(observe_conditions(fields, data.conditions[static_cast<std::size_t>(scan)],
                                            draw_observed(fields, {.all = 0.1}, seed, position)));
      std::copy_n(data.latents.data() + scan * each, each, x.data() + i * each);
    }
    const std::span<const Index> places(positions);
    const std::vector<double> t = draw_times(seed, places, TimeDistribution::uniform);
    const auto flow = flow_interpolate(x, draw_noise<float>(context, seed, places, {x.dim(1), x.dim(2)}), t);

    optimizer.zero_gradients();
    Tape<Cpu> tape;
    Pass<Cpu> pass(context, tape);
    const auto loss =
        mse_loss(model(pass, Var<float, Cpu>(flow.x_t), t, condition_batch(fields, observed)), flow.velocity);
    tape.backward(loss);
    const ClipResult clip = clip_coefficient(std::span<const ParameterView<float, Cpu>>(parameters), 1.0);
    optimizer.step(schedule.at(step), clip.coefficient);
    average.update();
    if (step == 0 || (step + 1) % 10 == 0 || step + 1 == steps)
      std::cout << "transformer step " << step + 1 << ": loss " << item(loss) << '\n';
  }
  average.swap();  // samples come from the averaged weights
}
// [loop]

void run(const std::string& path, const std::string& out, const std::string& table, std::int64_t steps) {
  Context<Cpu> context;
  const auto tokenizer = load_tokenizer<F32>(context, path);
  const Data data = table.empty() ? phantoms(context, tokenizer) : scans_of(context, tokenizer, table);
  // [model]
  Dit3dConfig config{.channels = tokenizer.model.config.bottleneck, .grid = tokenizer.model.config.encoder.grid()};
  config.width = 48, config.depth = 2, config.heads = 4, config.mlp = 96;
  config.conditions = fields;
  Dit3d<Cpu, F32> model(context, config);
  initialize(model, seed);
  train(context, model, data, steps);
  save_dit(out, model, tokenizer.latents, tokenizer.hash, json_text(tokenizer.contract), {}, {.overwrite = true});
  // [model]
}

}  // namespace

int main(int argc, char** argv) try {
  std::string tokenizer, out, table;
  std::int64_t steps = 100;
  bool good = argc % 2 == 1;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i], value = argv[i + 1];
    if (name == "--tokenizer") tokenizer = value;
    else if (name == "--out") out = value;
    else if (name == "--data") table = value;
    else if (name == "--steps") steps = std::atoll(value.c_str());
    else good = false;
  }
  if (!good || tokenizer.empty() || out.empty() || steps < 1) {
    std::cerr << "usage: train_conditional_dit --tokenizer TOKENIZER --out MODEL [--data volumes.csv] [--steps N]\n";
    return 2;
  }
  run(tokenizer, out, table, steps);
  return 0;
} catch (const std::exception& e) {
  std::cerr << e.what() << '\n';
  return 1;
}
