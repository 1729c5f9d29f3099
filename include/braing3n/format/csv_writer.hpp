// Writing tables of text, comma or tab separated (RFC 4180): streamed into a temporary name; numbers in the shortest form that
// reads back to the same value.
#pragma once

#include <cmath>
#include <filesystem>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "braing3n/base/text.hpp"
#include "braing3n/format/atomic_file.hpp"
#include "braing3n/format/output_guard.hpp"

namespace braing3n::inline BRAING3N_ABI {

class CsvWriter {
 public:
  /// Tab-separated when the name ends in .tsv (in any case), else comma-separated.
  CsvWriter(const std::filesystem::path& path, std::vector<std::string> header, const WriteOptions& options = {})
      : file_(path, options), delimiter_(file_ending(path) == ".tsv" ? '\t' : ','), columns_(header.size()) {
    if (header.empty()) fail(ErrorKind::argument, "csv.empty", path.string(), ": a table needs at least one column");
    cells(header);
  }

  /// One row: texts, numbers, optionals of them (missing: an empty cell).
  template <class... Values>
  void row(const Values&... values) {
    std::string line;
    std::size_t count = 0;
    ((append(line, count++, values)), ...);
    end_row(line, count);
  }
  /// One row from a list of texts or numbers.
  template <class List>
  void cells(const List& values) {
    std::string line;
    std::size_t count = 0;
    for (const auto& value : values) append(line, count++, value);
    end_row(line, count);
  }

  void finish() { file_.commit(); }

 private:
  template <class T>
  void append(std::string& line, std::size_t position, const T& value) const {
    if (position > 0) line += delimiter_;
    append_value(line, value);
  }
  template <class T>
  void append_value(std::string& line, const T& value) const {
    if constexpr (std::is_same_v<T, bool>) {
      line += value ? "1" : "0";
    } else if constexpr (std::is_arithmetic_v<T>) {
      if constexpr (std::is_floating_point_v<T>)
        if (!std::isfinite(value)) {
          line += std::isnan(value) ? "n/a" : value > 0 ? "inf" : "-inf";
          return;
        }
      line += number_text(value);
    } else if constexpr (requires { value.has_value(); }) {
      if (value.has_value()) append_value(line, *value);
    } else {
      append_text(line, std::string_view(value));
    }
  }
  void append_text(std::string& line, std::string_view text) const {
    const bool needs_quotes =
        text.find_first_of("\"\r\n,;\t") != std::string_view::npos || (text.empty() && columns_ == 1);
    if (!needs_quotes) {
      line += text;
      return;
    }
    line += '"';
    for (const char c : text) {
      if (c == '"') line += '"';
      line += c;
    }
    line += '"';
  }
  void end_row(std::string& line, std::size_t count) {
    if (count != columns_)
      fail(ErrorKind::argument, "csv.ragged", file_.path().string(), ": a row of ", count, " cells in a table of ",
           columns_, " columns");
    file_.write(line += '\n');
  }

  AtomicFile file_;
  char delimiter_;
  std::size_t columns_;
};

}  // namespace braing3n::inline BRAING3N_ABI
