// Planted or accidental leaks: what must not be on both sides of a split.
//
//   same_subject     one person in two folds of a task (possible with imported folds)
//   copied_volume    two rows with the same features, bit for bit, or the same value in a hash column, under different names; where so few
//                    columns of so coarse values are equal by chance (scores, years), equal features say nothing
//   near_duplicate   rows of different people and different cohorts closer together than people ever are: the same scan
//                    entered two public cohorts, or was preprocessed twice
//   label_conflict   one person with two classes of a task
// Distances are Euclidean on standardised features. "Closer than people ever are" is a distance below `ratio` times the
// median distance of a row to its nearest row of another person, and below what chance allows. With many features the search runs on 128
// random projections and only its candidates are measured exactly.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <compare>
#include <iterator>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "braing3n/base/text.hpp"
#include "braing3n/probe/panel.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct Leak {
  std::string kind;
  std::string sentence;
  Index first = -1, second = -1;  // rows of the panel, where two rows are meant
};

struct LeakageOptions {
  double ratio = 0.3;
  std::uint64_t seed = 2025;
  Index most = 1000;  // findings listed per kind
};

/// People with more than one class of a task.
inline std::vector<Leak> find_label_conflicts(const TaskResult& task, const std::vector<std::string>& subject_names) {
  std::map<std::int32_t, std::set<std::int32_t>> classes;
  for (std::size_t k = 0; k < task.sample.size(); ++k)
    if (task.task.classification) classes[task.predictions.subject[k]].insert(task.predictions.label[k]);
  std::vector<Leak> out;
  for (const auto& [subject, found] : classes) {
    if (found.size() < 2) continue;
    const std::string list =
        joined(found, ", ", [&](std::int32_t c) { return task.task.classes[static_cast<std::size_t>(c)]; });
    out.push_back({"label_conflict", concat("subject ", in_quotes(subject_names[static_cast<std::size_t>(subject)]),
                                            " has more than one value of ", task.task.task.column, ": ", list)});
  }
  return out;
}

/// People on both sides of a split of a task.
inline std::vector<Leak> find_split_subjects(const TaskResult& task, const std::vector<std::int32_t>& fold,
                                             const std::vector<std::string>& subject_names) {
  std::map<std::int32_t, std::set<std::int32_t>> folds;
  for (std::size_t k = 0; k < task.sample.size(); ++k)
    if (const std::int32_t f = fold[static_cast<std::size_t>(task.sample[k])]; f >= 0)
      folds[task.predictions.subject[k]].insert(f);
  std::vector<Leak> out;
  for (const auto& [subject, found] : folds)
    if (found.size() > 1)
      out.push_back({"same_subject", concat("task ", task.task.task.text, ": subject ",
                                            in_quotes(subject_names[static_cast<std::size_t>(subject)]), " is in ",
                                            found.size(), " folds")});
  return out;
}

namespace detail {

/// Pairs of rows that would be equal in all columns if columns were independent: pairs times the product of each column's share of equal
/// pairs. Columns are counted until the number falls below `enough`. at(i): the features of row i.
template <class At>
double pairs_equal_by_chance(At&& at, std::size_t rows, double enough) {
  const double pairs = 0.5 * static_cast<double>(rows) * static_cast<double>(rows - 1);
  double expected = pairs;
  const std::size_t columns = at(0).size();
  std::vector<typename std::decay_t<decltype(at(0))>::value_type> column(rows);
  for (std::size_t j = 0; j < columns && expected >= enough; ++j) {
    for (std::size_t i = 0; i < rows; ++i) column[i] = at(i)[j];
    std::sort(column.begin(), column.end(), [](auto a, auto b) { return std::strong_order(a, b) < 0; });  // NaN too
    double equal = 0;
    for (std::size_t i = 1, run = 0; i < rows; ++i) {
      run = column[i] == column[i - 1] ? run + 1 : 0;
      equal += static_cast<double>(run);
    }
    expected *= equal / pairs;
  }
  return expected;
}

}  // namespace detail

/// Rows with equal features. hash: optional value per row (equal non-empty values of two rows count as copies). subject: person of
/// every row, when known, to say whether the copies belong to one person.
template <class T>
std::vector<Leak> find_copies(FeatureView<T> x, std::span<const Index> row, const std::vector<std::string>& ids,
                              const std::vector<std::string>& hash = {},
                              const std::vector<std::int32_t>& subject = {}) {
  std::vector<Leak> out;
  const auto whose = [&](std::size_t a, std::size_t b) {
    return subject.empty() ? "" : subject[a] == subject[b] ? ", of one person," : ", of different people,";
  };
  const auto at = [&](std::size_t i) { return x.row(row.empty() ? static_cast<Index>(i) : row[i]); };
  std::unordered_map<std::string_view, std::size_t> by_features, by_hash;
  constexpr double by_chance = 0.01;  // equal pairs; with fewer expected, one is a copy
  std::optional<bool> telling;        // known once there is an equal pair
  const auto tells = [&] {
    if (!telling) telling = detail::pairs_equal_by_chance(at, ids.size(), by_chance) < by_chance;
    return *telling;
  };
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::span<const T> features = at(i);
    const std::string_view bytes(reinterpret_cast<const char*>(features.data()), features.size_bytes());
    if (const auto [place, fresh] = by_features.emplace(bytes, i); !fresh && tells())
      out.push_back({"copied_volume",
                     concat(in_quotes(ids[place->second]), " and ", in_quotes(ids[i]), whose(place->second, i),
                            " have the same features, bit for bit"),
                     static_cast<Index>(place->second), static_cast<Index>(i)});
    if (!hash.empty() && !hash[i].empty())
      if (const auto [place, fresh] = by_hash.emplace(hash[i], i); !fresh)
        out.push_back({"copied_volume",
                       concat(in_quotes(ids[place->second]), " and ", in_quotes(ids[i]), whose(place->second, i),
                              " have the same content hash"),
                       static_cast<Index>(place->second), static_cast<Index>(i)});
  }
  return out;
}

/// Rows of different people (and, where cohorts are given, of different cohorts) that lie too close together.
template <class T>
std::vector<Leak> find_near_duplicates(Context<Cpu>& ctx, FeatureView<T> x, std::span<const Index> row,
                                       const std::vector<std::string>& ids, const std::vector<std::int32_t>& subject,
                                       const std::vector<std::int32_t>& cohort = {},
                                       const LeakageOptions& options = {}) {
  const Design<T, Cpu> design(ctx, x, {row.begin(), row.end()});
  const Index n = design.rows(), d = design.features();
  if (n < 3) return {};
  // Rows in the panel's order but the design's: `row` may repeat or be unordered, load() follows it.
  const bool projected = d > 256;
  const Index width = projected ? 128 : d;
  std::vector<float> z(static_cast<std::size_t>(n * width)), norm(static_cast<std::size_t>(n));
  if (projected) {
    std::vector<float> directions(static_cast<std::size_t>(width * d));
    ctx.parallel(width, [&](Index k) {
      const Philox rng(options.seed, Purpose::split, 1, static_cast<std::uint32_t>(k));
      for (Index j = 0; j < d; ++j)
        directions[static_cast<std::size_t>(k * d + j)] =
            static_cast<float>(rng.normal(static_cast<std::uint64_t>(j)) / std::sqrt(static_cast<double>(width)));
    });
    design.template sweep<float>(
        width, directions.data(), nullptr, nullptr,
        [&](Index, Index first, Index count, float* v) { std::copy_n(v, count * width, z.data() + first * width); });
  } else {
    ctx.parallel_range(n, 64,
                       [&](Index begin, Index end) { design.load(begin, end - begin, z.data() + begin * width); });
  }
  for (Index i = 0; i < n; ++i) {
    double sum = 0;
    for (Index k = 0; k < width; ++k)
      sum += std::pow(static_cast<double>(z[static_cast<std::size_t>(i * width + k)]), 2);
    norm[static_cast<std::size_t>(i)] = static_cast<float>(sum);
  }
  // Squared distances of a block of rows to all rows, one block of columns at a time.
  const Index block = 256;
  const auto for_distances = [&](Index first_block, Index last_block, Index step, bool upper, auto&& see) {
    const Index blocks = (last_block - first_block + step - 1) / step;
    ctx.parallel(blocks, [&](Index b) {
      const Index begin = (first_block + b * step) * block, rows = std::min(block, n - begin);
      std::vector<float> product(static_cast<std::size_t>(block * block));
      for (Index other = upper ? begin : 0; other < n; other += block) {
        const Index columns = std::min(block, n - other);
        ctx.provider().gemm_f32.run(ctx, {.m = rows,
                                          .n = columns,
                                          .k = width,
                                          .a = z.data() + begin * width,
                                          .a_row = width,
                                          .b = z.data() + other * width,
                                          .b_row = 1,
                                          .b_col = width,
                                          .c = product.data(),
                                          .c_row = columns});
        for (Index i = 0; i < rows; ++i)
          for (Index j = 0; j < columns; ++j)
            see(begin + i, other + j,
                norm[static_cast<std::size_t>(begin + i)] + norm[static_cast<std::size_t>(other + j)] -
                    2.0f * product[static_cast<std::size_t>(i * columns + j)]);
      }
    });
  };
  // The usual distance to the nearest other person, from about a thousand rows, and how its distances scatter: in m dimensions a
  // row has a neighbour closer than t times the median with probability 1 - 2^-(t^m), and the second nearest is farther than the
  // nearest by a factor whose median is 2^(1/m). With few dimensions people come close by chance, and the limit must be lower.
  const Index blocks = (n + block - 1) / block, stride = std::max<Index>(1, blocks / 4);
  struct Near {
    float first = std::numeric_limits<float>::infinity(), second = std::numeric_limits<float>::infinity();
    std::int32_t person = -1;
  };
  std::vector<Near> nearest(static_cast<std::size_t>(n));
  for_distances(0, blocks, stride, false, [&](Index i, Index j, float distance) {
    const std::int32_t person = subject[static_cast<std::size_t>(j)];
    Near& near = nearest[static_cast<std::size_t>(i)];
    if (distance >= near.second || subject[static_cast<std::size_t>(i)] == person) return;
    if (distance < near.first) {
      if (person != near.person) near.second = near.first;
      near.first = distance;
      near.person = person;
    } else if (person != near.person) {
      near.second = distance;
    }
  });
  std::vector<double> first_distance, spread;
  for (const Near& near : nearest) {
    if (!std::isfinite(near.first)) continue;
    first_distance.push_back(near.first);
    if (near.first > 0 && std::isfinite(near.second)) spread.push_back(0.5 * std::log(near.second / near.first));
  }
  const double usual = quantile(std::move(first_distance), 0.5), typical_spread = quantile(std::move(spread), 0.5);
  if (!(usual > 0) || !(typical_spread > 0)) return {};
  const double dimensions = std::log(2.0) / typical_spread, chance = 0.02;  // expected number of false findings
  const double most_ratio =
      std::min(options.ratio, std::pow(chance / (static_cast<double>(n) * std::log(2.0)), 1.0 / dimensions));
  // Projected squared distances scatter by some 12 %, hence the margin.
  const float limit = static_cast<float>(usual * most_ratio * most_ratio * (projected ? 2.0 : 1.0));
  std::mutex mutex;
  std::vector<std::pair<Index, Index>> candidates;
  for_distances(0, blocks, 1, true, [&](Index i, Index j, float distance) {
    if (distance >= limit || j <= i) return;
    const auto a = static_cast<std::size_t>(i), b = static_cast<std::size_t>(j);
    if (subject[a] == subject[b] || (!cohort.empty() && cohort[a] == cohort[b])) return;
    const std::lock_guard<std::mutex> lock(mutex);
    if (candidates.size() < 1000000) candidates.emplace_back(i, j);
  });
  std::sort(candidates.begin(), candidates.end());
  std::vector<Leak> out;
  std::vector<double> first(static_cast<std::size_t>(d)), second(static_cast<std::size_t>(d));
  for (const auto& [i, j] : candidates) {
    design.load(i, 1, first.data());
    design.load(j, 1, second.data());
    double exact = 0;
    for (std::size_t k = 0; k < first.size(); ++k) exact += (first[k] - second[k]) * (first[k] - second[k]);
    if (exact == 0) continue;  // equal values: find_copies() judges rows that are equal bit for bit
    const double ratio = std::sqrt(exact / usual);
    if (ratio >= most_ratio || static_cast<Index>(out.size()) >= options.most) continue;
    out.push_back(
        {"near_duplicate",
         concat(in_quotes(ids[static_cast<std::size_t>(i)]), " and ", in_quotes(ids[static_cast<std::size_t>(j)]),
                ": different people", cohort.empty() ? "" : " of different cohorts", ", but ",
                std::round(1000 * ratio) / 1000, " of the usual distance between people apart"),
         i, j});
  }
  return out;
}

/// What is known about the rows of a panel. Everything but ids and subject may be empty.
struct LeakageRows {
  std::vector<std::string> ids;
  std::vector<std::int32_t> subject;       // person per row
  std::vector<std::string> subject_names;  // per person
  std::vector<std::int32_t> cohort;        // per row
  std::vector<std::string> hash;           // of the volume, per row
};

/// All searches: people with two labels and people in two folds of the tasks, copies, near-duplicates. x and row as in Panel::run.
template <class T>
std::vector<Leak> check_leakage(Context<Cpu>& ctx, FeatureView<T> x, std::span<const Index> row,
                                const LeakageRows& rows, std::span<const TaskResult> tasks = {},
                                const LeakageOptions& options = {}) {
  std::vector<Leak> out;
  const auto add = [&](std::vector<Leak> found) {
    out.insert(out.end(), std::make_move_iterator(found.begin()), std::make_move_iterator(found.end()));
  };
  for (const TaskResult& task : tasks) {
    add(find_label_conflicts(task, rows.subject_names));
    std::vector<std::int32_t> fold(rows.ids.size(), -1);
    for (std::size_t k = 0; k < task.predictions.fold.size(); ++k)
      fold[static_cast<std::size_t>(task.sample[k])] = task.predictions.fold[k];
    add(find_split_subjects(task, fold, rows.subject_names));
  }
  add(find_copies(x, row, rows.ids, rows.hash, rows.subject));
  add(find_near_duplicates(ctx, x, row, rows.ids, rows.subject, rows.cohort, options));
  return out;
}

#ifdef BRAING3N_COMPILED
extern template std::vector<Leak> find_near_duplicates(Context<Cpu>&, FeatureView<float>, std::span<const Index>,
                                                       const std::vector<std::string>&,
                                                       const std::vector<std::int32_t>&,
                                                       const std::vector<std::int32_t>&, const LeakageOptions&);
#endif

}  // namespace braing3n::inline BRAING3N_ABI
