// The options of `probe`: folds, fits and saved probes.
#include "examples/braing3n/options/probe_settings.hpp"

namespace braing3n::examples {

namespace {

void add_folds_and_fits(CLI::App& app, ProbeSettings& s) {
  PanelOptions& p = s.panel;
  app.add_option("--folds", p.folds.folds, "number of folds; all scans of a subject are in one fold")
      ->check(CLI::Range(2, 1000))
      ->group("Folds");
  app.add_flag("--legacy-folds", s.legacy_folds, "the folds scikit-learn made before the shuffle correction of 2025")
      ->group("Folds");
  app.add_flag("--group-folds", s.group_folds, "regressions: do not balance the folds by the target")->group("Folds");
  app.add_option("--export-folds", s.folds_to, "write the folds to this file")->group("Folds");
  app.add_option("--import-folds", s.folds_from, "take the folds from this file")->group("Folds");
  app.add_option("--salt", s.salt, "a secret: fold files hold hashes instead of identifiers and may be published")
      ->group("Folds");
  app.add_option("--C", p.C, "classifications: inverse of the penalty")->check(more_than_zero())->group("Fits");
  app.add_option("--alpha", p.alpha, "regressions: penalty")->check(more_than_zero())->group("Fits");
  app.add_flag("--select", p.select, "choose C and alpha by folds inside the training rows")->group("Fits");
  app.add_option("--inner-folds", p.inner_folds, "how many of them")->check(CLI::Range(2, 100))->group("Fits");
  app.add_flag("--balanced", s.balanced, "give every class the same weight")->group("Fits");
  app.add_flag("--no-standardize", s.raw, "take features as they are, not scaled by the training rows")->group("Fits");
  app.add_option("--tolerance", p.tolerance, "stop at this gradient, relative to that at zero weights")
      ->check(CLI::Range(1e-12, 1e-1))
      ->group("Fits");
}

void add_saved_probes(CLI::App& app, ProbeSettings& s) {
  app.add_option("--save", s.save, "fit on all rows and write the probes to this file (.safetensors)")
      ->group("Saved probes");
  app.add_option("--apply,--model", s.apply,
                 "apply the probes of this file to new features; --labels, if given, adds errors (gaps)")
      ->group("Saved probes");
  app.add_flag("--uncalibrated", s.uncalibrated, "with --apply: probabilities as fitted, not calibrated")
      ->group("Saved probes");
}

}  // namespace

void add_fit_options(CLI::App& app, ProbeSettings& s) {
  add_folds_and_fits(app, s);
  add_saved_probes(app, s);
}

}  // namespace braing3n::examples
