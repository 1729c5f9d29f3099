// Trains a tokenizer and evaluates it on unseen subjects, next to simpler codes of the same size and to the same decoder on an untrained
// encoder.
//
//   braing3n study tokenizer --data participants.tsv --pattern '{participant_id}_T1w.nii.gz' --held-out 6 --out DIR
//   braing3n study tokenizer --phantoms 250 --held-out 50 --out DIR
#include "braing3n/format/file_lock.hpp"
#include "examples/braing3n/commands.hpp"
#include "examples/braing3n/options/study_tokenizer_options.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

/// Removes an earlier run.
void prepare(const StudyTokenizerOptions& o, const CommonOptions& common) {
  if (!common.force && std::filesystem::exists(o.out / "mae"))
    throw Error(ErrorKind::file, "study.exists", "holds a study already; --force replaces it", o.out.string());
  for (const char* old :
       {"cohort", "mae", "tokenizer", "untrained", "evaluation", "readers", "round_trips", "probes", "output.txt"})
    std::filesystem::remove_all(o.out / old);
}

int study_tokenizer(const Program& program, const StudyTokenizerOptions& o) {
  o.guard(program.common);
  const FileLock lock = lock_folder(o.out);
  prepare(o, program.common);
  Pipeline run(program, o.out / "output.txt");
  if (o.phantoms > 0) run(o.cohort_step());
  ManifestOptions read;
  read.pattern = o.pattern;
  const Manifest cohort = read_manifest(std::filesystem::path(o.table()), read);
  const Split split = o.split.empty()
                          ? study::tokenizer_study_split(cohort, o.held_out, o.validation, program.common.seed)
                          : read_split(o.split);
  write_split(o.out / "split.csv", split, {.overwrite = true});
  for (const Step& step : o.steps()) run(step);
  if (o.phantoms > 0) {
    const std::vector<Step> steps = o.probe_steps(program.common.seed);
    for (std::size_t i = 0; i < steps.size(); ++i) {
      if (i == 3)
        study::write_reconstruction_table(o.at("readers") + "/volumes.csv", o.out / "round_trips" / "volumes.csv");
      run(steps[i]);
    }
  }
  QuietObserver observer;
  const study::TokenizerStudyOptions options{o.out, o.phantoms > 0 ? o.probe_subjects : 0};
  study::print(std::cout, study::run(options, run.times(), observer));
  print_times(std::cout, run.times(), "; pictures in " + o.at("evaluation/montage.png"));
  return exit_done;
}

}  // namespace

int study_tokenizer_command(int argc, char** argv) {
  Program program("study tokenizer",
                  "Trains a tokenizer and evaluates it on unseen subjects, next to simpler codes of the same size.");
  StudyTokenizerOptions o;
  o.add_to(program.app);
  program.alias("--readers", "--probe-subjects");
  return program.run(argc, argv, [&] { return study_tokenizer(program, o); });
}
