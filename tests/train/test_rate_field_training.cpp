// Fields of rates on subjects whose changes are known.
#include "tests/train/training_case.hpp"

#include "braing3n/checkpoint/saved_forecaster.hpp"
#include "braing3n/sample/years.hpp"
#include "braing3n/train/fit.hpp"
#include "braing3n/train/rate_field_training.hpp"

using namespace braing3n;

namespace {

constexpr Extent3 grid = {2, 3, 2};
constexpr Index channels = 4, row_size = 48;
constexpr double visit_years[] = {0, 2, 5};

/// How subjects of these tests change: the size of a subject is along one direction, the change along another.
struct World {
  Index subjects = 60;
  double rate = 0.1;    // per year, of HC; AD twice that
  double by_size = 0;   // more per year and unit of size
  double noise = 0.05;  // standard deviation of a scan's values
};

double direction(Index i, int which) { return (i * 7 + 3 * which) % 5 < 2 + which ? 1.0 : -0.5; }
bool has_ad(Index subject) { return subject % 3 == 0; }
double size_of(Index subject) { return Philox(9, Purpose::test, 1, static_cast<std::uint32_t>(subject)).normal(0); }
double rate_of(const World& w, Index subject) {
  return w.rate * (has_ad(subject) ? 2 : 1) + w.by_size * size_of(subject);
}

void write_world(const std::filesystem::path& folder, const World& w) {
  EmbeddingFile e = test::latent_file(grid, channels);
  std::ofstream labels(folder / "labels.csv");
  labels << "volume_id,subject_id,session_id,modality,sex,disease,age,days\n";
  for (Index s = 0; s < w.subjects; ++s)
    for (int v = 0; v < 3; ++v) {
      const Philox rng(3, Purpose::test, static_cast<std::uint32_t>(v), static_cast<std::uint32_t>(s));
      std::vector<float> values;
      for (Index i = 0; i < row_size; ++i)
        values.push_back(static_cast<float>(size_of(s) * direction(i, 0) +
                                            rate_of(w, s) * visit_years[v] * direction(i, 1) +
                                            w.noise * rng.normal(static_cast<std::uint64_t>(i))));
      const std::string id = concat("s", s, "v", v);
      e.add(id, "hash", values);
      labels << id << ",s" << s << ",v" << v << ",T1," << (s % 2 == 0 ? "F" : "M") << ',' << (has_ad(s) ? "AD" : "HC")
             << ',' << 60 + static_cast<double>(s % 20) + visit_years[v] << ',' << 365.25 * visit_years[v] << "\n";
    }
  write_embeddings(folder / "latents.safetensors", e, {.overwrite = true});
}

RateFieldTrainingConfig tiny() {
  RateFieldTrainingConfig c = RateFieldTrainingConfig::small();
  c.model.network.width = 48, c.model.network.depth = 1, c.model.network.heads = 4, c.model.network.mlp = 96;
  c.model.rank = 8;
  c.training = {
      .steps = 12, .batch = 4, .lr = 2e-3, .ema = EmaOptions{.decay = 0.99, .warmup = true}, .validate_every = 4};
  return c;
}

struct Opened {
  LatentData data;
  ForecastTrainingPairs pairs;
};
Opened open(Context<Cpu>& ctx, const std::filesystem::path& folder, RateFieldTrainingConfig& config) {
  LatentData data = open_latent_data(
      ctx, {.latents = folder / "latents.safetensors", .labels = folder / "labels.csv", .validation = 0.25}, 5,
      [](const std::string&) {});
  config.complete(data, AbsentConditions::remove);
  take_conditions(data, config.model.network.conditions);
  ForecastTrainingPairs pairs = forecast_training_pairs(data, config.pairs, config.stream.both_ways);
  config.take_pairs(ctx, data, pairs);
  return {std::move(data), std::move(pairs)};
}

RateField3d<Cpu, F32> fitted(Context<Cpu>& ctx, const Opened& o, const RateFieldTrainingConfig& config) {
  RateField3d<Cpu, F32> model(ctx, config.model);
  initialize(model, 5);
  fit_linear_rate(ctx, o.data, o.pairs.train, o.pairs.validation, config.full_weight_years, model);
  return model;
}

/// Of the validation pairs from the first visit: forecast and true change along the direction of change, in the units of the file.
std::vector<std::pair<double, double>> changes(Context<Cpu>& ctx, const Opened& o, const World& w,
                                               const RateField3d<Cpu, F32>& model) {
  std::vector<std::pair<double, double>> out;
  for (const VisitPair& p : o.pairs.validation) {
    const std::string& id = o.data.labels.scans[static_cast<std::size_t>(p.from)].volume_id;
    if (!id.ends_with("v0")) continue;
    const Index from[] = {p.from};
    const Tensor<float, Cpu> z = latent_batch(ctx, o.data, from);
    const auto moved =
        forecast_latents(ctx, model, z, {p.age}, {o.data.conditions[static_cast<std::size_t>(p.from)]}, {{p.years}})[0];
    const Tensor<float, Cpu> before = o.data.statistics.restore(z), after = o.data.statistics.restore(moved);
    double along = 0, norm = 0;
    for (Index i = 0; i < row_size; ++i) {
      along += static_cast<double>(after.data()[i] - before.data()[i]) * direction(i, 1);
      norm += direction(i, 1) * direction(i, 1);
    }
    out.emplace_back(along / norm, rate_of(w, std::stoi(id.substr(1))) * p.years);
  }
  return out;
}

void train(const std::filesystem::path& data_folder, const std::filesystem::path& path, Index stop_at,
           ResumeMode resume, int threads = 1) {
  Context<Cpu> ctx({.threads = threads});
  RateFieldTrainingConfig config = tiny();
  const Opened o = open(ctx, data_folder, config);
  RateField3d<Cpu, F32> model = fitted(ctx, o, config);
  Trainer<RateField3d<Cpu, F32>, Cpu> trainer(ctx, model, config.training, 5);
  std::filesystem::create_directories(path);
  const TrainingFolder folder{path};
  const TrainingInfo identity{
      .kind = "rate_field3d", .config = json_text(config), .manifest_hash = o.pairs.hash, .progress = {}, .extra = {}};
  open_training_folder(folder, trainer, identity, resume, false, [](const std::string&) {});
  RateFieldTask<Cpu, F32> task(ctx, ctx, model, o.data, o.pairs, config, 5, trainer.progress().samples);
  ScanFailures failures;
  FitHooks hooks;
  hooks.stop_at = stop_at;
  hooks.validate = [&] { return task.validate(failures); };
  const ForecasterOrigin origin = {o.data.statistics, o.data.file->model_hash(), o.data.file->preprocessing(),
                                   json_text(o.pairs.ranges)};
  hooks.save_model = [&](const std::filesystem::path& to) {
    save_rate_field(to, model, origin, {}, {.overwrite = true});
  };
  fit(trainer, task, folder, identity, hooks);
}

}  // namespace

TEST_CASE("the linear rate finds what changes with diagnosis and with size") {
  const test::ScratchFolder scratch;
  const World w{.subjects = 120, .by_size = 0.04};
  write_world(scratch.path, w);
  Context<Cpu> ctx({.threads = 2});
  RateFieldTrainingConfig config = tiny();
  const Opened o = open(ctx, scratch.path, config);
  CHECK(o.pairs.train.size() == 3 * 90);
  CHECK(o.pairs.ranges.longest_years == doctest::Approx(5).epsilon(1e-3));
  const auto found = changes(ctx, o, w, fitted(ctx, o, config));
  REQUIRE(found.size() == 60);
  double worst = 0, largest = 0;
  for (const auto& [forecast, truth] : found) {
    worst = std::max(worst, std::abs(forecast - truth));
    largest = std::max(largest, std::abs(truth));
  }
  CHECK(largest > 1.0);
  CHECK(worst < 0.1 * largest);
}

TEST_CASE("scan noise alone is no change") {
  const test::ScratchFolder scratch;
  const World w{.subjects = 200, .rate = 0, .noise = 1};
  write_world(scratch.path, w);
  Context<Cpu> ctx({.threads = 2});
  RateFieldTrainingConfig config = tiny();
  const Opened o = open(ctx, scratch.path, config);
  double square = 0;
  const auto found = changes(ctx, o, w, fitted(ctx, o, config));
  for (const auto& [forecast, truth] : found) square += forecast * forecast / static_cast<double>(found.size());
  // The noise of a scan along the direction is about 0.2. A rate of the first visit alone would take most of it back in two years.
  // How much of it there is must be told from visits two to five years apart, so some is left.
  CHECK(std::sqrt(square) < 0.06);
}

TEST_CASE(
    "a frozen readout: it sees age, its loss is added with its weight, and settings without it stay as they were") {
  const test::ScratchFolder scratch;
  const World w{.subjects = 120, .noise = 0.3};
  write_world(scratch.path, w);
  Context<Cpu> ctx({.threads = 1});
  RateFieldTrainingConfig config = tiny();
  const Opened o = open(ctx, scratch.path, config);
  RateField3d<Cpu, F32> model = fitted(ctx, o, config);
  const Tensor<float, Cpu> readout =
      fit_latent_readout(ctx, o.data, o.pairs.train, model.linear, 5, config.full_weight_years);
  REQUIRE(readout.shape() == Shape{1, row_size});
  double square = 0, weight = 0;
  Index forwards = 0;
  for (const VisitPair& p : o.pairs.train) {
    const Index visits[] = {p.from, p.to};
    const Tensor<float, Cpu> z = latent_batch(ctx, o.data, visits);
    double change = 0;
    for (Index i = 0; i < row_size; ++i)
      change += static_cast<double>(readout.data()[i] * (z.data()[row_size + i] - z.data()[i]));
    const double by = rate_weight(p.years, config.full_weight_years);
    square += by * std::pow(5 * change / p.years, 2), weight += by;
    forwards += (change > 0) == (p.years > 0);
  }
  CHECK(square / weight == doctest::Approx(1).epsilon(1e-4));
  CHECK(forwards > std::ssize(o.pairs.train) * 3 / 4);  // older at later visits

  // Loss with a weight less loss without, over the weight: the readout's error, whatever the weight.
  const auto loss = [&](double by) {
    RateFieldTrainingConfig c = config;
    c.readout_weight = by;
    const RateFieldTask<Cpu, F32> task(ctx, ctx, model, o.data, o.pairs, c, 5, 0);
    ScanFailures failures;
    return task.validate(failures);
  };
  const double none = loss(0), part = (loss(0.1) - none) / 0.1;
  CHECK(part > 0.01);
  CHECK((loss(2) - none) / 2 == doctest::Approx(part).epsilon(1e-3));

  CHECK(json_text(config).find("readout_weight") == std::string::npos);
  config.readout_weight = 0.1;
  CHECK(config_from_text<RateFieldTrainingConfig>(json_text(config)).readout_weight == 0.1);
  test::check_error("rate_field.readout", {"got -1"}, [&] {
    RateFieldTrainingConfig c = tiny();
    c.readout_weight = -1;
    open(ctx, scratch.path, c);
  });
  test::check_error("latent_readout.rank", {"got rank 0"}, [&] {
    fit_latent_readout(ctx, o.data, o.pairs.train, LinearRate<Cpu, F32>(), 5, config.full_weight_years);
  });
}

TEST_CASE("a run that was stopped ends with the same bytes, for any number of threads") {
  const test::ScratchFolder scratch;
  write_world(scratch.path, {});
  train(scratch.path, scratch.path / "whole", 0, ResumeMode::never);
  train(scratch.path, scratch.path / "parts", 5, ResumeMode::never, 3);
  train(scratch.path, scratch.path / "parts", 0, ResumeMode::automatic, 2);
  for (const char* file : {"model.safetensors", "last.safetensors"})
    CHECK(test::bytes_of(scratch.path / "whole" / file) == test::bytes_of(scratch.path / "parts" / file));
}

TEST_CASE("a saved field forecasts as it did, and carries what its training saw") {
  const test::ScratchFolder scratch;
  write_world(scratch.path, {});
  Context<Cpu> ctx({.threads = 1});
  RateFieldTrainingConfig config = tiny();
  const Opened o = open(ctx, scratch.path, config);
  const RateField3d<Cpu, F32> model = fitted(ctx, o, config);
  const ForecasterOrigin origin = {o.data.statistics, "0123abcd", "", json_text(o.pairs.ranges)};
  save_rate_field(scratch.path / "f.safetensors", model, origin, {});
  const auto loaded = load_rate_field<F32>(ctx, scratch.path / "f.safetensors");
  const auto ranges = config_from_text<ForecastRanges>(loaded.origin.ranges, "f");
  CHECK(ranges.groups == std::vector<std::string>{"AD", "HC"});
  CHECK(ranges.oldest == doctest::Approx(84));
  const Index from[] = {o.pairs.validation[0].from};
  const Tensor<float, Cpu> z = latent_batch(ctx, o.data, from);
  const std::vector<ConditionRow> row = {o.data.conditions[static_cast<std::size_t>(from[0])]};
  CHECK(test::max_difference(forecast_latents(ctx, model, z, {70}, row, {{5}})[0],
                             forecast_latents(ctx, loaded.model, z, {70}, row, {{5}})[0]) == 0.0);
  test::check_error("latents.channels", {"4 latent channels"},
                    [&] { save_rate_field(scratch.path / "g.safetensors", model, {}, {}); });
}

TEST_CASE("fields and data that do not fit are refused") {
  const test::ScratchFolder scratch;
  write_world(scratch.path, {});
  Context<Cpu> ctx({.threads = 1});
  const auto with = [&](auto change) {
    RateFieldTrainingConfig c = tiny();
    change(c);
    const Opened o = open(ctx, scratch.path, c);
    RateField3d<Cpu, F32> model(ctx, c.model);
    initialize(model, 1);
    fit_linear_rate(ctx, o.data, o.pairs.train, o.pairs.validation, c.full_weight_years, model);
  };
  test::check_error("forecast.latents", {"32 channels", "4"},
                    [&] { with([](auto& c) { c.model.network.channels = 32; }); });
  test::check_error("rate_field.sigma", {"-1"}, [&] { with([](auto& c) { c.sigma = -1; }); });
  test::check_error("forecast.augment", {"augmented"}, [&] { with([](auto& c) { c.training.augment.flip = true; }); });
  test::check_error("forecast.validation", {"1 validation pair"},
                    [&] { with([](auto& c) { c.validation_pairs = 0; }); });
  test::check_error("visits.none", {"training set", "50 to 60"},
                    [&] { with([](auto& c) { c.pairs.least_years = 50, c.pairs.most_years = 60; }); });
}
