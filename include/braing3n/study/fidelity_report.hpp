// The result of the study of fidelity as tables, JSON, features and a picture.
#pragma once

#include <cmath>
#include <ostream>
#include <sstream>
#include <string>

#include "braing3n/eval/tissue_volumes.hpp"
#include "braing3n/format/atomic_file.hpp"
#include "braing3n/report/planes.hpp"
#include "braing3n/report/png.hpp"
#include "braing3n/report/table.hpp"
#include "braing3n/study/fidelity_result.hpp"
#include "braing3n/table/feature_file.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

inline void print_run(std::ostream& out, const FidelityResult& r) {
  if (!r.distribution.empty()) out << "Phantoms of the distribution " << r.distribution << '\n';
  out << "Guidance " << decimals(r.guidance, 2) << (r.own_scales.empty() ? "" : " (" + r.own_scales + ")") << ", "
      << r.steps << " steps (" << enum_name(r.sampler) << "), " << r.samples << " samples of each arm, seed " << r.seed;
  if (r.empty > 0) out << "; in " << r.empty << " samples there is no brain";
  for (const std::string& name : r.arms_left_out) out << "\nleft out, no training scan has it: " << name;
}

inline void print_diversity(std::ostream& out, const FidelityResult& r) {
  out << "\n\nMean distance of latents (" << r.latent_size << " values) within an arm, between different subjects\n\n";
  Table table({"arm", "samples", "unseen scans", "", "of unseen", "training scans", "", "of training"});
  for (const ArmDiversity& a : r.arms)
    table.row(a.arm, decimals(a.distance, 2), a.unseen_scans, decimals(a.unseen_distance, 2), decimals(a.ratio, 2),
              a.training_scans, decimals(a.training_distance, 2), decimals(a.ratio_training, 2));
  table.print(out);
}

inline std::string spread_text(const Spread& s) {
  return s.n == 0 ? "-" : concat(decimals(s.mean, 1), " +- ", decimals(s.sd, 1));
}

inline void print_regions(std::ostream& out, const FidelityResult& r) {
  out << "\nRegion volumes of T1-weighted arms in ml, mean +- sd: the truth of all scans with these labels, "
         "round trips of unseen\nscans, samples; estimated from tissue maps by a regression fitted on "
      << r.calibration << " round trips of training scans\n\n";
  Table table({"arm", "region", "scans", "truth", "unseen", "round trips", "mean error", "sd error", "samples",
               "mean error", "sd error"});
  const auto percent = [](double v) {
    return std::isfinite(v) ? concat(v >= 0 ? "+" : "", decimals(v, 1), " %") : std::string("-");
  };
  for (const RegionFidelity& f : r.regions) {
    table.row(f.region == tissue_names[0] ? f.arm : "", f.region, f.truth.n, spread_text(f.truth), f.round_trips.n,
              spread_text(f.round_trips), percent(100 * f.round_trip_mean_error),
              percent(100 * f.round_trip_sd_ratio - 100), spread_text(f.samples), percent(100 * f.mean_error),
              percent(100 * f.sd_ratio - 100));
  }
  table.print(out);
}

inline void print_frechet(std::ostream& out, const FrechetDistances& d) {
  out << "\nFrechet distances of features (mean and sd of the encoder's tokens, " << d.features << " values), "
      << d.n[0] << " against " << d.n[1] << " of other subjects\nrecipe " << d.recipe << "\n\n";
  if (d.n[0] <= d.features)
    out << "fewer scans than features: every distance here is biased upwards; compare them with one another only\n\n";
  Table table({"", "distance", "of two halves"});
  const auto row = [&](const std::string& name, double distance, double halves) {
    table.row(name, decimals(distance, 3), decimals(ratio_of(distance, halves), 2));
  };
  row("samples, scans", d.gen_real, d.real_halves);
  row("samples, round trips", d.gen_recons, d.recons_halves);
  row("round trips, scans", d.recons_real, d.real_halves);
  table.row("two halves of the scans", decimals(d.real_halves, 3), "1");
  table.row("two halves of the round trips", decimals(d.recons_halves, 3), "1");
  if (d.gen_reference) row(concat("samples, reference (", d.reference_rows, " rows)"), *d.gen_reference, d.real_halves);
  table.print(out);
}

/// All tables, as a terminal shows them.
inline std::string tables(const FidelityResult& r) {
  std::ostringstream out;
  print_run(out, r);
  print_diversity(out, r);
  if (r.has_truth) print_regions(out, r);
  if (r.frechet) print_frechet(out, *r.frechet);
  return out.str();
}

/// fidelity.json, tables.txt, features.safetensors with Frechet distances, montage.png with pictures. The folder is made where it is
/// missing. Throws Error (environment, file).
inline void write_results(const std::filesystem::path& folder, const FidelityResult& r, const WriteOptions& write) {
  make_folder(folder);
  if (r.frechet) write_feature_file(folder / "features.safetensors", r.features, write);
  write_text(folder / "fidelity.json", result_json(r).dump(2) + "\n", write);
  write_text(folder / "tables.txt", tables(r), write);
  if (!r.pictures.empty()) write_png(folder / "montage.png", montage(r.pictures, 2, r.captions), write);
}

}  // namespace braing3n::inline BRAING3N_ABI::study
