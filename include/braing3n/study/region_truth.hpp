// The true volumes of the parts of phantoms: truth.csv of a phantom cohort.
#pragma once

#include <array>
#include <map>
#include <string>

#include "braing3n/eval/tissue_volumes.hpp"
#include "braing3n/format/csv.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

/// Millilitres of brain, grey matter, white matter and ventricles, by volume_id.
class RegionTruth {
 public:
  /// Throws Error (file, format): a column that is missing, a cell that is not a number.
  explicit RegionTruth(const std::filesystem::path& path) : path_(path.string()) {
    const CsvTable table(path);
    constexpr std::array<const char*, 4> names = {"brain_ml", "grey_matter_ml", "white_matter_ml", "ventricles_ml"};
    const std::size_t id = table.column("volume_id");
    for (std::size_t r = 0; r < table.rows(); ++r) {
      TissueVolumes v{};
      for (std::size_t c = 0; c < names.size(); ++c) {
        const auto number = table.number(r, table.column(names[c]));
        if (!number)
          throw Error(ErrorKind::format, "truth.missing", concat("line ", table.line(r), ": ", names[c], " is missing"),
                      path_);
        v[c] = *number;
      }
      truth_.emplace(std::string(table.cell(r, id)), v);
    }
  }
  /// Throws Error (format) for a volume that is not there.
  const TissueVolumes& operator()(const std::string& id) const {
    const auto found = truth_.find(id);
    if (found == truth_.end())
      throw Error(ErrorKind::format, "truth.missing", concat("no row for ", in_quotes(id)), path_);
    return found->second;
  }

 private:
  std::string path_;
  std::map<std::string, TissueVolumes> truth_;
};

}  // namespace braing3n::inline BRAING3N_ABI::study
