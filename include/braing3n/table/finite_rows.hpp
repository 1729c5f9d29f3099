// Samples whose features are all numbers: the others are taken out of a pairing and named.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/table/row_pairing.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Takes out the samples with a feature that is no number in any of the tables; a warning names the first of them and the columns that
/// cost most. Throws Error (format) when no sample is left.
inline void drop_non_finite(Pairing& pairing, std::span<const FeatureTable> tables) {
  std::vector<char> bad(pairing.ids.size(), 0);
  std::string columns;
  for (std::size_t t = 0; t < tables.size(); ++t) {
    std::string named;
    std::size_t count = 0;
    std::vector<std::pair<Index, Index>> cost;  // -rows, column
    for (Index j = 0; j < tables[t].columns(); ++j) cost.emplace_back(0, j);
    for (std::size_t i = 0; i < bad.size(); ++i) {
      const std::span<const float> row = tables[t].row(pairing.feature_row[t][i]);
      Index first = -1;
      for (std::size_t j = 0; j < row.size(); ++j) {
        if (std::isfinite(row[j])) continue;
        --cost[j].first;
        if (first < 0) first = static_cast<Index>(j);
      }
      if (first < 0) continue;
      bad[i] = 1;
      if (++count <= 3)
        named += concat(count > 1 ? ", " : "", pairing.ids[i], " (", tables[t].column(first), " is ",
                        row[static_cast<std::size_t>(first)], ')');
    }
    if (count == 0) continue;
    std::sort(cost.begin(), cost.end());
    std::string worst;
    for (std::size_t k = 0; k < std::min<std::size_t>(3, cost.size()) && cost[k].first < 0; ++k)
      worst += concat(k > 0 ? ", " : "", tables[t].column(cost[k].second), " (", -cost[k].first, " rows)");
    pairing.warnings.push_back(concat(tables[t].path, ": ", count,
                                      count == 1 ? " row has features that are not numbers and is"
                                                 : " rows have features that are not numbers and are",
                                      " left out: ", named, count > 3 ? ", ..." : "",
                                      count > 3 ? "; most are lost by " + worst : std::string()));
    columns += concat(columns.empty() ? "" : "; ", tables[t].path, ": most are lost by ", worst);
  }
  const auto keep = [&](auto& items) {
    std::size_t to = 0;
    for (std::size_t i = 0; i < bad.size(); ++i)
      if (bad[i] == 0) {
        if (to != i) items[to] = std::move(items[i]);
        ++to;
      }
    items.resize(to);
  };
  keep(pairing.ids);
  keep(pairing.label_row);
  for (auto& rows : pairing.feature_row) keep(rows);
  if (pairing.ids.empty())
    throw Error(ErrorKind::format, "probe.nonfinite",
                concat("no row is left: every row has a feature that is not a number; ", columns));
}

}  // namespace braing3n::inline BRAING3N_ABI
