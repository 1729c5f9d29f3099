// A tokenizer over an encoder, with the library's trainer:  train_a_tokenizer ENCODER volumes.csv TOKENIZER.safetensors STEPS
#include <cstdlib>
#include <iostream>

#include <braing3n/braing3n.hpp>
#include <braing3n/train.hpp>

using namespace braing3n;

int main(int argc, char** argv) try {
  if (argc != 5) {
    std::cerr << "usage: train_a_tokenizer ENCODER VOLUMES TOKENIZER STEPS\n";
    return 2;
  }
  // [train]
  Context<Cpu> context;
  const ModelFile file(model_path(argv[1]));  // a masked autoencoder
  const Vit3dConfig encoder = file.config<Mae3dConfig>().encoder;
  const TrainingData data =
      open_training_data({.manifest = argv[2], .validation = 0.25}, model_contract(file, encoder), 1);
  TokenizerTrainingConfig config;
  config.bottleneck = 8;
  config.decoder = {.mid = 16, .widths = {16, 8, 8}, .groups = 4};
  config.training = {.steps = std::atoi(argv[4]), .batch = 2, .lr = 2e-3};
  config.training = config.training.resolved(std::ssize(data.train));

  Tokenizer<Cpu, F32> model(context, config.model(encoder));  // must stay where it is
  initialize(model, 1);
  load_weights(model.encoder, file);
  ScanFailures failures;
  const TokenStatistics tokens = start_projection(context, model, data, failures);
  Trainer<Tokenizer<Cpu, F32>, Cpu> trainer(context, model, config.training, 1);
  TokenizerTask task(context, model, data, config, 1, 0);
  while (trainer.progress().step < config.training.steps) {
    const StepReport report = trainer.step(task);
    std::cout << "step " << report.step << ": loss " << report.loss << '\n';
  }
  save_tokenizer(argv[3], model, data.contract, latents_of(model.projection, tokens), {}, {.overwrite = true});
  // [train]
  return 0;
} catch (const std::exception& e) {
  std::cerr << e.what() << '\n';
  return 1;
}
