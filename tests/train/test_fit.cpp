#include "tests/train/training_case.hpp"

#include "braing3n/checkpoint/saved_model.hpp"
#include "braing3n/train/fit.hpp"

using namespace braing3n;

namespace {

using MaeModel = Mae3d<Cpu, F32>;

struct Run {
  FitEnd end = FitEnd::complete;
  Index steps = 0;
  Index validations = 0;
};

/// A whole training program in small: made anew, so that nothing but the files connects two calls.
Run train(const std::filesystem::path& path, const MaeTrainingConfig& given, Index stop_at, ResumeMode resume,
          std::uint64_t seed = 11, double constant_validation = 0, int threads = 1, bool replace = false) {
  Context<Cpu> ctx({.threads = threads});
  const TrainingData data = test::people();
  MaeTrainingConfig config = given;
  config.training = config.training.resolved(static_cast<Index>(data.train.size()));
  MaeModel model(ctx, config.model);
  initialize(model, seed);
  ScanFailures failures;
  start_prediction(model, mean_patch(ctx, model, data, failures));
  Trainer<MaeModel, Cpu> trainer(ctx, model, config.training, seed);
  const TrainingFolder folder{path};
  const TrainingInfo identity{
      .kind = "mae3d", .config = json_text(config), .manifest_hash = data.hash, .progress = {}, .extra = {}};
  open_training_folder(folder, trainer, identity, resume, replace, [](const std::string&) {});
  MaeTask task(ctx, model, data, config.training, seed, trainer.progress().samples);
  Run run;
  FitHooks hooks;
  hooks.stop_at = stop_at;
  hooks.validate = [&] { return constant_validation > 0 ? constant_validation : task.validate(failures); };
  hooks.save_model = [&](const std::filesystem::path& to) {
    ModelInfo info;
    info.kind = "mae3d";
    save_model(to, model, info, {.overwrite = true});
  };
  hooks.on_validation = [&](Index, double, bool) { ++run.validations; };
  run.end = fit(trainer, task, folder, identity, hooks);
  run.steps = trainer.progress().step;
  CHECK(failures.empty());
  return run;
}

std::string losses(const std::filesystem::path& path) { return test::bytes_of(path / "log.jsonl"); }

}  // namespace

TEST_CASE("a training that is stopped and resumed ends in the bytes of one that went through") {
  const test::ScratchFolder whole, parts;
  CHECK(train(whole.path, test::tiny_mae(), 0, ResumeMode::never).end == FitEnd::complete);
  // Stopped between two validations, at one, and a step before the end; with other numbers of threads.
  for (const Index stop : {Index{3}, Index{8}, Index{11}}) {
    const Run run =
        train(parts.path, test::tiny_mae(), stop, ResumeMode::automatic, 11, 0, static_cast<int>(stop % 2) + 1);
    CHECK(run.end == FitEnd::interrupted);
    CHECK(run.steps == stop);
  }
  CHECK(train(parts.path, test::tiny_mae(), 0, ResumeMode::automatic).end == FitEnd::complete);
  for (const char* name : {"model.safetensors", "last.safetensors", "state.safetensors", "log.jsonl", "curves.svg"}) {
    CAPTURE(name);
    CHECK(test::bytes_of(whole.path / name).size() > 100);
    CHECK(test::bytes_of(whole.path / name) == test::bytes_of(parts.path / name));
  }
  // Another seed gives other bytes: the comparison above can fail.
  const test::ScratchFolder other;
  train(other.path, test::tiny_mae(), 0, ResumeMode::never, 12);
  CHECK(test::bytes_of(whole.path / "last.safetensors") != test::bytes_of(other.path / "last.safetensors"));
  // A finished training stays finished.
  CHECK(train(whole.path, test::tiny_mae(), 0, ResumeMode::automatic).steps == 12);
  CHECK(test::bytes_of(whole.path / "state.safetensors") == test::bytes_of(parts.path / "state.safetensors"));
}

TEST_CASE("a log with lines from after the state, and one torn by a kill, goes on from the state") {
  const test::ScratchFolder whole, killed;
  train(whole.path, test::tiny_mae(), 0, ResumeMode::never);
  train(killed.path, test::tiny_mae(), 5, ResumeMode::never);
  {
    std::ofstream log(killed.path / "log.jsonl", std::ios::app);
    log << R"({"event":"step","step":6,"loss":123.0,"lr":0.1,"gradient_norm":1.0})" << "\n" << R"({"event":"step","st)";
  }
  // The newest state is damaged as well: the one before it counts, and training repeats the steps in between.
  train(killed.path, test::tiny_mae(), 6, ResumeMode::automatic);
  std::filesystem::resize_file(killed.path / "state.safetensors", 1000);
  train(killed.path, test::tiny_mae(), 0, ResumeMode::automatic);
  CHECK(losses(killed.path) == losses(whole.path));
  CHECK(test::bytes_of(killed.path / "last.safetensors") == test::bytes_of(whole.path / "last.safetensors"));
}

TEST_CASE("training ends early without better validations, and a resumed run remembers") {
  const test::ScratchFolder scratch;
  MaeTrainingConfig config = test::tiny_mae();
  config.training.validate_every = 1;
  config.training.patience = 3;
  Run run = train(scratch.path, config, 3, ResumeMode::never, 11, 0.5);
  CHECK(run.end == FitEnd::interrupted);
  run = train(scratch.path, config, 0, ResumeMode::automatic, 11, 0.5);
  CHECK(run.end == FitEnd::out_of_patience);
  CHECK(run.steps == 4);  // the first is the best, three are not better
  run = train(scratch.path, config, 0, ResumeMode::automatic, 11, 0.5);
  CHECK(run.end == FitEnd::out_of_patience);
  CHECK(run.steps == 4);
}

TEST_CASE("a training is neither overwritten nor continued by another one") {
  const test::ScratchFolder scratch;
  train(scratch.path, test::tiny_mae(), 4, ResumeMode::never);
  const std::string before = test::bytes_of(scratch.path / "state.safetensors");
  test::check_error("training.exists", {"expected an empty folder", "got a run"},
                    [&] { train(scratch.path, test::tiny_mae(), 4, ResumeMode::never); });
  MaeTrainingConfig other = test::tiny_mae();
  other.training.lr = 1e-3;
  test::check_error("training_state.run", {"training.lr"},
                    [&] { train(scratch.path, other, 0, ResumeMode::automatic); });
  test::check_error("training_state.run", {"seed"},
                    [&] { train(scratch.path, test::tiny_mae(), 0, ResumeMode::automatic, 12); });
  CHECK(test::bytes_of(scratch.path / "state.safetensors") == before);
  // A file that is no state: nothing is thrown away.
  std::ofstream(scratch.path / "state.safetensors") << "not a state";
  std::filesystem::remove(scratch.path / "state.safetensors.previous");
  test::check_error("training_state.none", {"no whole training state"},
                    [&] { train(scratch.path, test::tiny_mae(), 0, ResumeMode::automatic); });
  CHECK(train(scratch.path, test::tiny_mae(), 4, ResumeMode::never, 11, 0, 1, true).steps == 4);
}

TEST_CASE("two batches of one scan give the step of one batch of two") {
  const TrainingData data = test::people();
  std::vector<std::vector<float>> weights;
  for (const Index accumulate : {1, 2}) {
    Context<Cpu> ctx({.threads = 2});
    MaeTrainingConfig config = test::tiny_mae();
    config.training.accumulate = accumulate;
    config.training.batch = 2 / accumulate;
    const TrainingOptions options = config.training.resolved(7);
    MaeModel model(ctx, config.model);
    initialize(model, 3);
    Trainer<MaeModel, Cpu> trainer(ctx, model, options, 3);
    MaeTask task(ctx, model, data, options, 3, 0);
    const StepReport report = trainer.step(task);
    CHECK(report.gradient_norm > 0);
    CHECK(trainer.progress().samples == 2);
    weights.push_back({static_cast<float>(report.loss), static_cast<float>(report.gradient_norm)});
    // The clipped gradient itself: Adam's first step is its sign, which rounding may turn where it is next to nothing.
    for (const auto& view : parameter_views<MaeModel, Cpu>(model))
      for (const float g : view.gradient.to_host()) weights.back().push_back(g);
  }
  REQUIRE(weights[0].size() == weights[1].size());
  for (std::size_t i = 0; i < weights[0].size(); ++i)
    CHECK(std::abs(static_cast<double>(weights[0][i] - weights[1][i])) <= test::tolerance<float>(256, 1.0));
}

TEST_CASE("the average is in the model for an evaluation and no longer") {
  Context<Cpu> ctx({.threads = 1});
  const TrainingData data = test::people();
  const TrainingOptions options = test::tiny_mae().training.resolved(7);
  MaeModel model(ctx, test::tiny_mae().model);
  initialize(model, 3);
  Trainer<MaeModel, Cpu> trainer(ctx, model, options, 3);
  MaeTask task(ctx, model, data, options, 3, 0);
  for (int i = 0; i < 3; ++i) trainer.step(task);
  const auto values = [&] { return model.decoder_pred.weight.value().to_host(); };
  const auto before = values();
  const auto inside = trainer.with_average(values);
  CHECK(inside != before);
  CHECK(values() == before);
  CHECK_THROWS_AS(trainer.with_average([]() -> int { throw Error(ErrorKind::state, "test", "stopped"); }), Error);
  CHECK(values() == before);
}

TEST_CASE("a loss that is not finite stops the step, names the place and leaves the parameters alone") {
  Context<Cpu> ctx({.threads = 1});
  TrainingData data = test::people();
  data.source = [](Context<Cpu>& c, Index row) {
    auto t = test::person(c, row);
    t.data()[200] = std::numeric_limits<float>::quiet_NaN();
    return t;
  };
  MaeTrainingConfig config = test::tiny_mae();
  config.model.masking_ratio = 0.2;
  const TrainingOptions options = config.training.resolved(7);
  MaeModel model(ctx, config.model);
  initialize(model, 3);
  Trainer<MaeModel, Cpu> trainer(ctx, model, options, 3);
  MaeTask task(ctx, model, data, options, 3, 0);
  const auto before = model.decoder_pred.weight.value().to_host();
  test::check_error("loss.finite", {"nan"}, [&] {
    for (int i = 0; i < 4; ++i) trainer.step(task);
  });
  CHECK(model.decoder_pred.weight.value().to_host() == before);
}

namespace {

/// A loss that is infinite although its gradient is not.
struct InfiniteLoss {
  MaeTask<Cpu, F32>& task;
  MaeTask<Cpu, F32>::Batch next() { return task.next(); }
  Var<double, Cpu> loss(Pass<Cpu>& pass, const MaeTask<Cpu, F32>::Batch& batch) const {
    return add(task.loss(pass, batch),
               Var<double, Cpu>(scalar(pass.context(), std::numeric_limits<double>::infinity())));
  }
  Index position() const { return task.position(); }
  Index scans() const { return task.scans(); }
};

}  // namespace

TEST_CASE("an infinite loss with a finite gradient changes nothing either") {
  Context<Cpu> ctx({.threads = 1});
  const TrainingData data = test::people();
  const TrainingOptions options = test::tiny_mae().training.resolved(7);
  MaeModel model(ctx, test::tiny_mae().model);
  initialize(model, 3);
  Trainer<MaeModel, Cpu> trainer(ctx, model, options, 3);
  MaeTask task(ctx, model, data, options, 3, 0);
  InfiniteLoss infinite{task};
  const auto before = model.decoder_pred.weight.value().to_host();
  test::check_error("loss.finite", {"inf"}, [&] { trainer.step(infinite); });
  CHECK(model.decoder_pred.weight.value().to_host() == before);
  CHECK(trainer.progress().step == 0);
  CHECK(trainer.step(task).step == 1);  // and the next step is the first
  CHECK(model.decoder_pred.weight.value().to_host() != before);
}

TEST_CASE("options that make no sense are refused") {
  const auto with = [](auto change) {
    TrainingOptions o = test::tiny_mae().training;
    change(o);
    return o.resolved(7);
  };
  test::check_error("training.options", {"batch"}, [&] { with([](auto& o) { o.batch = 0; }); });
  test::check_error("training.options", {"accumulate"}, [&] { with([](auto& o) { o.accumulate = 0; }); });
  test::check_error("training.options", {"warmup"}, [&] { with([](auto& o) { o.warmup = 1.5; }); });
  test::check_error("training.options", {"epochs"}, [&] { with([](auto& o) { o.steps = 0, o.epochs = 0; }); });
  test::check_error("schedule.lr", {"min_lr"}, [&] { with([](auto& o) { o.min_lr = 1; }); });
  Context<Cpu> ctx({.threads = 1});
  const TrainingData data = test::people();
  test::check_error("loader.batch", {"8", "7"}, [&] { VolumeStream(ctx, data, 8, {}, 1, 0); });
  const TrainingOptions o =
      with([](auto& options) { options.steps = 0, options.epochs = 5, options.validate_every = 0; });
  CHECK(o.steps == 5);  // 7 scans are one step of 2 x 2
  CHECK(o.validate_every == 1);
}
