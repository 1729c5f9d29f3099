// The result of the study of reconstructions as tables, CSV, JSON and a picture.
#pragma once

#include <ostream>
#include <sstream>
#include <string>
#include <vector>

#include "braing3n/eval/reconstruct.hpp"
#include "braing3n/format/atomic_file.hpp"
#include "braing3n/format/csv.hpp"
#include "braing3n/report/planes.hpp"
#include "braing3n/report/png.hpp"
#include "braing3n/report/table.hpp"
#include "braing3n/study/reconstruction_result.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

inline void print_means(std::ostream& out, const ReconstructionResult& r) {
  if (!r.distribution.empty()) out << "Phantoms of the distribution " << r.distribution << '\n';
  out << r.scans.size() << " scans of the set " << in_quotes(r.set) << ", " << r.tokens << " x " << r.channels << " = "
      << r.values << " values each (trilinear: " << r.coarse_values << "); means over scans\n\n";
  Table table({"", "PSNR (max-min)", "PSNR (99.5%)", "SSIM", "MAE", "brain: PSNR (max-min)", "PSNR (99.5%)", "SSIM",
               "MAE", "border jump"});
  for (const auto& [name, s] : r.methods)
    table.row(name, decimals(s.whole.psnr_extremes, 2), decimals(s.whole.psnr_percentile, 2), decimals(s.whole.ssim, 4),
              decimals(s.whole.mae, 4), decimals(s.mask.psnr_extremes, 2), decimals(s.mask.psnr_percentile, 2),
              decimals(s.mask.ssim, 4), decimals(s.mask.mae, 4), decimals(s.border_jump, 3));
  table.row("the scans themselves", "", "", "", "", "", "", "", "", decimals(r.scan_border_jump, 3));
  table.print(out);
}

inline void print_differences(std::ostream& out, const ReconstructionResult& r) {
  out << "\nDifference to the better of the two trilinear methods: mean over scans +- two standard errors (scans "
         "better, "
         "of "
      << r.scans.size() << ")\n\n";
  Table table({"", "PSNR (max-min)", "SSIM", "brain: PSNR (max-min)", "SSIM"});
  const auto text = [](const PairedDifference& d, int digits) {
    return concat(d.mean >= 0 ? "+" : "", decimals(d.mean, digits), " +- ", decimals(d.two_standard_errors, digits),
                  " (", d.better, ")");
  };
  for (const auto& [name, d] : r.difference_to_trilinear)
    table.row(name, text(d.psnr, 2), text(d.ssim, 4), text(d.mask_psnr, 2), text(d.mask_ssim, 4));
  table.print(out);
}

inline void print_scans(std::ostream& out, const ReconstructionResult& r) {
  out << "\nEach scan: PSNR (max-min) / SSIM\n\n";
  std::vector<std::string> header = {""};
  for (const MethodScores& m : r.scores) header.push_back(m.name);
  Table table(header);
  for (std::size_t i = 0; i < r.scans.size(); ++i) {
    std::vector<std::string> cells = {r.scans[i]};
    for (const MethodScores& m : r.scores)
      cells.push_back(concat(decimals(m.scores[i].whole.psnr_extremes, 2), " / ", decimals(m.scores[i].whole.ssim, 4)));
    table.add(std::move(cells));
  }
  table.print(out);
}

inline void print_regions(std::ostream& out, const Named<RegionVolumeErrors>& regions) {
  out << "\nRegion volumes against the truth, by regressions fitted on the other subjects (on scans, on "
         "reconstructions): mean error, mean absolute error\n\n";
  Table table({"", "scans", "", "tokenizer", ""});
  const auto percent = [](double share) { return concat(decimals(100 * share, 1), " %"); };
  for (const auto& [name, e] : regions)
    table.row(name, percent(e.scans.mean), percent(e.scans.mean_size), percent(e.tokenizer.mean),
              percent(e.tokenizer.mean_size));
  table.print(out);
}

/// All tables, as a terminal shows them.
inline std::string tables(const ReconstructionResult& r) {
  std::ostringstream out;
  print_means(out, r);
  print_differences(out, r);
  print_scans(out, r);
  if (r.regions) print_regions(out, *r.regions);
  return out.str();
}

/// A row per method and scan. Throws Error (environment, file).
inline void write_scores(const std::filesystem::path& path, const ReconstructionResult& r, const WriteOptions& write) {
  std::vector<std::string> header{"volume_id", "method"};
  header.insert(header.end(), score_columns().begin(), score_columns().end());
  header.emplace_back("border_jump");
  CsvWriter csv(path, header, write);
  for (const MethodScores& m : r.scores)
    for (std::size_t i = 0; i < r.scans.size(); ++i) {
      const auto v = score_values(m.scores[i]);
      csv.row(r.scans[i], m.name, v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], m.border_jump[i]);
    }
  csv.finish();
}

/// scores.csv, summary.json, tables.txt and, with pictures, montage.png. The folder is made where it is missing. Throws Error (environment, file).
inline void write_results(const std::filesystem::path& folder, const ReconstructionResult& r,
                          const WriteOptions& write) {
  make_folder(folder);
  write_scores(folder / "scores.csv", r, write);
  write_text(folder / "summary.json", result_json(r).dump(2) + "\n", write);
  write_text(folder / "tables.txt", tables(r), write);
  if (!r.pictures.empty()) write_png(folder / "montage.png", montage(r.pictures, 4, r.captions), write);
}

}  // namespace braing3n::inline BRAING3N_ABI::study
