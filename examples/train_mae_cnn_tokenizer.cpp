// Reference trainer of the tokenizer, from public parts and with its own loop: a masked autoencoder learns scans (phase 1), then a
// projection and a convolutional decoder learn to reconstruct scans from the tokens of its frozen encoder (phase 2).
//
//   train_mae_cnn_tokenizer --out FOLDER [--data volumes.csv] [--steps N]     without a table: phantoms, made here
// Writes FOLDER/mae.safetensors and FOLDER/tokenizer.safetensors, which every program and Session::tokenizer() open.
#include <cstdlib>
#include <iostream>
#include <numeric>
#include <string>

#include <braing3n/braing3n.hpp>
#include <braing3n/train.hpp>

using namespace braing3n;

namespace {

constexpr std::uint64_t seed = 1;

/// Volumes of 40 x 48 x 40 voxels of 4 mm.
PreprocessingContract make_contract() {
  PreprocessingContract contract = PreprocessingContract::small();
  contract.shape = {40, 48, 40};
  contract.spacing = {4, 4, 4};
  return contract;
}

/// Eight synthetic subjects.
TrainingData phantoms(const PreprocessingContract& contract) {
  TrainingData data;
  data.contract = contract;
  data.train.resize(8);
  std::iota(data.train.begin(), data.train.end(), 0);
  data.source = [contract](Context<Cpu>& context, Index row) {
    const auto subject = phantom::draw_subject({.seed = seed}, static_cast<std::uint32_t>(row));
    const auto tissues =
        phantom::render_tissues(context, subject, phantom::draw_visit(subject, 0).age, 0, contract.shape);
    return preprocess(context, phantom::render_image(context, subject, tissues, {}), contract).data;
  };
  data.source = kept_in_memory(std::move(data.source), std::size_t{1} << 30);
  return data;
}

// [loop]
/// Optimiser steps on a model; loss_of(pass, step) is the loss of the step's own batch. The model ends with the averaged weights.
template <class Model, class Loss>
void train(Context<Cpu>& context, Model& model, const char* name, std::int64_t steps, double lr, Loss&& loss_of) {
  flatten(model, context);  // all weights in one block
  auto parameters = parameter_views<Model, Cpu>(model);
  AdamW<float, Cpu> optimizer(parameters, {.beta2 = 0.95, .weight_decay = 0.05});
  Ema<float, Cpu> average(parameters, {.decay = 0.99, .warmup = true});
  const Schedule schedule({.lr = lr, .warmup_steps = steps / 20, .steps = steps});
  for (std::int64_t step = 0; step < steps; ++step) {
    optimizer.zero_gradients();
    Tape<Cpu> tape;
    Pass<Cpu> pass(context, tape);
    const Var<double, Cpu> loss = loss_of(pass, step);
    tape.backward(loss);
    const ClipResult clip = clip_coefficient(std::span<const ParameterView<float, Cpu>>(parameters), 1.0);
    optimizer.step(schedule.at(step), clip.coefficient);
    average.update();
    if (step == 0 || (step + 1) % 10 == 0 || step + 1 == steps)
      std::cout << name << " step " << step + 1 << ": loss " << item(loss) << ", gradient norm " << clip.norm << '\n';
  }
  average.swap();
}
// [loop]

void run(const std::filesystem::path& out, const std::string& table, std::int64_t steps) {
  Context<Cpu> context;
  const PreprocessingContract contract = make_contract();
  const TrainingData data =
      table.empty() ? phantoms(contract) : open_training_data({.manifest = table, .validation = 0.25}, contract, seed);
  const Index batch = std::min<Index>(2, std::ssize(data.train));
  VolumeStream stream(context, data, batch, {.flip = true, .shift = 1, .intensity = 0.05}, seed, 0);

  // [phase1]
  Mae3dConfig config;
  config.encoder = {.image = contract.shape, .patch = {8, 8, 8}, .width = 48, .depth = 2, .heads = 4, .mlp = 96};
  config.decoder_width = 24, config.decoder_depth = 1, config.decoder_heads = 4, config.decoder_mlp = 48;
  Mae3d<Cpu, F32> mae(context, config);
  initialize(mae, seed);
  train(context, mae, "masked autoencoder", steps, 2e-3, [&](Pass<Cpu>& pass, std::int64_t) {
    const VolumeBatch volumes = stream.next();
    const auto mask = draw_token_mask(context, seed, 0, std::span<const std::uint32_t>(volumes.samples),
                                      config.encoder.tokens(), config.masking_ratio);
    const auto output = mae(pass, volumes.volumes, mask);
    return masked_patch_loss(output.prediction, output.target, mask, config.norm_pix_loss);
  });
  ModelInfo info;
  info.kind = "mae3d";
  info.contract = json_text(contract);
  save_model(out / "mae.safetensors", mae, info, {.overwrite = true});
  // [phase1]

  // [phase2]
  TokenizerConfig parts{
      .encoder = config.encoder, .bottleneck = 8, .decoder = residual_first_decoder({8, 16, {16, 8, 8}, 4})};
  parts.decoder.grid = config.encoder.grid();
  Tokenizer<Cpu, F32> tokenizer(context, parts);
  initialize(tokenizer, seed);
  load_weights(tokenizer.encoder, ModelFile(out / "mae.safetensors"));  // frozen from here on
  ScanFailures failures;
  const TokenStatistics tokens = start_projection(context, tokenizer, data, failures);  // principal directions
  train(context, tokenizer, "tokenizer", steps, 2e-3, [&](Pass<Cpu>& pass, std::int64_t) {
    const VolumeBatch volumes = stream.next();
    return l1_loss(tokenizer(pass, volumes.volumes), volumes.volumes);
  });
  save_tokenizer(out / "tokenizer.safetensors", tokenizer, contract, latents_of(tokenizer.projection, tokens), {},
                 {.overwrite = true});
  // [phase2]
}

}  // namespace

int main(int argc, char** argv) try {
  std::string out, table;
  std::int64_t steps = 100;
  bool good = argc % 2 == 1;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i], value = argv[i + 1];
    if (name == "--out") out = value;
    else if (name == "--data") table = value;
    else if (name == "--steps") steps = std::atoll(value.c_str());
    else good = false;
  }
  if (!good || out.empty() || steps < 1) {
    std::cerr << "usage: train_mae_cnn_tokenizer --out FOLDER [--data volumes.csv] [--steps N]\n";
    return 2;
  }
  make_folder(out);
  run(out, table, steps);
  return 0;
} catch (const std::exception& e) {
  std::cerr << e.what() << '\n';
  return 1;
}
