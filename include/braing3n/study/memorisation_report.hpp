// The result of the study of memorisation as tables, JSON and a picture.
#pragma once

#include <algorithm>
#include <ostream>
#include <sstream>
#include <string>

#include "braing3n/format/atomic_file.hpp"
#include "braing3n/report/planes.hpp"
#include "braing3n/report/png.hpp"
#include "braing3n/report/table.hpp"
#include "braing3n/study/memorisation_result.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

inline void print_distances(std::ostream& out, const MemorisationResult& r) {
  if (!r.distribution.empty()) out << "Phantoms of the distribution " << r.distribution << '\n';
  out << "Distance to the nearest training scan, of " << r.training_scans << " with " << r.values << " values each ("
      << r.latents << ")\n\n";
  Table table({"", "count", "mean", "median", "5th percentile", "least", "largest"});
  const auto row = [&](const char* name, const DistanceSummary& s) {
    table.row(name, s.count, decimals(s.mean, 2), decimals(s.median, 2), decimals(s.fifth, 2), decimals(s.minimum, 2),
              decimals(s.maximum, 2));
  };
  row("training scan to any other", r.real);
  row("training scan to another subject's", r.real_other_subjects);
  row("sample", r.generated);
  if (r.planted > 0) row("planted copy", r.planted_distances);
  table.print(out);
}

inline void print_copies(std::ostream& out, const MemorisationResult& r) {
  const auto share = [&](Index count) {
    return concat(count, " of ", r.samples, " samples (",
                  decimals(100.0 * static_cast<double>(count) / static_cast<double>(r.samples), 1), " %)");
  };
  out << "\nCopies, nearer than the 5th percentile of any other scan, " << decimals(r.real.fifth, 2) << ": "
      << share(r.copies) << "\nNearer than the 5th percentile of another subject's scan, "
      << decimals(r.real_other_subjects.fifth, 2) << ": " << share(r.near_subjects)
      << "; expected of scans of unseen subjects: about 5 %\nMean distance of samples over that of training "
         "scans: "
      << decimals(r.ratio, 3) << '\n';
  if (r.planted > 0) out << "Planted copies found: " << r.planted_found << " of " << r.planted << '\n';
}

inline void print_nearest(std::ostream& out, const MemorisationResult& r, std::size_t most = 12) {
  Table table({"nearest pairs", "distance", "training scan", "", "conditions of the sample"});
  for (std::size_t k = 0; k < std::min(most, r.nearest.size()); ++k) {
    const NearestScan& p = r.nearest[k];
    table.row(p.sample, decimals(p.distance, 2), p.nearest,
              p.copy           ? "COPY"
              : p.near_subject ? "near"
                               : "",
              p.conditions);
  }
  table.print(out);
}

/// All tables, as a terminal shows them.
inline std::string tables(const MemorisationResult& r) {
  std::ostringstream out;
  print_distances(out, r);
  print_copies(out, r);
  out << '\n';
  print_nearest(out, r);
  return out.str();
}

/// memorisation.json, tables.txt and, with pictures, montage.png. The folder is made where it is missing. Throws Error (environment, file).
inline void write_results(const std::filesystem::path& folder, const MemorisationResult& r, const WriteOptions& write) {
  make_folder(folder);
  write_text(folder / "memorisation.json", result_json(r).dump(2) + "\n", write);
  write_text(folder / "tables.txt", tables(r), write);
  if (!r.pictures.empty()) write_png(folder / "montage.png", montage(r.pictures, 2, r.captions), write);
}

}  // namespace braing3n::inline BRAING3N_ABI::study
