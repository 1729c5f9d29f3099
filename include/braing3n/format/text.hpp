// The known name closest to a mistyped one, and what a mistake in a name looks like.
#pragma once

#include <algorithm>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "braing3n/base/text.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Fewest single-character insertions, deletions, replacements and swaps of neighbours that turn a into b
/// (optimal string alignment).
inline std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  std::iota(above.begin(), above.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, above);
    std::swap(above, row);
  }
  return above[b.size()];
}

/// Up to `most` of `names`, nearest first; names that share less than about half their characters are left out.
inline std::vector<std::string> nearest_names(std::string_view name, std::span<const std::string> names,
                                              std::size_t most = 1) {
  std::vector<std::pair<std::size_t, std::size_t>> ranked;  // distance, position
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::size_t limit = std::max<std::size_t>(1, std::max(name.size(), names[i].size()) / 2);
    const std::size_t length_gap =
        name.size() > names[i].size() ? name.size() - names[i].size() : names[i].size() - name.size();
    if (length_gap > limit || name.size() + names[i].size() > 4096) continue;
    if (const std::size_t d = edit_distance(name, names[i]); d <= limit) ranked.emplace_back(d, i);
  }
  std::sort(ranked.begin(), ranked.end());
  std::vector<std::string> nearest;
  for (std::size_t i = 0; i < std::min(most, ranked.size()); ++i) nearest.push_back(names[ranked[i].second]);
  return nearest;
}

/// "; did you mean "x"?" or nothing.
inline std::string did_you_mean(std::string_view name, std::span<const std::string> names) {
  const std::vector<std::string> nearest = nearest_names(name, names, 1);
  return nearest.empty() ? std::string() : "; did you mean " + in_quotes(nearest[0]) + "?";
}

}  // namespace braing3n::inline BRAING3N_ABI
