// What to probe for: NAME[:A|B...][=class|reg][@column=value ...], separated by commas.
//
//   sex                      every row with a value in column "sex"
//   disease:HC|AD            rows whose value is HC or AD, classified
//   idh1@modality=T1c        rows whose column "modality" says T1c
//   cdr=class                numbers taken as classes
// Text or two distinct values make a classification, anything else a regression, unless the task says which. A column of numbers in
// which some cells are none, numbers that stand for missing ones and text of nearly as many values as rows are refused (label_cells.hpp).
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "braing3n/base/text.hpp"
#include "braing3n/format/csv.hpp"
#include "braing3n/table/label_cells.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct Task {
  enum class Kind { automatic, classification, regression };
  std::string text;  // as written: the name in tables
  std::string column;
  std::vector<std::string> values;  // empty: all
  Kind kind = Kind::automatic;
  std::vector<std::pair<std::string, std::string>> where;  // column, value
};

/// Throws Error (argument) with the part that cannot be read.
inline Task parse_task(std::string_view text) {
  Task task;
  task.text = std::string(detail::trimmed(text));
  const auto bad = [&](const std::string& why) {
    return Error(
        ErrorKind::argument, "task.syntax",
        concat("task ", in_quotes(task.text), ": ", why, "; expected NAME[:A|B...][=class|reg][@column=value]"));
  };
  std::string_view rest = task.text;
  const auto until = [&](std::string_view stops) {
    const std::size_t end = std::min(rest.find_first_of(stops), rest.size());
    const std::string part(detail::trimmed(rest.substr(0, end)));
    rest.remove_prefix(end);
    return part;
  };
  task.column = until(":=@");
  if (task.column.empty()) throw bad("the name is missing");
  if (rest.starts_with(':')) {
    do {
      rest.remove_prefix(1);
      task.values.push_back(until("|=@"));
      if (task.values.back().empty()) throw bad("an empty value in the list after ':'");
    } while (rest.starts_with('|'));
    if (task.values.size() < 2) throw bad("one value alone cannot be told from anything");
    if (std::set<std::string>(task.values.begin(), task.values.end()).size() != task.values.size())
      throw bad("a value appears twice");
  }
  if (rest.starts_with('=')) {
    rest.remove_prefix(1);
    const std::string kind = until("@");
    if (kind == "class") task.kind = Task::Kind::classification;
    else if (kind == "reg") task.kind = Task::Kind::regression;
    else throw bad(concat("the kind ", in_quotes(kind), " is neither class nor reg"));
  }
  if (!task.values.empty() && task.kind == Task::Kind::regression) throw bad("a list of values is a classification");
  while (rest.starts_with('@')) {
    rest.remove_prefix(1);
    const std::string column = until("=@");
    if (column.empty() || !rest.starts_with('=')) throw bad("a condition is @column=value");
    rest.remove_prefix(1);
    task.where.emplace_back(column, until("@"));
    if (task.where.back().second.empty()) throw bad("a condition without a value");
  }
  if (!rest.empty()) throw bad(concat("what does ", in_quotes(rest), " mean?"));
  return task;
}

/// Commas and line ends separate tasks; '#' starts a comment that ends with the line.
inline std::vector<Task> parse_tasks(std::string_view text) {
  std::vector<Task> tasks;
  while (!text.empty()) {
    const std::size_t line_end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, line_end);
    text.remove_prefix(std::min(line_end + 1, text.size()));
    line = line.substr(0, line.find('#'));
    while (!detail::trimmed(line).empty()) {
      const std::size_t end = std::min(line.find(','), line.size());
      if (!detail::trimmed(line.substr(0, end)).empty()) tasks.push_back(parse_task(line.substr(0, end)));
      line.remove_prefix(std::min(end + 1, line.size()));
    }
  }
  for (std::size_t i = 0; i < tasks.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (tasks[i].text == tasks[j].text)
        fail(ErrorKind::argument, "task.duplicate", "tasks: ", in_quotes(tasks[i].text), " appears twice");
  return tasks;
}

/// A task with the labels of its rows.
struct ResolvedTask {
  Task task;
  bool classification = false;
  std::vector<std::string> classes;  // in the order of the codes
  std::vector<std::int32_t> label;   // per row: class code; -1: the row has no part
  std::vector<double> target;        // per row (regression); NaN: the row has no part
  Index rows = 0;                    // with a label
  bool has(std::size_t row) const { return classification ? label[row] >= 0 : std::isfinite(target[row]); }
};

/// A cell as a finite number, if it is one.
inline std::optional<double> as_number(std::string_view cell) { return cell_number(cell); }

/// Values as people write them: sex as F / M, numbers in one form ("1.0" and "1" are the same class).
inline std::string canonical_value(std::string_view column, std::string_view cell) {
  const std::string text(detail::trimmed(cell));
  if (detail::equal_ignoring_case(column, "sex") || detail::equal_ignoring_case(column, "gender")) {
    if (detail::equal_ignoring_case(text, "f") || detail::equal_ignoring_case(text, "female")) return "F";
    if (detail::equal_ignoring_case(text, "m") || detail::equal_ignoring_case(text, "male")) return "M";
  }
  const auto number = as_number(text);
  return number ? number_text(*number) : text;
}

namespace detail {

/// Whether a task's cells are numbers; empties those that are missing as numbers ("-", "None"). rows: of the table, those whose cell is
/// not empty, in order. Throws Error (format) for a cell that is no number where the task or the column asks for numbers.
inline bool settle_numbers(const Task& task, const CsvTable& table, std::size_t column,
                           const std::vector<std::size_t>& rows, std::vector<std::string>& cells) {
  using Kind = Task::Kind;
  std::vector<std::size_t> wrong;
  for (const std::size_t row : rows)
    if (!is_missing_number(table.cell(row, column)) && !as_number(table.cell(row, column))) wrong.push_back(row);
  if (!wrong.empty()) {
    const bool automatic = task.kind == Kind::automatic && task.values.empty();
    if (automatic) wrong = cells_that_are_no_number(table, column, rows);
    if (!(automatic && wrong.empty()) && (automatic || task.kind == Kind::regression)) {
      const std::string more = wrong.size() > 1 ? concat("; ", wrong.size(), " cells are no numbers") : std::string();
      throw Error(ErrorKind::format, task.kind == Kind::regression ? "task.type" : "task.number",
                  concat(table.number_sentence(wrong[0], column), more,
                         automatic ? concat("; ", task.column, "=class takes all values as classes") : std::string()),
                  concat("task ", task.text));
    }
    return false;
  }
  bool any = false;
  for (const std::string& cell : cells) any = any || as_number(cell);
  if (!any && task.kind != Kind::regression) return false;  // a column of "-" and "?" alone
  for (std::string& cell : cells)
    if (is_missing_number(cell)) cell.clear();
  return true;
}

}  // namespace detail

/// Labels of a task for the given rows of a table. Errors (format): unknown columns; a column of the wrong type for the kind;
/// a listed value that no row has; fewer than two classes; a target that is constant or nowhere given.
inline ResolvedTask resolve_task(const Task& task, const CsvTable& table, std::span<const Index> rows) {
  const auto bad = [&](const char* id, const std::string& why) {
    return Error(ErrorKind::format, id, why, concat("task ", task.text));
  };
  const auto column_of = [&](const std::string& name) {
    if (const auto found = table.find_column(name)) return *found;
    throw bad("task.column",
              concat("the label table has no column ", in_quotes(name), did_you_mean(name, table.header())));
  };
  const std::size_t column = column_of(task.column);
  std::vector<std::pair<std::size_t, std::string>> where;
  for (const auto& [name, value] : task.where) where.emplace_back(column_of(name), canonical_value(name, value));

  ResolvedTask out;
  out.task = task;
  std::vector<std::string> cells(rows.size());
  std::vector<std::size_t> kept_rows;  // of the table
  std::set<std::string> wanted;
  for (const std::string& v : task.values) wanted.insert(canonical_value(task.column, v));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto row = static_cast<std::size_t>(rows[i]);
    const std::string_view cell = table.cell(row, column);
    if (is_missing_label(cell)) continue;
    bool kept = true;
    for (const auto& [c, value] : where) kept = kept && canonical_value(table.header()[c], table.cell(row, c)) == value;
    std::string value = canonical_value(task.column, cell);
    if (!kept || (!wanted.empty() && !wanted.contains(value))) continue;
    kept_rows.push_back(row);
    cells[i] = std::move(value);
  }
  const bool numeric = detail::settle_numbers(task, table, column, kept_rows, cells);
  std::map<std::string, Index> count;
  for (const std::string& value : cells)
    if (!value.empty()) ++count[value], ++out.rows;
  if (out.rows == 0)
    throw bad("task.empty", task.where.empty() ? "no row has a value" : "no row meets the conditions and has a value");
  out.classification = task.kind == Task::Kind::classification || !task.values.empty() ||
                       (task.kind == Task::Kind::automatic && (!numeric || count.size() <= 2));
  if (out.classification) {
    for (const std::string& v : task.values) {
      out.classes.push_back(canonical_value(task.column, v));
      if (!count.contains(out.classes.back())) throw bad("task.value", concat("no row has the value ", in_quotes(v)));
    }
    if (out.classes.empty())
      for (const auto& [value, n] : count) out.classes.push_back(value);
    if (numeric && task.values.empty())
      std::sort(out.classes.begin(), out.classes.end(),
                [](const std::string& a, const std::string& b) { return *as_number(a) < *as_number(b); });
    if (out.classes.size() < 2)
      throw bad("task.one_class", concat("all ", out.rows, " rows have the value ", in_quotes(out.classes[0]),
                                         ": there is nothing to tell apart"));
    if (out.classes.size() > 200 ||
        (task.values.empty() && out.classes.size() > 20 && 2 * static_cast<Index>(out.classes.size()) > out.rows))
      throw bad("task.many_classes",
                concat(out.classes.size(), " distinct values in ", out.rows, " rows are too many classes; ",
                       numeric ? concat("ask for a regression (", task.column, "=reg)")
                               : std::string("is this an identifier, or are these numbers written as text?")));
    std::map<std::string, std::int32_t> code;
    for (std::size_t k = 0; k < out.classes.size(); ++k) code[out.classes[k]] = static_cast<std::int32_t>(k);
    for (const std::string& cell : cells) out.label.push_back(cell.empty() ? -1 : code.at(cell));
  } else {
    if (count.size() < 2)
      throw bad("task.constant", concat("all ", out.rows, " rows have the value ", count.begin()->first,
                                        ": a constant target cannot be predicted"));
    std::vector<double> targets;
    for (const std::string& cell : cells) {
      out.target.push_back(cell.empty() ? std::nan("") : *as_number(cell));
      if (!cell.empty()) targets.push_back(out.target.back());
    }
    std::erase_if(kept_rows, [&](std::size_t row) { return is_missing_number(table.cell(row, column)); });
    try {
      check_targets(table, column, kept_rows, targets);
    } catch (const Error& e) {
      throw bad(e.id().c_str(), e.text());
    }
  }
  return out;
}

}  // namespace braing3n::inline BRAING3N_ABI
