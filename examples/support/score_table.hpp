// Scores of reconstructions as a table for the terminal and as CSV.
#pragma once

#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "braing3n/eval/reconstruct.hpp"
#include "braing3n/format/csv_writer.hpp"
#include "braing3n/report/table.hpp"

namespace braing3n::examples {

struct NamedScore {
  std::string id;
  ReconstructionScore score;
};

/// One row per scan and, where there are several, their mean.
inline void print_scores(const std::vector<NamedScore>& scores) {
  Table table(
      {"scan", "PSNR (max-min)", "PSNR (99.5%)", "SSIM", "MAE", "in the brain: PSNR", "PSNR (99.5%)", "SSIM", "MAE"});
  const auto show = [&](const std::string& name, const ReconstructionScore& s) {
    std::vector<std::string> cells = {name};
    const std::vector<double> v = score_values(s);
    for (std::size_t i = 0; i < v.size(); ++i) cells.push_back(decimals(v[i], i % 4 < 2 ? 2 : 4));
    table.add(std::move(cells));
  };
  std::vector<ReconstructionScore> all;
  for (const NamedScore& s : scores) {
    show(s.id, s.score);
    all.push_back(s.score);
  }
  if (all.size() > 1) show("mean", mean_score(all));
  table.print(std::cout);
}

inline void write_scores(const std::filesystem::path& path, const std::vector<NamedScore>& scores,
                         const WriteOptions& write) {
  std::vector<std::string> header = {"volume_id"};
  header.insert(header.end(), score_columns().begin(), score_columns().end());
  CsvWriter out(path, header, write);
  for (const NamedScore& s : scores) {
    const std::vector<double> v = score_values(s.score);
    out.row(s.id, v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]);
  }
  out.finish();
}

}  // namespace braing3n::examples
