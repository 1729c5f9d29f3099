// The study of memorisation: planted copies are found, and what is found is what the distances say.
#include "braing3n/study/memorisation.hpp"

#include "braing3n/data/loader.hpp"
#include "braing3n/study/memorisation_report.hpp"
#include "braing3n/table/embedding_file.hpp"
#include "tests/study/small_cohort.hpp"
#include "tests/support/check.hpp"

using namespace braing3n;
using namespace braing3n::study;

namespace {

/// The latents of every scan in a file.
MemorisationOptions options_of(test::SmallCohort& c) {
  const LoadedTokenizer<Cpu, F32> tokenizer = load_tokenizer<F32>(c.ctx, c.tokenizer);
  test::RecordingObserver observer;
  const Manifest manifest = read_cohort(c.cohort, observer);
  const VolumeSource source = scan_source(manifest, tokenizer.contract);
  EmbeddingFile file;
  file.tensor = "latents";
  file.shape = {2, 3, 2, 5};
  file.contract = Json{{"model_hash", tokenizer.hash}}.dump();
  for (Index i = 0; i < manifest.size(); ++i) {
    const Tensor<float, Cpu> v = source(c.ctx, i);
    Pass<Cpu> pass(c.ctx);
    const Tensor<float, Cpu> z =
        tokenizer.model.project(pass, tokenizer.model.tokens(pass, v.reshape({1, 16, 24, 16, 1}))).value();
    file.add(manifest.scans[static_cast<std::size_t>(i)].volume_id, "", {z.data(), static_cast<std::size_t>(z.size())});
  }
  write_embeddings(c.folder / "latents.safetensors", file, {.overwrite = true});
  MemorisationOptions o;
  o.model = c.dit.string();
  o.tokenizer = c.tokenizer.string();
  o.latents = (c.folder / "latents.safetensors").string();
  o.data = c.cohort.data;
  o.split = c.cohort.split;
  o.sampling.steps = 2;
  o.n = 5;
  o.pictures = 2;
  return o;
}

}  // namespace

TEST_CASE("exact copies that are planted are found, at the distance 0") {
  test::SmallCohort c;
  test::RecordingObserver observer;
  MemorisationOptions o = options_of(c);
  o.plant = 3;
  o.plant_noise = 0;
  c.call_phantoms();
  const MemorisationResult r = run(c.ctx, o, observer);
  CHECK(r.training_scans == 12);
  CHECK(r.samples == 5);
  CHECK(r.planted == 3);
  CHECK(r.planted_found == 3);
  CHECK(r.planted_distances.maximum == 0);
  REQUIRE(r.nearest.size() == 8);
  for (std::size_t i = 0; i < 3; ++i) {  // the nearest pair first
    CHECK(r.nearest[i].distance == 0);
    CHECK(r.nearest[i].copy);
    CHECK(r.nearest[i].planted == r.nearest[i].nearest);
  }
  for (std::size_t i = 1; i < 8; ++i) CHECK(r.nearest[i - 1].distance <= r.nearest[i].distance);
  // Noise that has been trained on nothing is far from every scan.
  CHECK(r.copies == 0);
  CHECK(r.ratio > 1);
  CHECK(r.ratio == doctest::Approx(r.generated.mean / r.real.mean));
  CHECK(r.real.count == 12);
  CHECK(r.pictures.size() == 4);
  CHECK(r.captions[1] == r.nearest[0].nearest + " through the tokenizer");
  REQUIRE(observer.notes.size() == 1);
  CHECK(observer.notes[0] == "searching 12 training scans of 60 values");
  CHECK(observer.units == 5);

  // No result replaces a file that is there, the picture included.
  std::filesystem::create_directories(c.folder / "kept");
  write_text(c.folder / "kept" / "montage.png", "another");
  CHECK_THROWS_WITH_AS(write_results(c.folder / "kept", r, {}), doctest::Contains("montage.png"), Error);
  CHECK(read_text(c.folder / "kept" / "montage.png") == "another");

  write_results(c.folder / "out", r, {});
  const Json json = read_json(c.folder / "out" / "memorisation.json");
  CHECK(json["planted_found"] == 3);
  CHECK(json["phantom_distribution"] == "phantom-2");
  CHECK(tables(r).starts_with("Phantoms of the distribution phantom-2\n"));
  CHECK(json["nearest"][0]["planted"] == r.nearest[0].nearest);
  CHECK_FALSE(json["nearest"][7].contains("planted"));
  CHECK(json["sampling"]["steps"] == 2);
  CHECK(json["real"]["fifth_percentile"].get<double>() == r.real.fifth);
  CHECK(tables(r).find("Planted copies found: 3 of 3") != std::string::npos);
  CHECK(tables(r).find("COPY") != std::string::npos);
}

TEST_CASE("copies under strong noise are not found, and samples of sidecars are made again") {
  test::SmallCohort c;
  test::RecordingObserver observer;
  MemorisationOptions o = options_of(c);
  o.plant = 4;
  o.plant_noise = 10;
  o.pictures = 0;
  const MemorisationResult noisy = run(c.ctx, o, observer);
  CHECK(noisy.planted_found < 4);
  CHECK(noisy.pictures.empty());

  // The second sample, by its sidecar.
  SampleRecord record;
  record.file = "SYNTHETIC_0001.nii.gz";
  record.seed = o.seed;
  record.sample = 1;
  record.sampling = o.sampling;
  record.model.hash = load_dit<F32>(c.ctx, c.dit).hash;
  record.tokenizer.hash = load_tokenizer<F32>(c.ctx, c.tokenizer).hash;
  // Under the conditions of the training scan that the second of five samples takes: row 1 * 12 / 5 = 2.
  const Dit3dConfig config = load_dit<F32>(c.ctx, c.dit).model.config;
  const Manifest manifest = read_cohort(c.cohort, observer);
  record.conditions = conditions_json(config.conditions, condition_rows(config.conditions, manifest, {2})[0]);
  std::filesystem::create_directory(c.folder / "samples");
  write_json(c.folder / "samples" / "SYNTHETIC_0001.json", record);
  o.plant = 0;
  const MemorisationResult made = run(c.ctx, o, observer);
  o.samples = (c.folder / "samples").string();
  const MemorisationResult found = run(c.ctx, o, observer);
  CHECK(found.samples == 1);
  CHECK_FALSE(found.sampling);
  CHECK(found.nearest[0].sample == record.file);
  const auto same = std::find_if(made.nearest.begin(), made.nearest.end(),
                                 [](const NearestScan& p) { return p.sample == "sample 1"; });
  REQUIRE(same != made.nearest.end());
  CHECK(found.nearest[0].distance == same->distance);
  CHECK(found.nearest[0].conditions == same->conditions);

  o.samples = (c.folder / "nowhere").string();
  test::check_error("samples.none", {"no sidecars"}, [&] { run(c.ctx, o, observer); });
  record.model.hash = "0";
  write_json(c.folder / "samples" / "SYNTHETIC_0001.json", record, {.overwrite = true});
  o.samples = (c.folder / "samples").string();
  test::check_error("samples.model", {"was made by transformer 0"}, [&] { run(c.ctx, o, observer); });
}

TEST_CASE("copies are searched among the subjects that trained the model") {
  test::SmallCohort c;
  test::RecordingObserver observer;
  MemorisationOptions o = options_of(c);
  o.train = "test";
  test::check_error("memorisation.subjects", {"8 of the 8 subjects of the set \"test\" did not train"},
                    [&] { run(c.ctx, o, observer); });
  o.train = "nobody";
  CHECK_THROWS_WITH_AS(run(c.ctx, o, observer), doctest::Contains("nobody"), Error);
  // Thirteen subjects, of whom twelve are in the model's list.
  o.split = (c.folder / "other.csv").string();
  o.train = "train";
  {
    std::ofstream split(o.split);
    split << "subject_id,split\n";
    for (int p = 1; p <= 24; ++p) split << (p < 10 ? "p0" : "p") << p << (p <= 13 ? ",train\n" : ",test\n");
  }
  CHECK_NOTHROW(MemorisationStudy(c.ctx, o, observer));
  REQUIRE(observer.warnings.size() == 1);
  CHECK(observer.warnings[0] == "1 of the 13 subjects of the set \"train\" did not train the model: p13");
}
