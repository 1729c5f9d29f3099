// Tables for the terminal: texts left, numbers right.
#pragma once

#include <algorithm>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "braing3n/base/text.hpp"

namespace braing3n::inline BRAING3N_ABI {

class Table {
 public:
  explicit Table(std::vector<std::string> header) : rows_{std::move(header)} {}

  template <class... Cells>
  void row(const Cells&... cells) {
    add({concat(cells)...});
  }
  void add(std::vector<std::string> cells) {
    cells.resize(rows_[0].size());
    rows_.push_back(std::move(cells));
  }
  bool empty() const { return rows_.size() == 1; }

  void print(std::ostream& out) const {
    const std::size_t columns = rows_[0].size();
    std::vector<std::size_t> widths(columns, 0);
    std::vector<bool> numeric(columns, rows_.size() > 1);
    for (std::size_t r = 0; r < rows_.size(); ++r)
      for (std::size_t c = 0; c < columns; ++c) {
        widths[c] = std::max(widths[c], width(rows_[r][c]));
        if (r > 0 && !is_number(rows_[r][c])) numeric[c] = false;
      }
    for (std::size_t r = 0; r < rows_.size(); ++r) {
      std::string line;
      for (std::size_t c = 0; c < columns; ++c) {
        const std::string padding(widths[c] - width(rows_[r][c]), ' ');
        line += c > 0 ? "  " : "";
        line += numeric[c] ? padding + rows_[r][c] : rows_[r][c] + padding;
      }
      out << line.substr(0, line.find_last_not_of(' ') + 1) << '\n';
      if (r == 0) {
        std::size_t total = 2 * (columns - 1);
        for (const std::size_t w : widths) total += w;
        out << std::string(total, '-') << '\n';
      }
    }
  }

 private:
  /// Characters, not bytes, of UTF-8 text.
  static std::size_t width(std::string_view text) {
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
  }
  static bool is_number(std::string_view text) {
    return text.empty() || text == "n/a" || text.find_first_not_of("0123456789.,+-e%") == std::string_view::npos;
  }

  std::vector<std::vector<std::string>> rows_;
};

}  // namespace braing3n::inline BRAING3N_ABI
