// The whole pipeline at a small size, on synthetic subjects: a phantom cohort with two visits, a masked autoencoder, a tokenizer, features and
// latents, reconstructions of unseen subjects, probes, a diffusion transformer and its samples, forecasts, and a page with all results.
//
//   braing3n quickstart --out DIR           a few minutes on two cores
//   braing3n quickstart --out DIR --long    more subjects and more steps: better pictures
//   braing3n quickstart --out DIR --smoke   seconds: checks only that everything works
// Every step is one of the other commands and is printed: copy it to go on with your own scans.
#include <algorithm>

#include "braing3n/data/split.hpp"
#include "braing3n/format/csv_writer.hpp"
#include "braing3n/format/file_lock.hpp"
#include "braing3n/study/quickstart_page.hpp"
#include "examples/braing3n/commands.hpp"
#include "examples/braing3n/options/quickstart_options.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

/// Removes an earlier run and writes the configurations.
void prepare(const QuickstartArguments& a, const CommonOptions& common) {
  if (!common.force && std::filesystem::exists(a.out / "cohort"))
    throw Error(ErrorKind::file, "quickstart.exists", "holds a quickstart already; --force replaces it",
                a.out.string());
  for (const char* old :
       {"cohort", "mae", "tokenizer", "reconstructions", "probes", "dit", "samples", "sweep", "forecaster",
        "forecasting", "follow_ups", "features.safetensors", "latents.safetensors", "output.txt", "cohort.png"})
    std::filesystem::remove_all(a.out / old);
  const PipelinePreset preset = a.preset();
  write_json(a.out / "mae.json", preset.mae, {.overwrite = true});
  write_json(a.out / "tokenizer.json", preset.tokenizer, {.overwrite = true});
  write_json(a.out / "dit.json", preset.dit, {.overwrite = true});
}

/// Writes the sets: split.csv, and unseen.csv with the scans of unseen subjects. Returns the rows of these scans.
std::vector<Index> write_sets(const QuickstartArguments& a, const Manifest& cohort, std::uint64_t seed) {
  const Split split = split_subjects(cohort, {{"train", 0.8}, {"validation", 0.1}, {"test", 0.1}}, seed);
  write_split(a.out / "split.csv", split, {.overwrite = true});
  const std::vector<Index> test = rows_of(cohort, split, "test");
  CsvWriter unseen(a.out / "unseen.csv", {"volume_id", "subject_id", "path"}, {.overwrite = true});
  for (const Index i : test) {
    const ScanRow& s = cohort.scans[static_cast<std::size_t>(i)];
    unseen.row(s.volume_id, s.subject_id, std::filesystem::absolute(s.path).string());
  }
  unseen.finish();
  return test;
}

/// The first unseen scan, of a subject with AD if there is one: a change that can be seen.
Step forecast_step(const QuickstartArguments& a, const Manifest& cohort, const std::vector<Index>& unseen) {
  const auto ill =
      std::find_if(unseen.begin(), unseen.end(), [&](Index i) { return cohort.text(i, "disease") == "AD"; });
  const Index i = ill == unseen.end() ? unseen.front() : *ill;
  return a.forecast_step(cohort.scans[static_cast<std::size_t>(i)], decimals(cohort.number(i, "age").value(), 1),
                         cohort.text(i, "sex").value(), cohort.text(i, "disease").value());
}

int quickstart(const Program& program, const QuickstartArguments& a) {
  const CommonOptions& common = program.common;
  const FileLock lock = lock_folder(a.out);
  prepare(a, common);
  Pipeline run(program, a.out / "output.txt");
  run(a.cohort_step());
  if (!common.quiet) std::cerr << "the first of them: " << a.at("cohort.png") << '\n';
  const Manifest cohort = read_manifest(std::filesystem::path(a.table()));
  const std::vector<Index> unseen = write_sets(a, cohort, common.seed);
  for (const Step& step : a.steps()) run(step);
  run(forecast_step(a, cohort, unseen));

  QuietObserver observer;
  const study::QuickstartOptions options{a.out,     std::ssize(cohort.scans), std::ssize(unseen), common.seed, a.smoke,
                                         clock_text};
  const study::QuickstartResult result = study::run(options, run.times(), observer);
  write_text(a.out / "report.html", result.page, {.overwrite = true});
  std::cout << "unseen subjects: PSNR " << decimals(result.psnr, 2) << " dB, SSIM " << decimals(result.ssim, 3) << "; "
            << clock_text(run.times().seconds()) << " in all\n"
            << "open " << a.at("report.html") << '\n';
  return exit_done;
}

}  // namespace

int quickstart_command(int argc, char** argv) {
  Program program("quickstart",
                  "Runs the whole pipeline at a small size, on synthetic heads, and shows it on one page.");
  QuickstartArguments arguments;
  arguments.add_to(program.app);
  return program.run(argc, argv, [&] { return quickstart(program, arguments); });
}
