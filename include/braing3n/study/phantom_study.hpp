// Generation from end to end on phantoms: the figures of its evaluations beside their targets.
//
// The steps (a cohort, the three phases, samples, the evaluations) are run by the caller, who decides how; their reports lie in one folder:
//   controllability/controllability.json, fidelity/fidelity.json, memorisation/memorisation.json; cohort/cohort.json
#pragma once

#include <filesystem>
#include <ostream>
#include <string>
#include <vector>

#include "braing3n/data/split.hpp"
#include "braing3n/phantom/cohort_record.hpp"
#include "braing3n/report/table.hpp"
#include "braing3n/study/phantom_figures.hpp"
#include "braing3n/study/steps.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

struct PhantomStudyOptions {
  std::filesystem::path folder;  // of the reports
  bool smoke = false;            // a run too short to learn anything: small arms count
  std::uint64_t seed = 2025;
  std::string cfg = "1.4";                                  // guidance of the samples that are evaluated
  std::string cfg_of = "age=2.5,disease=3.5,sex=2,idh1=4";  // conditions with a scale of their own
  Index n = 64, sampling_steps = 25;                        // samples per class, steps from noise to data
  double most_minutes = 40;                                 // target of all steps together
};

struct PhantomStudyResult {
  std::string kind = "braing3n phantom study", version = BRAING3N_VERSION_STRING;
  std::string distribution;  // of the phantoms; empty where their cohort is not in the folder
  bool smoke = false;
  std::uint64_t seed = 0;
  std::string cfg, cfg_of;
  Index n = 0, sampling_steps = 0;
  std::vector<Figure> figures;
  Named<StepTime> steps;

  static void visit(auto& self, auto&& v) {
    v("kind", self.kind);
    v("version", self.version);
    if (!self.distribution.empty()) v("phantom_distribution", self.distribution);
    v("smoke", self.smoke);
    v("seed", self.seed);
    v("cfg", self.cfg);
    v("cfg_of", self.cfg_of);
    v("n", self.n);
    v("sampling_steps", self.sampling_steps);
    v("figures", self.figures);
    v("steps", self.steps);
  }
};

/// The sets of the study: 14 % of the subjects are test and 4 % validation subjects (30 % and 10 % in a smoke run), stratified by
/// disease. Throws Error (argument).
inline Split phantom_study_split(const Manifest& cohort, bool smoke, std::uint64_t seed) {
  const double test = smoke ? 0.3 : 0.14, validation = smoke ? 0.1 : 0.04;
  return split_subjects(cohort, {{"train", 1 - test - validation}, {"validation", validation}, {"test", test}}, seed,
                        "disease");
}

/// The times of an earlier study without its evaluation steps (`generate`, `evaluate`), which are run again.
inline StepTimes training_times(const StepTimes& earlier) {
  StepTimes kept;
  for (const auto& [title, step] : earlier.all())
    if (!step.command.starts_with("braing3n generate ") && !step.command.starts_with("braing3n evaluate "))
      kept.add(title, step);
  return kept;
}

/// Reads the reports in the folder and compares them with the targets. Throws Error (file, format) for a report that is not there.
inline PhantomStudyResult run(const PhantomStudyOptions& options, const StepTimes& steps, Observer& observer) {
  PhantomStudyResult r;
  r.distribution = phantom::distribution_name_beside(options.folder / "cohort" / "volumes.csv");
  r.smoke = options.smoke;
  r.seed = options.seed;
  r.cfg = options.cfg;
  r.cfg_of = options.cfg_of;
  r.n = options.n;
  r.sampling_steps = options.sampling_steps;
  r.steps = steps.all();
  const auto report = [&](const std::string& name) {
    observer.check_interrupt();
    return read_json(options.folder / name / (name + ".json"));
  };
  const Json control = report("controllability"), fidelity = report("fidelity"), audit = report("memorisation");
  const double most = options.most_minutes;
  phantom_figures::add_figure(
      r.figures,
      {"minutes, all steps", concat("<= ", most), steps.seconds() / 60, not_measured, not_measured, false, 1},
      [most](double v) { return v <= most; });
  phantom_figures::ControlFigures(control, options.cfg).add_to(r.figures);
  phantom_figures::add_fidelity_figures(r.figures, fidelity, options.smoke ? 2 : 10);
  phantom_figures::add_memorisation_figures(r.figures, audit);
  return r;
}

/// The figures as a table, then how many reach their target. published: the heading of the last figures.
inline void print_figures(std::ostream& out, const std::vector<Figure>& figures,
                          const std::string& published = "published probe", bool ceiling = true) {
  std::vector<std::string> header{"figure", "target", "here"};
  if (ceiling) header.push_back("ceiling");
  header.insert(header.end(), {published, ""});
  Table table(header);
  Index passed = 0, judged = 0;
  for (const Figure& f : figures) {
    const auto text = [&](double v) { return std::isfinite(v) ? decimals(v, f.places) : std::string(); };
    std::vector<std::string> cells{f.figure, f.target, std::isfinite(f.value) ? text(f.value) : "not measured"};
    if (ceiling) cells.push_back(text(f.ceiling));
    cells.insert(cells.end(), {text(f.published_probe), !f.judged() ? "" : f.pass ? "pass" : "MISS"});
    table.add(cells);
    passed += f.pass;
    judged += f.judged();
  }
  table.print(out);
  out << passed << " of " << judged << " figures reach their target\n";
}

/// The result as text.
inline void print(std::ostream& out, const PhantomStudyResult& r) {
  if (!r.distribution.empty()) out << "Phantoms of the distribution " << r.distribution << "\n";
  out << "Guidance " << r.cfg << (r.cfg_of.empty() ? "" : " (" + r.cfg_of + ")") << ", " << r.n
      << " samples per class, " << r.sampling_steps
      << " steps of Heun; probes fitted on round trips of training subjects, ceiling: round trips of\n"
      << "unseen subjects; the published probe is fitted on scans"
      << (r.smoke ? ". A smoke run, too short to learn anything" : "") << "\n\n";
  print_figures(out, r.figures);
}

}  // namespace braing3n::inline BRAING3N_ABI::study
