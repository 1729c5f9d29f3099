// The whole pipeline at a small size, on people who do not exist: a phantom cohort, a masked autoencoder, a tokenizer, features
// and latents, reconstructions of people it has never seen, probes, a diffusion transformer and its samples, and a page that shows it all.
//
//   braing3n quickstart --out DIR           a few minutes on two cores
//   braing3n quickstart --out DIR --long    more people and more steps: better pictures
//   braing3n quickstart --out DIR --smoke   seconds: shows only that everything works
// Every step is one of the other commands, run with the command that is printed: copy it to go on with scans of your own.
#include <iostream>
#include <optional>
#include <sstream>

#include "braing3n/data/split.hpp"
#include "braing3n/format/csv.hpp"
#include "braing3n/format/file_lock.hpp"
#include "braing3n/format/json.hpp"
#include "braing3n/report/curves.hpp"
#include "braing3n/report/html_page.hpp"
#include "examples/braing3n/commands.hpp"
#include "examples/support/pipeline.hpp"
#include "examples/support/progress.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

/// The losses of a training folder.
Chart curves(const std::filesystem::path& folder, const std::string& title) {
  Curve training{"training", series_colour(5), {}}, validation{"validation", series_colour(1), {}};
  std::istringstream lines(content(folder / "log.jsonl"));
  for (std::string line; std::getline(lines, line);) {
    const Json json = parse_json(line, "log.jsonl");
    if (!json.contains("loss") || !json["loss"].is_number()) continue;
    (json["event"] == "step" ? training : validation)
        .points.push_back({json["step"].get<double>(), json["loss"].get<double>()});
  }
  return curve_chart(title, {training, validation});
}

const char* mae_config =
    R"({"model": {"encoder": {"image": [40, 48, 40], "patch": [8, 8, 8], "width": 192, "depth": 4, "heads": 4, "mlp": 768},
           "decoder_width": 96, "decoder_depth": 2, "decoder_heads": 4, "decoder_mlp": 384},
 "contract": {"shape": [40, 48, 40], "spacing": [4, 4, 4], "centring": "mass"},
 "training": {"batch": 8, "lr": 0.001, "adamw": {"beta2": 0.95, "weight_decay": 0.05}, "augment": {"flip": true, "shift": 1}}}
)";
const char* tokenizer_config =
    R"({"bottleneck": 32, "decoder": {"plan": "d1", "mid": 64, "widths": [64, 32, 16], "groups": 8},
 "training": {"batch": 2, "lr": 0.002, "ema": {"decay": 0.99, "warmup": true}, "augment": {"flip": true, "shift": 1}}}
)";

const char* dit_config = R"({"model": {"width": 192, "depth": 6, "heads": 6, "mlp": 768,
           "conditions": [{"name": "sex", "values": ["F", "M"]}, {"name": "disease"}, {"name": "age", "kind": "continuous", "minimum": 0, "maximum": 120}]},
 "drop": {"all": 0.1, "all_but_one": 0.1},
 "training": {"batch": 32, "lr": 0.001, "clip": 1.0, "ema": {"decay": 0.999, "warmup": true}}}
)";

/// What probes read from the features of everybody: one row per task.
std::vector<std::vector<std::string>> probe_rows(const std::filesystem::path& panel) {
  const CsvTable table(panel);
  std::vector<std::vector<std::string>> rows;
  for (std::size_t r = 0; r < table.rows(); ++r) {
    rows.push_back(
        {std::string(table.cell(r, table.column("task"))), std::string(table.cell(r, table.column("subjects")))});
    for (const char* column : {"auc", "balanced_accuracy", "pearson", "mae"}) {
      const std::optional<double> v = table.number(r, table.column(column));
      rows.back().push_back(v ? decimals(*v, 3) : std::string());
    }
  }
  return rows;
}

/// How much is made and learnt.
struct Size {
  bool smoke;
  const char *subjects, *mae_steps, *mae_batch, *mae_validate, *tokenizer_steps, *tokenizer_validate, *dit_steps,
      *dit_batch, *dit_validate, *sampling_steps;
};
constexpr Size smoke_size{true, "24", "12", "3", "6", "12", "6", "6", "3", "3", "3"};
constexpr Size short_size{false, "120", "250", "8", "50", "400", "50", "250", "32", "50", "15"};
constexpr Size long_size{false, "240", "600", "8", "50", "1000", "50", "600", "32", "100", "25"};

int quickstart(const Program& program, const std::filesystem::path& out, const Size& size) {
  const CommonOptions& common = program.common;
  const WriteOptions write{.overwrite = common.force};
  const FileLock lock = lock_folder(out);
  if (!write.overwrite && std::filesystem::exists(out / "cohort"))
    throw Error(ErrorKind::file, "quickstart.exists", "holds a quickstart already; --force replaces it", out.string());
  for (const char* old : {"cohort", "mae", "tokenizer", "reconstructions", "probes", "dit", "samples", "sweep",
                          "features.safetensors", "latents.safetensors", "output.txt", "cohort.png"})
    std::filesystem::remove_all(out / old);
  const auto at = [&](const char* name) { return (out / name).string(); };
  for (const auto& [name, text] : {std::pair{"mae.json", mae_config}, std::pair{"tokenizer.json", tokenizer_config},
                                   std::pair{"dit.json", dit_config}})
    write_text(out / name, text, {.overwrite = true});

  Pipeline run(program, out / "output.txt");
  run("Make people who do not exist", {"phantom_cohort", "--out", at("cohort"), "--subjects", size.subjects, "--shape",
                                       "40,48,40", "--montage", at("cohort.png")});
  if (!common.quiet) std::cerr << "the first of them: " << at("cohort.png") << '\n';
  const std::string table = at("cohort") + "/volumes.csv";
  const Manifest cohort = read_manifest(std::filesystem::path(table));
  const Split split = split_subjects(cohort, {{"train", 0.85}, {"validation", 0.05}, {"test", 0.1}}, common.seed);
  write_split(out / "split.csv", split, {.overwrite = true});
  const std::vector<Index> test = rows_of(cohort, split, "test");
  {
    CsvWriter unseen(out / "unseen.csv", {"volume_id", "subject_id", "path"}, {.overwrite = true});
    for (const Index i : test) {
      const ScanRow& s = cohort.scans[static_cast<std::size_t>(i)];
      unseen.row(s.volume_id, s.subject_id, std::filesystem::absolute(s.path).string());
    }
    unseen.finish();
  }
  run("Phase 1: learn what heads look like",
      {"mae_pretrain", "--data", table, "--split", at("split.csv"), "--out", at("mae"), "--config", at("mae.json"),
       "--steps", size.mae_steps, "--batch", size.mae_batch, "--validate-every", size.mae_validate});
  run("Phase 2: learn to give them back",
      {"tokenizer_train", "--encoder", at("mae"), "--data", table, "--split", at("split.csv"), "--out", at("tokenizer"),
       "--config", at("tokenizer.json"), "--steps", size.tokenizer_steps, "--validate-every", size.tokenizer_validate});
  run("Encode everyone", {"encode", "--model", at("tokenizer"), "--data", table, "--out", at("features.safetensors"),
                          "--latents", at("latents.safetensors")});
  run("Reconstruct people it has never seen", {"reconstruct", "--model", at("tokenizer"), "--data", at("unseen.csv"),
                                               "--out", at("reconstructions"), "--pictures"});
  run("Probes: what do the features know?",
      {"probe", "--features", at("features.safetensors"), "--labels", table, "--tasks", "sex,age", "--confounds",
       "none", "--permutations", "0", "--out", at("probes")});
  run("Learn what latents look like, under conditions",
      {"dit_train", "--latents", at("latents.safetensors"), "--labels", table, "--split", at("split.csv"),
       "--tokenizer", at("tokenizer"), "--out", at("dit"), "--config", at("dit.json"), "--steps", size.dit_steps,
       "--batch", size.dit_batch, "--validate-every", size.dit_validate});
  const std::vector<std::string> sampling = {"generate", "--model",           at("dit"), "--tokenizer", at("tokenizer"),
                                             "--steps",  size.sampling_steps, "--cfg",   "1.5"};
  const auto generate = [&](const std::string& title, std::vector<std::string> more) {
    std::vector<std::string> command = sampling;
    command.insert(command.end(), more.begin(), more.end());
    run(title, command);
  };
  generate("Make people who look like that",
           {"--condition", "sex=F,disease=HC,age=35", "--n", "4", "--out", at("samples")});
  generate("The same people at other ages",
           {"--condition", "sex=F,disease=HC", "--sweep", "age=30,55,80", "--n", "2", "--out", at("sweep")});

  HtmlPage page("braing3n quickstart", concat(cohort.size(), " synthetic heads of 40 x 48 x 40 voxels of 4 mm; ",
                                              test.size(), " of them kept unseen; seed ", common.seed,
                                              size.smoke ? "; a smoke run, far too short to learn anything" : ""));
  page.note("Every head on this page is synthetic. Research use only: not a medical device.");
  page.picture(content(out / "cohort.png"), "The first heads of the synthetic cohort");
  page.heading("Reconstructions of unseen people");
  const CsvTable scores(out / "reconstructions" / "scores.csv");
  std::vector<std::vector<std::string>> rows;
  std::vector<double> sums(8, 0.0);
  for (std::size_t r = 0; r < scores.rows(); ++r) {
    rows.push_back({std::string(scores.cell(r, 0))});
    for (std::size_t c = 1; c < 9; ++c) {
      const double v = std::stod(std::string(scores.cell(r, c)));
      sums[c - 1] += v / static_cast<double>(scores.rows());
      rows.back().push_back(decimals(v, c % 4 == 1 || c % 4 == 2 ? 2 : 3));
    }
  }
  rows.push_back({"mean"});
  for (std::size_t c = 0; c < 8; ++c) rows.back().push_back(decimals(sums[c], c % 4 < 2 ? 2 : 3));
  for (std::size_t r = 0; r < std::min<std::size_t>(3, scores.rows()); ++r) {
    const std::string id(scores.cell(r, 0));
    page.picture(content(out / "reconstructions" / (id + "_RECONSTRUCTION.png")),
                 id + ": input, reconstruction from 150 x 32 numbers, difference");
  }
  page.table({"person", "PSNR (max-min), dB", "PSNR (99.5%), dB", "SSIM", "MAE", "brain: PSNR (max-min), dB",
              "PSNR (99.5%), dB", "SSIM", "MAE"},
             rows);
  page.note("Scores are taken on the model's grid in z-scored intensities; docs/encode-my-scans.md defines them.");
  page.heading("What the features know");
  page.table({"task", "people", "AUC", "balanced accuracy", "r", "MAE"}, probe_rows(out / "probes" / "panel.csv"));
  page.note(
      "Linear probes under cross-validation that keeps people together; probes/report.html has intervals, curves and "
      "checks.");
  page.heading("People who do not exist");
  page.picture(content(out / "samples" / "montage.png"), "Four samples: healthy women of 35");
  page.picture(content(out / "sweep" / "montage.png"),
               "Two of them at 30, 55 and 80: the noise is held, the age is not; below, what changes");
  page.heading("Training");
  page.charts({curves(out / "mae", "Phase 1: error of removed patches"),
               curves(out / "tokenizer", "Phase 2: mean absolute error"),
               curves(out / "dit", "Transformer: error of the velocity")});
  page.picture(content(out / "mae" / "preview.png"),
               "Phase 1: a validation head, what the encoder saw of it, and the prediction in the removed patches");
  page.heading("What was run");
  double total = 0;
  for (const StepTime& t : run.times()) {
    page.subheading(t.title + ", " + clock_text(t.seconds));
    page.command(t.command);
    total += t.seconds;
  }
  page.paragraph("Together " + clock_text(total) + ".");
  write_text(out / "report.html", page.finish(concat("braing3n ", version(), " quickstart")), {.overwrite = true});
  std::cout << "unseen people: PSNR " << decimals(sums[0], 2) << " dB, SSIM " << decimals(sums[2], 3) << "; "
            << clock_text(total) << " in all\n"
            << "open " << (out / "report.html").string() << '\n';
  return exit_done;
}

}  // namespace

int quickstart_command(int argc, char** argv) {
  Program program("quickstart",
                  "Runs the whole pipeline at a small size, on synthetic heads, and shows it on one page.");
  std::filesystem::path out = "quickstart-out";
  bool smoke = false, longer = false;
  program.app.add_option("--out", out, "folder for everything that is made");
  CLI::Option* const shortest =
      program.app.add_flag("--smoke", smoke, "a run of seconds that only shows that everything works");
  program.app.add_flag("--long", longer, "twice the people and more steps: better pictures")->excludes(shortest);
  program.without({"--device", "--precision"});
  return program.run(argc, argv, [&] {
    return quickstart(program, out, smoke ? smoke_size : longer ? long_size : short_size);
  });
}
