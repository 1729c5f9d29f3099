// The session of easy.hpp gives what the layers below it give.
#include "braing3n/easy.hpp"

#include <filesystem>
#include <vector>

#include "braing3n/checkpoint/saved_forecaster.hpp"
#include "braing3n/data/loader.hpp"
#include "tests/support/check.hpp"
#include "tests/support/nifti_bytes.hpp"
#include "tests/support/saved_dit.hpp"
#include "tests/support/saved_tokenizer.hpp"
#include "tests/support/scratch_folder.hpp"

using namespace braing3n;

namespace {

/// A tokenizer, a transformer on its latents and a scan in a folder.
struct Files {
  test::ScratchFolder scratch;
  Context<Cpu> ctx{{.threads = 2}};
  std::filesystem::path folder = scratch.path, tokenizer = test::saved_tokenizer(ctx, folder),
                        dit = folder / "dit.safetensors", scan = folder / "scan.nii.gz";

  Files() {
    Volume v(Grid{{20, 22, 18}, scaling({1.5, 2, 2})});
    for (Index i = 0; i < v.size(); ++i) v.data()[i] = static_cast<float>(i * 37 % 1000);
    write_nifti(ctx, scan, v);
    save_transformer(dit, load_tokenizer<F32>(ctx, tokenizer).hash);
  }
  void save_transformer(const std::filesystem::path& path, const std::string& hash) {
    test::save_small_dit(ctx, path, hash, {{1, 0, -1, 0.5, 2}, {2, 1, 1, 0.5, 3}});
  }
};

template <class X>
bool same_values(const X& x, const Tensor<float, Cpu>& t) {
  return static_cast<Index>(x.size()) == t.size() && std::equal(t.data(), t.data() + t.size(), x.data());
}

}  // namespace

TEST_CASE("features and latents are those of the encoder of the file") {
  Files f;
  const Session s({.threads = 2});
  const ScanTokenizer tokenizer = s.tokenizer(f.folder);
  const Scan scan = s.read(f.scan);
  const VolumeEncoder<Cpu, F32> encoder(f.ctx, f.tokenizer);
  const Tensor<float, Cpu> volume = scan_source(std::vector{f.scan}, encoder.contract)(f.ctx, 0),
                           tokens = encoder.tokens(batch_of_one(volume));
  const ScanFeatures features = tokenizer.features(scan);
  CHECK(same_values(features.values, mean_tokens_forward(tokens)));
  CHECK(features.contract == feature_contract(encoder.contract, "tokenizer", encoder.hash, "encoder", "mean").dump());
  const xt::xtensor<float, 4> latents = tokenizer.latents(scan);
  CHECK(same_values(latents, encoder.project(tokens)));
  CHECK((latents.shape()[0] == 2 && latents.shape()[1] == 3 && latents.shape()[2] == 2 && latents.shape()[3] == 5));
  CHECK(latents(1, 2, 0, 3) == latents.data()[((1 * 3 + 2) * 2 + 0) * 5 + 3]);
}

TEST_CASE("a reconstruction lies on the scan's voxels, has its score and its mark") {
  Files f;
  const Session s({.threads = 2});
  const ScanReconstruction back = s.tokenizer(f.tokenizer).reconstruct(s.read(f.scan));
  const auto model = load_tokenizer<F32>(f.ctx, f.tokenizer);
  const Preprocessed p = preprocess(f.ctx, read_nifti(f.ctx, f.scan).volume, model.contract);
  Pass<Cpu> pass(f.ctx);
  const auto z = model.model.encode(pass, batch_of_one(p.data)).value();
  const auto output = decode(pass, model.model.decoder, z, choose_tiling(model.model.decoder)).reshape(p.data.shape());
  const Volume wanted = restore(f.ctx, output, p.record, &p.data);
  CHECK(back.volume.grid() == wanted.grid());
  CHECK(back.volume.shape() == Extent3{20, 22, 18});
  CHECK(std::equal(wanted.data(), wanted.data() + wanted.size(), back.volume.data()));
  CHECK(back.score.mask.ssim == score_reconstruction(f.ctx, p.data, output, nonzero_mask(p.data)).mask.ssim);
  back.write(f.folder / "back.nii.gz");
  CHECK(read_nifti_info(f.folder / "back.nii.gz").header.mark == "RECONSTRUCTION");
  CHECK_THROWS_AS(back.write(f.folder / "back.nii.gz"), Error);
  back.write(f.folder / "back.nii");  // the description begins at byte 148
  const std::string description = "RECONSTRUCTION braing3n tokenizer " + model.hash.substr(0, 32);
  CHECK(test::read_bytes(f.folder / "back.nii").substr(148, description.size()) == description);
}

TEST_CASE("a scan is one volume of a file, and one that cannot be placed is refused") {
  Files f;
  const Session s({.threads = 1});
  test::NiftiBytes file;
  file.dim = {4, 4, 5, 6, 2, 1, 1, 1};
  file.sform_code = 1;
  file.srow = {{{2, 0, 0, 0}, {0, 2, 0, 0}, {0, 0, 2, 0}}};
  const auto voxel = [](auto i, auto j, auto k, auto t) {
    return static_cast<double>(i + 10 * j + 100 * k + 1000 * t);
  };
  test::write_bytes(f.folder / "two.nii", file.header() + file.voxels(voxel));
  CHECK_THROWS_AS(s.read(f.folder / "two.nii"), Error);
  const Scan second = s.read(f.folder / "two.nii", {.volume = 1});
  CHECK(second.volume.values(3, 2, 1) == 1123);
  CHECK(second.name == (f.folder / "two.nii").string());

  file.dim = {3, 4, 5, 6, 1, 1, 1, 1};
  file.srow = {};
  test::write_bytes(f.folder / "flat.nii", file.header() + file.voxels(voxel));
  CHECK_THROWS_WITH_AS(s.read(f.folder / "flat.nii"), doctest::Contains("flat.nii"), Error);

  // A contract is for weights that carry none: another one than the file's is refused.
  PreprocessingContract other = s.tokenizer(f.tokenizer).loaded().contract;
  CHECK_NOTHROW(s.tokenizer(f.tokenizer, other));
  other.spacing = {2, 2, 2};
  CHECK_THROWS_AS(s.tokenizer(f.tokenizer, other), Error);
}

TEST_CASE("samples are those of the layers, each with its mark and its sidecar") {
  Files f;
  const Session s({.threads = 2});
  const BrainGenerator generator = s.generator(f.dit, s.tokenizer(f.tokenizer));
  const auto brains = generator.sample({.conditions = "age=70,sex=F", .n = 3, .guidance = 2, .steps = 4, .seed = 8});
  REQUIRE(brains.size() == 3);

  const auto dit = load_dit<F32>(f.ctx, f.dit);
  const auto decoder = load_decoder(f.ctx, f.tokenizer);
  const std::vector<std::uint32_t> ids = {2};
  const std::vector<ConditionRow> rows = {parse_conditions(dit.model.config.conditions, "age=70,sex=F")};
  const auto z = sample_latents(f.ctx, dit.model, std::span<const std::uint32_t>(ids), rows, 8,
                                SamplingOptions{.steps = 4, .guidance = {.scale = 2}});
  const auto voxels = decoder(dit.latents.restore(z).reshape({1, 2, 3, 2, 5}));
  CHECK(same_values(brains[2].volume().values, voxels));
  CHECK(brains[2].volume().grid() == contract_grid(decoder.contract));
  CHECK_FALSE(same_values(brains[1].volume().values, voxels));
  const auto other = generator.sample({.conditions = "age=20,sex=F", .guidance = 2, .steps = 4, .seed = 8, .first = 2});
  CHECK_FALSE(same_values(other[0].volume().values, voxels));

  const auto third = generator.sample({.conditions = "age=70,sex=F", .guidance = 2, .steps = 4, .seed = 8, .first = 2});
  CHECK(same_values(third[0].volume().values, voxels));  // sample 2 alone

  const auto shifted = generator.sample({.conditions = "age=70,sex=F",
                                         .guidance = 2,
                                         .steps = 4,
                                         .seed = 8,
                                         .first = 2,
                                         .sampler = Sampler::heun,
                                         .shift = 3});
  const SamplingOptions heun{.sampler = Sampler::heun, .steps = 4, .shift = 3, .guidance = {.scale = 2}};
  const auto w = sample_latents(f.ctx, dit.model, std::span<const std::uint32_t>(ids), rows, 8, heun);
  CHECK(same_values(shifted[0].volume().values, decoder(dit.latents.restore(w).reshape({1, 2, 3, 2, 5}))));
  CHECK(shifted[0].record().sampling.sampler == Sampler::heun);
  CHECK(shifted[0].record().sampling.shift == 3);

  const std::filesystem::path path = brains[2].write(f.folder / "new" / "out");
  CHECK(path == f.folder / "new" / "out" / "SYNTHETIC_0002.nii.gz");
  CHECK(read_nifti_info(path).header.mark == "SYNTHETIC");
  CHECK(brains[2].description() == concat("SYNTHETIC braing3n ", dit.hash, ' ', decoder.hash, " seed 8 sample 2"));
  const NiftiVolume again = read_nifti(f.ctx, path);
  CHECK(same_values(again.volume.values, voxels));
  const SampleRecord record = read_sample_record(f.folder / "new" / "out" / "SYNTHETIC_0002.json");
  CHECK(record.crc32 == file_crc32(path));
  CHECK(record.sampling.guidance.scale == 2);
  CHECK(record.conditions["age"] == Json(70.0));
  CHECK_NOTHROW(record.model.require("model"));
  CHECK_NOTHROW(record.tokenizer.require("tokenizer"));
  CHECK_THROWS_WITH_AS(brains[2].write(f.folder / "new" / "out"), doctest::Contains("exists already"), Error);
  CHECK_NOTHROW(brains[2].write(f.folder / "new" / "out", {.overwrite = true}));
}

TEST_CASE("what cannot be sampled is refused") {
  Files f;
  const Session s({.threads = 1});
  const ScanTokenizer tokenizer = s.tokenizer(f.tokenizer);
  const BrainGenerator generator = s.generator(f.dit, tokenizer);
  CHECK_THROWS_WITH_AS(generator.sample({.n = 0}), doctest::Contains("got 0"), Error);
  CHECK_THROWS_WITH_AS(generator.sample({.n = -2}), doctest::Contains("got -2"), Error);
  CHECK_THROWS_WITH_AS(generator.sample({.steps = 0}), doctest::Contains("expected 1 to 100000 steps, got 0"), Error);
  CHECK_THROWS_WITH_AS(generator.sample({.conditions = "age=200"}), doctest::Contains("0 to 120"), Error);
  CHECK_THROWS_WITH_AS(generator.sample({.conditions = "weight=3"}),
                       doctest::Contains("one of the conditions sex, age"), Error);
  CHECK_THROWS_WITH_AS(generator.sample({.conditions = "age"}), doctest::Contains("expected name=value"), Error);
  CHECK_THROWS_AS(generator.sample({.guidance = std::numeric_limits<double>::quiet_NaN()}), Error);
  CHECK_THROWS_AS(s.generator(f.tokenizer, tokenizer), Error);
  CHECK_THROWS_AS(s.tokenizer(f.dit), Error);
  CHECK_THROWS_AS(s.tokenizer(f.folder / "none"), Error);
  CHECK_THROWS_AS(s.read(f.folder / "none.nii.gz"), Error);
  f.save_transformer(f.folder / "other.safetensors", "another");
  CHECK_THROWS_WITH_AS(s.generator(f.folder / "other.safetensors", tokenizer),
                       doctest::Contains("learnt the latents of tokenizer another"), Error);
  CHECK_THROWS_WITH_AS(tokenizer.features({Volume(Grid{{0, 3, 3}, {}}), "a scan"}), doctest::Contains("a scan"), Error);
}

TEST_CASE("a probe reads the features it was fitted on, and no others") {
  Files f;
  const Session s({.threads = 1});
  const ScanTokenizer tokenizer = s.tokenizer(f.tokenizer);
  const ScanFeatures features = tokenizer.features(s.read(f.scan));
  const auto width = features.values.size();
  SavedProbe probe;
  probe.features = static_cast<Index>(width);
  FeatureTable table;
  set_size(table.values, 1, probe.features);
  table.set_contract(features.contract);
  probe.fingerprint = feature_fingerprint(table);
  const auto task = [&](const char* name, std::vector<std::string> classes, Index outputs) {
    SavedTask t;
    t.name = t.column = name;
    t.classification = !classes.empty();
    t.classes = std::move(classes);
    t.fit.features = probe.features;
    t.fit.outputs = outputs;
    t.fit.intercept.assign(static_cast<std::size_t>(outputs), 0.5);
    t.fit.weights = matrix_of(probe.features, std::vector<double>(width * static_cast<std::size_t>(outputs), 0.25));
    t.fit.weights(0, 0) = 2;
    t.fit.mean.assign(width, 0.125);
    t.fit.scale.assign(width, 2);
    return t;
  };
  probe.tasks = {task("age", {}, 1), task("sex", {"F", "M"}, 1), task("site", {"a", "b", "c"}, 3)};
  write_saved_probe(f.folder / "probe.safetensors", probe);

  const ScanProbe loaded = s.probe(f.folder / "probe.safetensors");
  const std::vector<ProbeResult> results = loaded.apply(features);
  REQUIRE(results.size() == 3);
  CHECK(results[0].value == apply_probe(probe.tasks[0], features.values.data())[0]);
  CHECK(results[0].label.empty());
  CHECK(results[1].probabilities == apply_probe(probe.tasks[1], features.values.data()));
  CHECK(results[1].label == (results[1].probabilities[1] > 0.5 ? "M" : "F"));
  CHECK(results[1].value == std::max(results[1].probabilities[0], results[1].probabilities[1]));
  CHECK(results[2].probabilities.size() == 3);
  const auto likeliest = std::max_element(results[2].probabilities.begin(), results[2].probabilities.end());
  CHECK(results[2].value == *likeliest);
  CHECK(results[2].label == std::string(1, static_cast<char>('a' + (likeliest - results[2].probabilities.begin()))));
  CHECK(results[2].range == RangeVerdict::unknown);

  ScanFeatures others = features;
  others.contract = "{}";
  CHECK_THROWS_WITH_AS(loaded.apply(others), doctest::Contains("another contract"), Error);
  others.contract.clear();
  CHECK_THROWS_AS(loaded.apply(others), Error);
  others = features;
  others.values(3) = std::numeric_limits<float>::infinity();
  CHECK_THROWS_WITH_AS(loaded.apply(others), doctest::Contains("column 3"), Error);
  others.values = xt::xtensor<float, 1>::from_shape({3});
  CHECK_THROWS_WITH_AS(loaded.apply(others), doctest::Contains("the table has 3"), Error);

  // With the ranges of the fit: features inside, predictions of the regression far outside, classes without a prediction.
  for (SavedTask& t : probe.tasks) {
    t.range.low.assign(width, -1e6), t.range.high.assign(width, 1e6);
    t.range.target_low = 1e6, t.range.target_high = 1e6 + 1;
  }
  write_saved_probe(f.folder / "ranges.safetensors", probe);
  const std::vector<ProbeResult> ranges = s.probe(f.folder / "ranges.safetensors").apply(features);
  CHECK(ranges[0].range == RangeVerdict::prediction);
  CHECK(ranges[1].range == RangeVerdict::inside);
  others = features;
  others.values(2) = 1e9f;
  CHECK(s.probe(f.folder / "ranges.safetensors").apply(others)[1].range == RangeVerdict::features);
}

TEST_CASE("follow-ups lie on the scan's voxels; at 0 years they are the scan; all carry the mark") {
  Files f;
  RateFieldConfig c;
  c.network.channels = c.network.context_channels = 5;
  c.network.grid = {2, 3, 2};
  c.network.width = 24, c.network.depth = 1, c.network.heads = 2, c.network.mlp = 32;
  c.network.conditions = {{.name = "sex", .values = {"F", "M"}}};
  c.rank = 0;
  RateField3d<Cpu, F32> field(f.ctx, c);
  initialize(field, 3);
  for_each_parameter(field, [&](const std::string&, auto& p) {
    for (Index i = 0; i < p.value().size(); ++i)
      if (p.value().data()[i] == 0.0f) p.value().data()[i] = 0.05f * static_cast<float>(i % 7 - 3);
    p.refresh();
  });
  const std::string hash = load_tokenizer<F32>(f.ctx, f.tokenizer).hash;
  ForecasterOrigin origin{{std::vector<double>(5, 0.0), std::vector<double>(5, 1.0)}, hash, "", ""};
  origin.ranges = json_text(
      ForecastRanges{.pairs = 9, .subjects = 4, .ages = true, .youngest = 60, .oldest = 80, .longest_years = 6});
  save_rate_field(f.folder / "field.safetensors", field, origin, {});
  const Session s({.threads = 2});
  const Scan scan = s.read(f.scan);
  const ScanForecaster forecaster = s.forecaster(f.folder / "field.safetensors", s.tokenizer(f.tokenizer));
  const auto after = forecaster.follow_ups(scan, {.age = 71, .conditions = "sex=F", .years = {0, 4}});
  REQUIRE(after.size() == 2);
  CHECK(after[1].years() == 4);
  CHECK(after[1].volume().grid() == scan.volume.grid());
  CHECK(std::equal(scan.volume.data(), scan.volume.data() + scan.volume.size(), after[0].volume().data()));
  CHECK(!std::equal(scan.volume.data(), scan.volume.data() + scan.volume.size(), after[1].volume().data()));
  for (Index i = 0; i < scan.volume.size(); ++i)
    if (scan.volume.data()[i] == 0) CHECK(after[1].volume().data()[i] == 0);
  // Whatever else is asked for, before or after.
  const auto others = forecaster.follow_ups(scan, {.age = 71, .conditions = "sex=F", .years = {2.5, 4, 0}});
  for (const std::size_t h : {0u, 1u})
    CHECK(std::equal(after[h].volume().data(), after[h].volume().data() + scan.volume.size(),
                     others[h == 0 ? 2 : 1].volume().data()));
  const auto path = after[1].write(f.folder / "made");
  CHECK(path.filename() == "SYNTHETIC_scan_4y.nii.gz");
  CHECK(read_nifti_info(path).header.mark == "SYNTHETIC");
  CHECK(read_forecast_record(f.folder / "made" / "SYNTHETIC_scan_4y.json").years == 4);
  CHECK_THROWS_AS(after[1].write(f.folder / "made"), Error);
  test::check_error("forecast.backwards", {"-1"}, [&] { forecaster.follow_ups(scan, {.age = 71, .years = {-1}}); });
  test::check_error("forecast.age", {"60 to 80", "20"},
                    [&] { forecaster.follow_ups(scan, {.age = 20, .years = {1}}); });
  CHECK(forecaster.follow_ups(scan, {.age = 71, .years = {-1}, .backwards = true}).size() == 1);
  origin.tokenizer = "ffffffff";
  save_rate_field(f.folder / "other.safetensors", field, origin, {});
  test::check_error("forecast.tokenizer", {"ffffffff", hash},
                    [&] { s.forecaster(f.folder / "other.safetensors", s.tokenizer(f.tokenizer)); });
}
