// Whole training steps on both backends: the same scans, masks and initial weights.
#include "tests/cuda/both.hpp"

#include "braing3n/cuda.cuh"
#include "braing3n/train/mae_training.hpp"
#include "braing3n/train/trainer.hpp"
#include "tests/train/training_case.hpp"

using namespace braing3n;

namespace {

struct Steps {
  std::vector<double> losses, norms;
};

template <Precision P, Backend B>
Steps train_mae(Context<B>& context, Context<Cpu>& host, int steps) {
  const TrainingData data = test::people();
  const MaeTrainingConfig config = test::tiny_mae();
  Mae3d<B, P> model(context, config.model);
  initialize(model, 3);
  ScanFailures failures;
  start_prediction(model, mean_patch(host, model, data, failures));
  const TrainingOptions options = config.training.resolved(7);
  Trainer<Mae3d<B, P>, B> trainer(context, model, options, 3);
  MaeTask<B, P> task(context, host, model, data, options, 3, 0, 0.5);
  Steps result;
  for (int i = 0; i < steps; ++i) {
#ifdef BRAING3N_EMULATE_CUDA
    emulation::reset_counters();
#endif
    const StepReport report = trainer.step(task);
    result.losses.push_back(report.loss);
    result.norms.push_back(report.gradient_norm);
#ifdef BRAING3N_EMULATE_CUDA
    // The host reads the numbers of a step once, after it has asked for all of it, and waits for nothing else.
    if constexpr (std::same_as<B, Cuda>) {
      CHECK(emulation::counters().copies_to_host == 1);
      CHECK(emulation::counters().synchronisations == 0);
      CHECK(emulation::counters().event_waits == 1);
    }
#endif
  }
  result.losses.push_back(task.validate(failures));
  return result;
}

/// A tokenizer over a frozen encoder, without the start of its projection.
template <Precision P, Backend B>
Steps train_tokenizer(Context<B>& context, Context<Cpu>& host, int steps) {
  const TrainingData data = test::people();
  const TokenizerTrainingConfig config = test::tiny_tokenizer();
  Tokenizer<B, P> model(context, config.model(test::tiny_mae().model.encoder));
  initialize(model, 5);
  const TrainingOptions options = config.training.resolved(7);
  for_each_parameter(model.encoder, [](const std::string&, auto& p) { p.set_trainable(false); });
  Trainer<Tokenizer<B, P>, B> trainer(context, model, options, 5);
  TokenizerTask<B, P> task(context, host, model, data, config, 5, 0);
  Steps result;
  for (int i = 0; i < steps; ++i) {
    const StepReport report = trainer.step(task);
    result.losses.push_back(report.loss);
    result.norms.push_back(report.gradient_norm);
  }
  ScanFailures failures;
  result.losses.push_back(task.validate(failures));
  return result;
}

double apart(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = std::abs(a[i] - b[i]) / std::abs(b[i]);
    if (d > most || d != d) most = d;  // a NaN stays the worst
  }
  return most;
}

}  // namespace

TEST_CASE("a tokenizer takes the steps that it takes on the CPU") {
  test::Both b;
  const Steps cpu = train_tokenizer<F32>(b.cpu, b.cpu, 4);
  const Steps gpu = train_tokenizer<F32>(b.cuda, b.cpu, 4);
  CHECK(apart(gpu.losses, cpu.losses) < 1e-6);
  CHECK(apart(gpu.norms, cpu.norms) < 1e-4);
  const Steps low = train_tokenizer<BF16>(b.cuda, b.cpu, 4);
  CHECK(apart(low.losses, cpu.losses) < 1e-2);
}

TEST_CASE("a masked autoencoder takes the steps that it takes on the CPU") {
  test::Both b;
  const Steps cpu = train_mae<F32>(b.cpu, b.cpu, 5);
  const Steps gpu = train_mae<F32>(b.cuda, b.cpu, 5);
  CHECK(apart(gpu.losses, cpu.losses) < 1e-6);
  CHECK(apart(gpu.norms, cpu.norms) < 1e-4);
  const Steps low = train_mae<BF16>(b.cuda, b.cpu, 5);
  CHECK(apart(low.losses, cpu.losses) < 1e-2);
}
