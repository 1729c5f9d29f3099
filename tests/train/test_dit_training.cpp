#include "tests/train/training_case.hpp"

#include "braing3n/checkpoint/saved_dit.hpp"
#include "braing3n/sample/generate.hpp"
#include "braing3n/train/dit_training.hpp"
#include "braing3n/train/fit.hpp"
#include "braing3n/train/latent_gaussian.hpp"

using namespace braing3n;

namespace {

constexpr Extent3 grid = {2, 3, 2};
constexpr Index channels = 4, row_size = 48;

/// Latents of `people`, two scans each: channel c is 3 c + (c + 1) (s + small noise), s = +1 for women and -1 for men. In the first half of
/// the tokens comes what is a scan's own, of sd `own`.
void write_latents(const std::filesystem::path& folder, Index people, Index extra_latents = 0, Index extra_labels = 0,
                   double own = 0) {
  EmbeddingFile e = test::latent_file(grid, channels);
  std::ofstream labels(folder / "labels.csv");
  labels << "volume_id,subject_id,modality,sex,disease,age\n";
  for (Index i = 2 * people + extra_labels; i-- > 0;) {  // not in the order of the latents
    const Index person = i / 2;
    const bool woman = person % 2 == 0;
    labels << "v" << i << ",p" << person << ',' << (i % 2 == 0 ? "T1" : "T2") << ',' << (woman ? "F" : "M") << ','
           << (person % 5 == 0 ? "AD" : "HC") << ','
           << (person % 3 == 0 ? std::string("n/a") : std::to_string(40 + person)) << "\n";
  }
  for (Index i = 0; i < 2 * people + extra_latents; ++i) {
    const Philox rng(3, Purpose::test, 0, static_cast<std::uint32_t>(i));
    std::vector<float> values;
    for (Index k = 0; k < row_size; ++k) {
      const auto c = static_cast<double>(k % channels);
      const double common = (i / 2 % 2 == 0 ? 1.0 : -1.0) + (k < row_size / 2 ? own * rng.normal(1000) : 0.0);
      values.push_back(
          static_cast<float>(3 * c + (c + 1) * (common + 0.2 * rng.normal(static_cast<std::uint64_t>(k)))));
    }
    const Index id = i < 2 * people ? i : i + 1000;
    e.add(concat("v", id), "hash", values);
  }
  write_embeddings(folder / "latents.safetensors", e, {.overwrite = true});
}

DitTrainingConfig tiny() {
  DitTrainingConfig c = DitTrainingConfig::small();
  c.model.width = 48, c.model.depth = 2, c.model.heads = 4, c.model.mlp = 96;
  c.training = {
      .steps = 12, .batch = 4, .lr = 2e-3, .ema = EmaOptions{.decay = 0.99, .warmup = true}, .validate_every = 4};
  return c;
}

LatentData open(Context<Cpu>& ctx, const std::filesystem::path& folder, DitTrainingConfig& config, bool strict = false,
                std::vector<std::string>* told = nullptr) {
  LatentData data = open_latent_data(ctx,
                                     {.latents = folder / "latents.safetensors",
                                      .labels = folder / "labels.csv",
                                      .validation = 0.25,
                                      .strict = strict},
                                     5, [&](const std::string& text) {
                                       if (told != nullptr) told->push_back(text);
                                     });
  config.complete(data, AbsentConditions::remove);
  take_conditions(data, config.model.conditions);
  config.training = config.training.resolved(static_cast<Index>(data.scans.train.size()));
  return data;
}

void train(const std::filesystem::path& data_folder, const std::filesystem::path& path, Index stop_at,
           ResumeMode resume, int threads = 1) {
  Context<Cpu> ctx({.threads = threads});
  DitTrainingConfig config = tiny();
  const LatentData data = open(ctx, data_folder, config);
  Dit3d<Cpu, F32> model(ctx, config.model);
  initialize(model, 5);
  Trainer<Dit3d<Cpu, F32>, Cpu> trainer(ctx, model, config.training, 5);
  const TrainingFolder folder{path};
  const TrainingInfo identity{
      .kind = "dit3d", .config = json_text(config), .manifest_hash = data.scans.hash, .progress = {}, .extra = {}};
  open_training_folder(folder, trainer, identity, resume, false, [](const std::string&) {});
  DitTask task(ctx, model, data, config, 5, trainer.progress().samples);
  ScanFailures failures;
  FitHooks hooks;
  hooks.stop_at = stop_at;
  hooks.validate = [&] { return task.validate(failures); };
  hooks.save_model = [&](const std::filesystem::path& to) {
    save_dit(to, model, data.statistics, data.file->model_hash(), data.file->preprocessing(), {}, {.overwrite = true});
  };
  fit(trainer, task, folder, identity, hooks);
}

}  // namespace

TEST_CASE("latents pair with labels by name; people, not scans, are split; the training set is standardised") {
  const test::ScratchFolder scratch;
  write_latents(scratch.path, 12, 1, 2);
  Context<Cpu> ctx({.threads = 2});
  DitTrainingConfig config = tiny();
  std::vector<std::string> told;
  const LatentData data = open(ctx, scratch.path, config, false, &told);
  REQUIRE(told.size() == 2);
  CHECK(told[0].find("1 row has no labels: v1024") != std::string::npos);
  CHECK(told[1].find("2 rows have no latents: v25, v24") != std::string::npos);
  CHECK(data.scans.train.size() == 18);
  CHECK(data.scans.validation.size() == 6);
  std::set<std::string> learn, held;
  for (const Index i : data.scans.train) learn.insert(data.labels.scans[static_cast<std::size_t>(i)].subject_id);
  for (const Index i : data.scans.validation) held.insert(data.labels.scans[static_cast<std::size_t>(i)].subject_id);
  CHECK(learn.size() == 9);
  for (const std::string& person : held) CHECK(!learn.contains(person));
  // disease takes its values from the labels; no label says anything of site and idh1, so both are gone.
  std::vector<std::string> names;
  for (const ConditionField& f : config.model.conditions) names.push_back(f.name);
  CHECK(names == std::vector<std::string>{"disease", "sex", "modality", "age"});
  CHECK(config.model.conditions[0].values == std::vector<std::string>{"AD", "HC"});
  CHECK(config.model.channels == channels);
  CHECK(config.model.grid == grid);

  const Tensor<float, Cpu> z = latent_batch(ctx, data, data.scans.train);
  for (Index c = 0; c < channels; ++c) {
    double sum = 0, square = 0;
    const Index n = z.size() / channels;
    for (Index i = 0; i < n; ++i) {
      const double v = static_cast<double>(z.data()[i * channels + c]);
      sum += v / static_cast<double>(n), square += v * v / static_cast<double>(n);
    }
    CHECK(std::abs(sum) < 1e-5);
    CHECK(square == doctest::Approx(1.0).epsilon(1e-5));
  }
  // Every scan has its own latents: the sign of channel 0 is the person's sex.
  for (std::size_t i = 0; i < data.scans.train.size(); ++i)
    CHECK((z.data()[static_cast<Index>(i) * row_size] > 0) ==
          (data.conditions[static_cast<std::size_t>(data.scans.train[i])][1].label == 0));
  // The way back gives the file's numbers.
  std::vector<float> raw(row_size);
  const Index first = data.scans.train[0];
  data.file->read(data.file_row[static_cast<std::size_t>(first)], raw);
  const Tensor<float, Cpu> back = data.statistics.restore(z.slice(0, 1));
  for (Index i = 0; i < row_size; ++i)
    CHECK(std::abs(static_cast<double>(back.data()[i] - raw[static_cast<std::size_t>(i)])) < 1e-5);
  std::vector<LatentStatistics> measured;
  for (const int threads : {1, 3}) {
    Context<Cpu> other({.threads = threads});
    DitTrainingConfig again = tiny();
    measured.push_back(open(other, scratch.path, again).statistics);
  }
  CHECK(measured[0].mean == measured[1].mean);
  CHECK(measured[0].sd == measured[1].sd);
}

TEST_CASE("latents and labels that do not fit are refused") {
  const test::ScratchFolder scratch;
  write_latents(scratch.path, 12, 1, 0);
  Context<Cpu> ctx({.threads = 1});
  const auto with = [&](auto change) {
    DitTrainingConfig c = tiny();
    change(c);
    open(ctx, scratch.path, c);
  };
  test::check_error("latents.labels", {"no labels: v1024"}, [&] {
    DitTrainingConfig c = tiny();
    open(ctx, scratch.path, c, true);
  });
  test::check_error("dit3d.latents", {"4 channels", "32"}, [&] { with([](auto& c) { c.model.channels = 32; }); });
  test::check_error("dit3d.latents", {"(2, 3, 2)", "(10, 12, 10)"},
                    [&] { with([](auto& c) { c.model.grid = {10, 12, 10}; }); });
  test::check_error("condition.value", {"scan v", "disease", "expected one of HC"},
                    [&] { with([](auto& c) { c.model.conditions[0].values = {"HC"}; }); });
  test::check_error("dit3d.augment", {"augmented"}, [&] { with([](auto& c) { c.training.augment.flip = true; }); });
  test::check_error("dit3d.drop", {"0.7"}, [&] { with([](auto& c) { c.drop = {.all = 0.7, .all_but_one = 0.7}; }); });
  {
    std::ofstream labels(scratch.path / "labels.csv");
    labels << "volume_id,subject_id,modality\nother,p,T1\n";
  }
  test::check_error("latents.labels", {"\"v0\"", "\"other\""}, [&] { with([](auto&) {}); });
  write_latents(scratch.path, 1);
  test::check_error("split.few", {"1 subjects"}, [&] { with([](auto&) {}); });
  std::ofstream(scratch.path / "latents.safetensors") << "nothing";
  CHECK_THROWS_AS(LatentFile(scratch.path / "latents.safetensors"), Error);
  EmbeddingFile features;
  features.shape = {3};
  features.add("a", "h", std::vector<float>{1, 2, 3});
  write_embeddings(scratch.path / "f.safetensors", features);
  test::check_error("latents.format", {"no tensor \"latents\"", "encode --latents"},
                    [&] { LatentFile file(scratch.path / "f.safetensors"); });
  features.tensor = "latents";
  write_embeddings(scratch.path / "f.safetensors", features, {.overwrite = true});
  test::check_error("latents.format", {"(rows, X, Y, Z, channels)"},
                    [&] { LatentFile file(scratch.path / "f.safetensors"); });
  features = EmbeddingFile();
  features.tensor = "latents";
  features.shape = {1, 1, 1, 2};
  features.add("a", "h", std::vector<float>{1, std::nanf("")});
  write_embeddings(scratch.path / "f.safetensors", features, {.overwrite = true});
  test::check_error("latents.finite", {"of a"}, [&] {
    std::vector<float> values(2);
    LatentFile(scratch.path / "f.safetensors").read(0, values);
  });
}

TEST_CASE("a sample of the stream is the same in any batch: noise, time and what is hidden") {
  const test::ScratchFolder scratch;
  write_latents(scratch.path, 12);
  Context<Cpu> ctx({.threads = 2});
  DitTrainingConfig config = tiny();
  const LatentData data = open(ctx, scratch.path, config);
  const Dit3d<Cpu, F32> model(ctx, config.model);
  DitTask whole(ctx, model, data, config, 5, 0);
  config.training.batch = 2;
  DitTask halves(ctx, model, data, config, 5, 2);  // from the third sample on
  const auto a = whole.next();
  const auto b = halves.next();
  CHECK(whole.position() == 4);
  CHECK(halves.position() == 4);
  CHECK(test::same_bits(a.flow.x_t.slice(2, 4), b.flow.x_t));
  CHECK(test::same_bits(a.flow.velocity.slice(2, 4), b.flow.velocity));
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(a.t[i + 2] == b.t[i]);
    for (std::size_t f = 0; f < config.model.conditions.size(); ++f) {
      if (config.model.conditions[f].kind == ConditionKind::categorical)
        CHECK(a.conditions.fields[f].labels[i + 2] == b.conditions.fields[f].labels[i]);
    }
  }
  CHECK(!test::same_bits(a.flow.x_t.slice(0, 2), b.flow.x_t));
  // Every scan once per epoch.
  LatentStream stream(data, config.model.conditions, {}, {}, 9, 5, 0);
  std::vector<Index> seen;
  for (int i = 0; i < 2; ++i)
    for (const Index s : stream.next().scans) seen.push_back(s);
  std::sort(seen.begin(), seen.end());
  CHECK(seen == data.scans.train);
  test::check_error("loader.batch", {"99", "18"},
                    [&] { LatentStream(data, config.model.conditions, {}, {}, 99, 5, 0); });
}

TEST_CASE("rare classes can be drawn as often as common ones") {
  const test::ScratchFolder scratch;
  write_latents(scratch.path, 12);
  Context<Cpu> ctx({.threads = 1});
  DitTrainingConfig config = tiny();
  const LatentData data = open(ctx, scratch.path, config);
  const auto& fields = config.model.conditions;
  std::vector<ConditionField> shown = fields;
  for (ConditionField& f : shown) {
    f.drop = 0;
    f.required = f.name == "modality" || f.name == "idh1";  // of which nobody has one: it cannot be the one that stays
  }
  const auto share_when = [&](const std::vector<ConditionField>& which, const BalanceOptions& o,
                              const DropOptions& drop) {  // of AD, row 0
    LatentStream stream(data, which, o, drop, 10, 5, 0);
    double ad = 0;
    for (int i = 0; i < 400; ++i)
      for (const Index s : stream.next().scans)
        ad += data.conditions[static_cast<std::size_t>(s)][0].label == 0 ? 1.0 / 4000 : 0.0;
    return ad;
  };
  const auto share = [&](const BalanceOptions& o) { return share_when(shown, o, {}); };
  double there = 0;
  for (const Index s : data.scans.train)
    there += data.conditions[static_cast<std::size_t>(s)][0].label == 0 ? 1.0 / 18 : 0.0;
  REQUIRE(there > 0.05);
  REQUIRE(there < 0.4);
  CHECK(share({}) == doctest::Approx(there).epsilon(0.02));
  CHECK(std::abs(share({.conditions = {"disease"}}) - 0.5) < 0.04);
  CHECK(std::abs(share({.conditions = {"disease"}, .strength = 0}) - there) < 0.04);
  const double half = std::sqrt(there) / (std::sqrt(there) + std::sqrt(1 - there));
  CHECK(std::abs(share({.conditions = {"disease"}, .strength = 0.5}) - half) < 0.04);
  // What is hidden is not balanced: samples without conditions come as people are.
  CHECK(std::abs(share_when(shown, {.conditions = {"disease"}}, {.all = 1}) - there) < 0.04);
  std::vector<ConditionField> hidden = shown;
  hidden[0].drop = 1;
  CHECK(std::abs(share_when(hidden, {.conditions = {"disease"}}, {}) - there) < 0.04);
  // One alone: those who have it, balanced only where it is that one.
  LatentStream alone(data, shown, {.conditions = {"disease"}}, {.all_but_one = 1}, 10, 5, 0);
  std::map<std::size_t, std::array<double, 2>> by_field;  // samples, those of AD
  for (int i = 0; i < 400; ++i) {
    const LatentStream::Draw draw = alone.next();
    for (std::size_t k = 0; k < draw.scans.size(); ++k)
      for (std::size_t f = 0; f < shown.size(); ++f)
        if (!shown[f].required && !draw.conditions[k][f].missing()) {
          ++by_field[f][0];
          by_field[f][1] += data.conditions[static_cast<std::size_t>(draw.scans[k])][0].label == 0 ? 1 : 0;
        }
  }
  for (const auto& [f, n] : by_field) {
    double known = 0, ad = 0;
    for (const Index s : data.scans.train)
      if (const ConditionRow& row = data.conditions[static_cast<std::size_t>(s)]; !row[f].missing())
        ++known, ad += row[0].label == 0 ? 1 : 0;
    CAPTURE(f);
    CHECK(std::abs(n[0] / 4000 - 1.0 / 3) < 0.04);  // also of the field that a third of the people lack
    CHECK(std::abs(n[1] / n[0] - (f == 0 ? 0.5 : ad / known)) < 0.07);
  }
  // Two conditions: each of them is balanced where they are independent; here at least nobody is left out.
  LatentStream both(data, fields, {.conditions = {"disease", "sex"}}, {}, 10, 5, 0);
  std::set<Index> seen;
  for (int i = 0; i < 100; ++i)
    for (const Index s : both.next().scans) seen.insert(s);
  CHECK(seen.size() == data.scans.train.size());
  test::check_error("balance.condition", {"age"}, [&] { share({.conditions = {"age"}}); });
  test::check_error("condition.name", {"weight"}, [&] { share({.conditions = {"weight"}}); });
  test::check_error("balance.strength", {"2"}, [&] { share({.conditions = {"sex"}, .strength = 2}); });
}

TEST_CASE("a fresh model's loss is that of data and noise of unit variance; validation does not depend on batches") {
  const test::ScratchFolder scratch;
  write_latents(scratch.path, 12);
  Context<Cpu> ctx({.threads = 2});
  std::vector<TimeBins> bins;
  for (const Index batch : {Index{4}, Index{7}}) {
    DitTrainingConfig config = tiny();
    config.training.batch = batch;
    const LatentData data = open(ctx, scratch.path, config);
    Dit3d<Cpu, F32> model(ctx, config.model);
    initialize(model, 5);
    DitTask task(ctx, model, data, config, 5, 0);
    int told = 0;
    task.on_bins = [&](const TimeBins&) { ++told; };
    ScanFailures failures;
    const double loss = task.validate(failures);
    CHECK(told == 1);
    CHECK(loss == doctest::Approx(2.0).epsilon(0.1));  // E (eps - x)^2
    double mean = 0;
    for (const double b : task.time_bins()) {
      CHECK(b == doctest::Approx(2.0).epsilon(0.35));
      mean += b / 10;
    }
    CHECK(loss == doctest::Approx(mean));
    bins.push_back(task.time_bins());
  }
  CHECK(bins[0] == bins[1]);
  // Every part of [0, 1] gets its share, however many scans there are.
  for (const Index people : {4, 8, 20, 40}) {
    CAPTURE(people);
    write_latents(scratch.path, people);
    DitTrainingConfig config = tiny();
    const LatentData data = open(ctx, scratch.path, config);
    Dit3d<Cpu, F32> model(ctx, config.model);
    initialize(model, 5);
    DitTask task(ctx, model, data, config, 5, 0);
    ScanFailures failures;
    CHECK(std::isfinite(task.validate(failures)));
    for (const double b : task.time_bins()) CHECK(b > 1.0);
    // And every scan is looked at: a class that the model does not have would be noticed.
    for (const Index scan : data.scans.validation) {
      LatentData wrong = data;
      wrong.conditions[static_cast<std::size_t>(scan)][0].label = 99;
      const DitTask looks(ctx, model, wrong, config, 5, 0);
      test::check_error("dit3d.condition_class", {"99"}, [&] { looks.validate(failures); });
    }
  }
}

TEST_CASE("a diffusion training that is stopped and resumed ends in the bytes of one that went through") {
  const test::ScratchFolder scratch, whole, parts;
  write_latents(scratch.path, 12);
  train(scratch.path, whole.path, 0, ResumeMode::never);
  train(scratch.path, parts.path, 3, ResumeMode::automatic, 2);
  train(scratch.path, parts.path, 8, ResumeMode::automatic, 3);
  train(scratch.path, parts.path, 0, ResumeMode::automatic);
  for (const char* name : {"model.safetensors", "last.safetensors", "state.safetensors", "log.jsonl"}) {
    CAPTURE(name);
    CHECK(test::bytes_of(whole.path / name).size() > 100);
    CHECK(test::bytes_of(whole.path / name) == test::bytes_of(parts.path / name));
  }
  // Other labels are another run.
  const std::string labels = test::bytes_of(scratch.path / "labels.csv");
  std::ofstream(scratch.path / "labels.csv")
      << labels.substr(0, labels.find(",M,") + 1) << "F" << labels.substr(labels.find(",M,") + 2);
  test::check_error("training_state.run", {"data manifest"},
                    [&] { train(scratch.path, parts.path, 0, ResumeMode::automatic); });
}

TEST_CASE("the model learns what its conditions say, and a saved one samples the same") {
  const test::ScratchFolder scratch;
  write_latents(scratch.path, 40);
  Context<Cpu> ctx({.threads = 2});
  DitTrainingConfig config = tiny();
  config.training.steps = 250;
  config.training.batch = 16;
  config.training.ema = EmaOptions{.decay = 0.98, .warmup = true};
  const LatentData data = open(ctx, scratch.path, config);
  Dit3d<Cpu, F32> model(ctx, config.model);
  initialize(model, 5);
  Trainer<Dit3d<Cpu, F32>, Cpu> trainer(ctx, model, config.training, 5);
  DitTask task(ctx, model, data, config, 5, 0);
  for (Index i = 0; i < config.training.steps; ++i) trainer.step(task);
  ScanFailures failures;
  trainer.with_average([&] {
    CHECK(task.validate(failures) < 0.6);
    const auto file = scratch.path / "model.safetensors";
    save_dit(file, model, data.statistics, data.file->model_hash(), data.file->preprocessing(), {});
    const auto loaded = load_dit<F32>(ctx, file);
    CHECK(loaded.tokenizer == "0123abcd");
    CHECK(loaded.latents.mean == data.statistics.mean);
    CHECK(loaded.latents.sd == data.statistics.sd);
    CHECK(json_text(loaded.model.config) == json_text(config.model));
    const std::vector<std::uint32_t> ids = {0, 1, 2, 3, 4, 5, 6, 7};
    const auto mean_of = [&](const char* text) {  // of the samples' first channel, in the file's numbers
      const std::vector<ConditionRow> rows(ids.size(), parse_conditions(config.model.conditions, text));
      const SamplingOptions options{.sampler = Sampler::heun, .steps = 10};
      const auto z = sample_latents(ctx, model, std::span<const std::uint32_t>(ids), rows, 9, options);
      CHECK(
          test::same_bits(z, sample_latents(ctx, loaded.model, std::span<const std::uint32_t>(ids), rows, 9, options)));
      const auto raw = data.statistics.restore(z);
      double sum = 0;
      for (Index i = 0; i < raw.size() / channels; ++i)
        sum += static_cast<double>(raw.data()[i * channels]) * channels / static_cast<double>(raw.size());
      return sum;
    };
    CHECK(std::abs(mean_of("modality=T1,sex=F") - 1.0) < 0.15);
    CHECK(std::abs(mean_of("modality=T1,sex=M") + 1.0) < 0.15);
  });
}

TEST_CASE("the normal distribution of the latents: the effect of conditions, and the covariance without them") {
  const test::ScratchFolder scratch;
  write_latents(scratch.path, 60);
  std::vector<std::vector<float>> measured;
  for (const int threads : {1, 3}) {
    Context<Cpu> ctx({.threads = threads});
    DitTrainingConfig config = tiny();
    config.model.gaussian_rank = 2;
    const LatentData data = open(ctx, scratch.path, config);
    Dit3d<Cpu, F32> model(ctx, config.model);
    initialize(model, 5);
    measure_gaussian(ctx, data, model);
    std::vector<float> values;
    for_each_parameter(model.gaussian, [&](const std::string&, const auto& p) {
      const auto part = p.value().to_host();
      values.insert(values.end(), part.begin(), part.end());
    });
    measured.push_back(std::move(values));
    if (threads == 1) continue;

    // All values of a scan are +1 or -1, by sex, and a little noise. An untrained model samples the normal distribution itself.
    std::vector<std::uint32_t> ids(256);
    std::iota(ids.begin(), ids.end(), 0u);
    const auto distribution_of =
        [&](const char* text) {  // mean and sd of what the samples' first channel is on average
          const std::vector<ConditionRow> rows(ids.size(), parse_conditions(config.model.conditions, text));
          const auto z =
              data.statistics.restore(sample_latents(ctx, model, std::span<const std::uint32_t>(ids), rows, 9,
                                                     {.sampler = Sampler::heun, .steps = 40, .shift = 3}));
          double sum = 0, square = 0;
          const auto n = static_cast<double>(ids.size());
          for (Index i = 0; i < static_cast<Index>(ids.size()); ++i) {
            double mean = 0;
            for (Index k = 0; k < row_size; k += channels)
              mean += static_cast<double>(z.data()[i * row_size + k]) * channels / row_size;
            sum += mean / n, square += mean * mean / n;
          }
          return std::pair{sum, std::sqrt(square - sum * sum)};
        };
    const auto [women, women_sd] = distribution_of("modality=T1,sex=F");
    const auto [men, men_sd] = distribution_of("modality=T2,sex=M");
    const auto [all, all_sd] = distribution_of("modality=T1");
    CHECK(std::abs(women - 1) < 0.15);
    CHECK(std::abs(men + 1) < 0.15);
    CHECK(std::abs(all) < 0.2);
    CHECK(women_sd < 0.2);
    CHECK(men_sd < 0.2);
    CHECK(std::abs(all_sd - 1) < 0.15);
    test::check_error("dit3d.gaussian_rank", {"46 directions", "at least 92", "got 90"}, [&] {
      Dit3dConfig wide = config.model;
      wide.gaussian_rank = 46;
      Dit3d<Cpu, F32> refused(ctx, wide);
      initialize(refused, 5);
      measure_gaussian(ctx, data, refused);
    });
    // The distribution is part of the model; a file without it is refused.
    const auto file = scratch.path / "model.safetensors";
    save_dit(file, model, data.statistics, "", "", {}, {.overwrite = true});
    const auto loaded = load_dit<F32>(ctx, file);
    CHECK(test::same_bits(loaded.model.gaussian.effects.compute(), model.gaussian.effects.compute()));
    Dit3dConfig plain = config.model;
    plain.gaussian_rank = 0;
    Dit3d<Cpu, F32> without(ctx, plain);
    initialize(without, 5);
    std::vector<NamedTensor> tensors = state_tensors(without);
    Dit3d<Cpu, F32> incomplete(ctx, config.model);
    ModelInfo info;
    info.kind = "dit3d";
    info.config = json_text(config.model);
    write_model(file, info, tensors, {.overwrite = true});
    test::check_error("model.weights", {"missing", "gaussian.mean"},
                      [&] { (void)load_model<Dit3d<Cpu, F32>>(ctx, ModelFile(file), "dit3d"); });
  }
  CHECK(measured[0] == measured[1]);
}

TEST_CASE("what a condition explains does not stay open where scans also differ in a direction near its own") {
  const test::ScratchFolder scratch;
  write_latents(scratch.path, 75, 0, 0, 1.0);
  Context<Cpu> ctx({.threads = 2});
  DitTrainingConfig config = tiny();
  config.model.gaussian_rank = 2;
  const LatentData data = open(ctx, scratch.path, config);
  Dit3d<Cpu, F32> model(ctx, config.model);
  initialize(model, 5);
  measure_gaussian(ctx, data, model);
  std::vector<std::uint32_t> ids(256);
  std::iota(ids.begin(), ids.end(), 0u);
  const std::vector<ConditionRow> rows(ids.size(), parse_conditions(config.model.conditions, "modality=T1,sex=F"));
  const auto z = data.statistics.restore(sample_latents(ctx, model, std::span<const std::uint32_t>(ids), rows, 9,
                                                        {.sampler = Sampler::heun, .steps = 40, .shift = 3}));
  double sums[2] = {}, squares[2] = {};
  for (Index i = 0; i < 256; ++i)
    for (Index half = 0; half < 2; ++half) {
      double mean = 0;
      for (Index k = half * row_size / 2; k < (half + 1) * row_size / 2; k += channels)
        mean += static_cast<double>(z.data()[i * row_size + k]) * channels * 2 / row_size;
      sums[half] += mean / 256, squares[half] += mean * mean / 256;
    }
  const double own = std::sqrt(squares[0] - sums[0] * sums[0]), fixed = std::sqrt(squares[1] - sums[1] * sums[1]);
  CHECK(std::abs(own - 1) < 0.15);
  CHECK(
      fixed <
      0.2);  // the noise of six tokens and what a ridge leaves; near 0.5 along the directions in which scans differ most
  CHECK(std::abs(sums[1] - 1) < 0.15);
}
