// Reading tables of text: comma, tab or semicolon separated (RFC 4180).
//
// The delimiter is found in the first line, or named there ("sep=;", as Excel writes it); quoted fields may hold delimiters, line breaks and doubled quotes; a
// byte-order mark and CR LF are accepted; a row with another number of fields than the header is an error with its line.
// Text that is not UTF-8 is refused (encoding.hpp). Blanks around names of columns do not count. Cells stay text until a column
// is read with a type; cell.hpp has what is missing and what is a number.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <concepts>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "braing3n/format/cell.hpp"
#include "braing3n/format/encoding.hpp"
#include "braing3n/format/foreign_content.hpp"
#include "braing3n/format/mapped_file.hpp"
#include "braing3n/format/text.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct CsvOptions {
  char delimiter = '\0';  // '\0': found in the first line
};

class CsvTable {
 public:
  /// Throws Error: file (unreadable), format (not a table; the message has the line).
  explicit CsvTable(const std::filesystem::path& path, const CsvOptions& options = {}) : path_(path.string()) {
    const MappedFile file(path);
    if (const std::string foreign = describe_foreign_content(file.bytes(), false); !foreign.empty())
      throw Error(ErrorKind::format, "csv.foreign", concat(foreign, "; expected a table of text"), path_);
    parse({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, options);
  }
  /// From text in memory; `label` takes the place of the path in messages.
  static CsvTable from_text(std::string_view text, std::string label, const CsvOptions& options = {}) {
    CsvTable table;
    table.path_ = std::move(label);
    table.parse(text, options);
    return table;
  }

  const std::string& path() const { return path_; }
  char delimiter() const { return delimiter_; }
  const std::vector<std::string>& header() const { return header_; }
  std::size_t columns() const { return header_.size(); }
  std::size_t rows() const { return lines_.size(); }
  /// The line of the file in which a row starts, counted from 1.
  std::size_t line(std::size_t row) const { return lines_.at(row); }

  std::optional<std::size_t> find_column(std::string_view name) const {
    const auto found = std::find(header_.begin(), header_.end(), name);
    if (found == header_.end() || name.empty()) return std::nullopt;
    return static_cast<std::size_t>(found - header_.begin());
  }
  bool has_column(std::string_view name) const { return find_column(name).has_value(); }
  /// Throws Error (format) naming the nearest column there is.
  std::size_t column(std::string_view name) const {
    if (const auto found = find_column(name)) return *found;
    throw Error(ErrorKind::format, "csv.column", concat("no column ", in_quotes(name), did_you_mean(name, header_)),
                path_);
  }

  /// Valid as long as the table.
  std::string_view cell(std::size_t row, std::size_t column) const {
    if (row >= rows() || column >= columns())
      throw Error(ErrorKind::argument, "csv.cell",
                  concat("cell (", row, ", ", column, ") of a table of ", rows(), " rows and ", columns(), " columns"),
                  path_);
    const std::size_t i = row * columns() + column;
    const std::size_t begin = i == 0 ? 0 : ends_[i - 1];
    return std::string_view(text_).substr(begin, ends_[i] - begin);
  }
  std::string_view cell(std::size_t row, std::string_view name) const { return cell(row, column(name)); }

  /// One cell as text, number or integer; nothing when it is missing. Throws Error (format) with line and column.
  std::optional<std::string> text(std::size_t row, std::size_t column) const {
    const std::string_view value = cell(row, column);
    return is_missing(value) ? std::nullopt : std::optional<std::string>(value);
  }
  std::optional<double> number(std::size_t row, std::size_t column) const {
    return parsed<double>(row, column, "a number");
  }
  std::optional<Index> integer(std::size_t row, std::size_t column) const {
    return parsed<Index>(row, column, "a whole number");
  }

  /// Whole columns.
  std::vector<std::optional<std::string>> texts(std::string_view name) const {
    return collect<std::string>(name, [this](std::size_t r, std::size_t c) { return text(r, c); });
  }
  std::vector<std::optional<double>> numbers(std::string_view name) const {
    return collect<double>(name, [this](std::size_t r, std::size_t c) { return number(r, c); });
  }
  std::vector<std::optional<Index>> integers(std::string_view name) const {
    return collect<Index>(name, [this](std::size_t r, std::size_t c) { return integer(r, c); });
  }

  /// The sentence about a cell that is no number: its line, its column, what stands there and, where it is known, why.
  std::string number_sentence(std::size_t row, std::size_t column, const char* expected = "a number") const {
    const std::string_view value = detail::trimmed(cell(row, column));
    const std::string reason = number_fault(value).reason;
    return concat("line ", line(row), ": column ", in_quotes(header_[column]), ": expected ", expected, ", got ",
                  in_quotes(value, 40), reason.empty() ? "" : concat(" (", reason, ")"));
  }
  Error number_error(std::size_t row, std::size_t column, const char* expected = "a number") const {
    return Error(ErrorKind::format, "csv.value", number_sentence(row, column, expected), path_);
  }

  /// Empties the cells for which f(column, cell) is true.
  template <class F>
  void clear_cells_if(F&& f) {
    std::string kept;
    std::size_t begin = 0;
    for (std::size_t i = 0; i < ends_.size(); ++i) {
      const std::string_view value = std::string_view(text_).substr(begin, ends_[i] - begin);
      begin = ends_[i];
      if (!f(i % columns(), value)) kept += value;
      ends_[i] = kept.size();
    }
    text_ = std::move(kept);
  }

  /// An error about one row, with its line.
  Error error_at(std::size_t row, const char* id, const std::string& sentence) const {
    return Error(ErrorKind::format, id, concat("line ", line(row), ": ", sentence), path_);
  }

 private:
  CsvTable() = default;

  template <class T, class F>
  std::vector<std::optional<T>> collect(std::string_view name, F&& f) const {
    const std::size_t c = column(name);
    std::vector<std::optional<T>> values;
    values.reserve(rows());
    for (std::size_t r = 0; r < rows(); ++r) values.push_back(f(r, c));
    return values;
  }

  template <class T>
  std::optional<T> parsed(std::size_t row, std::size_t column, const char* expected) const {
    const std::string_view value = detail::trimmed(cell(row, column));
    if (is_missing_number(value)) return std::nullopt;
    if constexpr (std::floating_point<T>) {
      if (const auto number = cell_number(value)) return *number;
      throw number_error(row, column, expected);
    }
    const std::string_view digits =
        value.starts_with('+') && value.size() > 1 && value[1] != '-' ? value.substr(1) : value;
    T result{};
    const auto [end, status] = std::from_chars(digits.data(), digits.data() + digits.size(), result);
    if (status != std::errc() || end != digits.data() + digits.size()) throw number_error(row, column, expected);
    return result;
  }

  Error bad(std::size_t line, const char* id, const std::string& sentence) const {
    return Error(ErrorKind::format, id, concat("line ", line, ": ", sentence), path_);
  }

  static char detect_delimiter(std::string_view text) {
    std::array<std::size_t, 3> counts{};
    constexpr std::string_view candidates = "\t,;";
    bool inside = false;
    for (const char c : text) {
      if (c == '"') inside = !inside;
      if (inside) continue;
      if (c == '\n' || c == '\r') break;
      if (const std::size_t k = candidates.find(c); k != std::string_view::npos) ++counts[k];
    }
    const auto most = std::max_element(counts.begin(), counts.end());
    return *most == 0 ? ',' : candidates[static_cast<std::size_t>(most - counts.begin())];
  }

  /// Skips a first line "sep=;" and returns what it names, or '\0' where there is no such line.
  static char take_separator_line(std::string_view text, std::size_t& at, std::size_t& line) {
    if (text.size() < 6 || !detail::equal_ignoring_case(text.substr(0, 4), "sep=") ||
        (text[5] != '\n' && text[5] != '\r'))
      return '\0';
    at = text.substr(5).starts_with("\r\n") ? 7 : 6;
    line = 2;
    return text[4];
  }

  void parse(std::string_view text, const CsvOptions& options) {
    if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
    if (text.starts_with("PK\x03\x04"))
      throw Error(ErrorKind::format, "csv.workbook",
                  "expected a table of text, got a workbook or archive (zip); save the sheet as CSV in UTF-8", path_);
    require_utf8(text, path_);
    std::size_t at = 0, line = 1;
    const char named = take_separator_line(text, at, line);
    delimiter_ = options.delimiter != '\0' ? options.delimiter : named != '\0' ? named : detect_delimiter(text);
    text_.reserve(text.size());
    while (at < text.size()) {
      const std::size_t first_line = line, first_cell = ends_.size();
      const std::size_t row_start = at;
      while (read_field(text, at, line)) {
      }
      const std::size_t fields = ends_.size() - first_cell;
      if (header_.empty()) {
        take_header(fields, first_line);
        continue;
      }
      const bool blank = fields == 1 && (at == row_start || text[row_start] == '\n' || text[row_start] == '\r');
      if (blank && columns() > 1) {
        ends_.pop_back();
        continue;
      }
      if (fields != columns())
        throw bad(first_line, "csv.ragged",
                  concat(fields, fields == 1 ? " field" : " fields", ", the header has ", columns(), ": ",
                         in_quotes(text.substr(row_start, std::min<std::size_t>(
                                                              60, text.find_first_of("\r\n", row_start) - row_start)),
                                   60)));
      lines_.push_back(first_line);
    }
    if (header_.empty())
      throw Error(ErrorKind::format, "csv.empty", "the table is empty, expected at least a header line", path_);
  }

  /// Appends one field and moves behind its delimiter or line end. Returns whether the row goes on.
  bool read_field(std::string_view text, std::size_t& at, std::size_t& line) {
    if (at < text.size() && text[at] == '"') {
      const std::size_t opened = line;
      for (++at;;) {
        if (at == text.size()) throw bad(opened, "csv.quote", "a quote is opened and never closed");
        const char c = text[at++];
        if (c == '"') {
          if (at == text.size() || text[at] != '"') break;
          ++at;
        }
        if (c == '\n') ++line;
        if (c == '\0') throw bad(line, "csv.binary", "a zero byte: this is not a text table");
        text_ += c;
      }
      if (at < text.size() && text[at] != delimiter_ && text[at] != '\n' && text[at] != '\r')
        throw bad(line, "csv.quote", "text after a closing quote");
    } else {
      for (; at < text.size() && text[at] != delimiter_ && text[at] != '\n' && text[at] != '\r'; ++at) {
        if (text[at] == '\0') throw bad(line, "csv.binary", "a zero byte: this is not a text table");
        // Tab-separated files do not quote by custom, so there a quote inside a field is a quote.
        if (text[at] == '"' && delimiter_ != '\t')
          throw bad(line, "csv.quote", "a quote inside a field that does not start with one");
        text_ += text[at];
      }
    }
    ends_.push_back(text_.size());
    if (at == text.size()) return false;
    const char c = text[at++];
    if (c == delimiter_) return true;
    if (c == '\r' && at < text.size() && text[at] == '\n') ++at;
    ++line;
    return false;
  }

  void take_header(std::size_t fields, std::size_t line) {
    std::size_t begin = 0;
    for (std::size_t i = 0; i < fields; ++i) {
      std::string name(detail::trimmed(std::string_view(text_).substr(begin, ends_[i] - begin)));
      begin = ends_[i];
      if (!name.empty() && std::find(header_.begin(), header_.end(), name) != header_.end())
        throw bad(line, "csv.duplicate", concat("column ", in_quotes(name), " appears twice"));
      header_.push_back(std::move(name));
    }
    if (fields == 1 && header_[0].empty()) throw bad(line, "csv.empty", "the header line is empty");
    text_.clear();
    ends_.clear();
  }

  std::string path_, text_;        // text_: all cells, unquoted, one after the other
  std::vector<std::size_t> ends_;  // where each cell ends in text_
  std::vector<std::size_t> lines_;
  std::vector<std::string> header_;
  char delimiter_ = ',';
};

}  // namespace braing3n::inline BRAING3N_ABI
