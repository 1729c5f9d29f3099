// Fold files: CSV with the columns "id" and "fold" (for every task) or "fold:TASK".
//
// With a salt the identifiers are replaced by the first 16 hexadecimal digits of SHA-256(salt, ':', id). Such a file may be
// published: whoever has the identifiers and the salt can use it, nobody else can read them. A fold is a number from 0; an
// empty cell means that the row has no part in the task.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "braing3n/format/sha256.hpp"
#include "braing3n/probe/panel.hpp"

namespace braing3n::inline BRAING3N_ABI {

inline std::string published_id(const std::string& id, const std::string& salt) {
  return salt.empty() ? id : sha256_hex(concat(salt, ':', id)).substr(0, 16);
}

inline void write_folds(const std::filesystem::path& path, const std::vector<std::string>& ids,
                        const std::vector<TaskResult>& tasks, const std::string& salt = {},
                        const WriteOptions& options = {}) {
  std::vector<std::string> header{"id"};
  std::vector<std::vector<std::string>> cells(ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) cells[i].push_back(published_id(ids[i], salt));
  for (const TaskResult& task : tasks) {
    if (task.predictions.fold.size() != task.sample.size() || task.sample.empty()) continue;
    header.push_back(concat("fold:", task.task.task.text));
    for (auto& row : cells) row.emplace_back();
    for (std::size_t k = 0; k < task.sample.size(); ++k)
      cells[static_cast<std::size_t>(task.sample[k])].back() = concat(task.predictions.fold[k]);
  }
  CsvWriter writer(path, header, options);
  for (const auto& row : cells) writer.cells(row);
  writer.finish();
}

/// Folds read from a file, by task.
class FoldFile {
 public:
  /// ids: of the rows of the panel. Throws Error (format): columns missing, an identifier twice, a cell that is no fold.
  FoldFile(const std::filesystem::path& path, const std::vector<std::string>& ids, const std::string& salt = {})
      : table_(path) {
    const std::size_t id = table_.column("id");
    std::unordered_map<std::string, std::size_t> row_of;
    for (std::size_t r = 0; r < table_.rows(); ++r)
      if (!row_of.emplace(std::string(table_.cell(r, id)), r).second)
        throw table_.error_at(r, "folds.duplicate",
                              concat("the identifier ", in_quotes(table_.cell(r, id), 60), " appears twice"));
    std::size_t found = 0;
    for (const std::string& i : ids) {
      const auto at = row_of.find(published_id(i, salt));
      rows_.push_back(at == row_of.end() ? std::nullopt : std::optional(at->second));
      found += at != row_of.end();
    }
    if (found == 0)
      throw Error(ErrorKind::format, "folds.ids",
                  "no identifier of the fold file is among the rows; were they exported with another salt?",
                  table_.path());
  }

  /// Fold per row of the panel (-1: none), or nothing when the file has no folds for the task.
  std::optional<std::vector<std::int32_t>> operator()(const Task& task) const {
    auto column = table_.find_column(concat("fold:", task.text));
    if (!column) column = table_.find_column("fold");
    if (!column) return std::nullopt;
    std::vector<std::int32_t> folds;
    for (const auto& row : rows_) {
      const auto value = row ? table_.integer(*row, *column) : std::nullopt;
      if (value && (*value < 0 || *value > 1000))
        throw table_.error_at(*row, "folds.value", concat("expected a fold from 0, got ", *value));
      folds.push_back(value ? static_cast<std::int32_t>(*value) : -1);
    }
    return folds;
  }

 private:
  CsvTable table_;
  std::vector<std::optional<std::size_t>> rows_;
};

}  // namespace braing3n::inline BRAING3N_ABI
