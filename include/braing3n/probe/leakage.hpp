// Planted or accidental leaks: what must not be on both sides of a split.
//
//   same_subject     one person in two folds of a task (possible with imported folds)
//   copied_volume    two rows with the same features, bit for bit, or the same value in a hash column, under different names
//   near_duplicate   rows of different people and different cohorts closer together than people ever are: the same scan
//                    entered two public cohorts, or was preprocessed twice
//   label_conflict   one person with two classes of a task
// Distances are Euclidean on standardised features. "Closer than people ever are" is a distance below `ratio` times the
// median distance of a row to its nearest row of another person. With many features the search runs on 128 random projections
// and only its candidates are measured exactly.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

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
    std::string list;
    for (std::int32_t c : found) list += concat(list.empty() ? "" : ", ", task.task.classes[static_cast<std::size_t>(c)]);
    out.push_back({"label_conflict", concat("subject ", in_quotes(subject_names[static_cast<std::size_t>(subject)]), " has more than one value of ", task.task.task.column, ": ", list)});
  }
  return out;
}

/// People on both sides of a split of a task.
inline std::vector<Leak> find_split_subjects(const TaskResult& task, const std::vector<std::int32_t>& fold, const std::vector<std::string>& subject_names) {
  std::map<std::int32_t, std::set<std::int32_t>> folds;
  for (std::size_t k = 0; k < task.sample.size(); ++k)
    if (const std::int32_t f = fold[static_cast<std::size_t>(task.sample[k])]; f >= 0) folds[task.predictions.subject[k]].insert(f);
  std::vector<Leak> out;
  for (const auto& [subject, found] : folds)
    if (found.size() > 1)
      out.push_back({"same_subject", concat("task ", task.task.task.text, ": subject ", in_quotes(subject_names[static_cast<std::size_t>(subject)]), " is in ", found.size(), " folds")});
  return out;
}

/// Rows with equal features. hash: optional value per row (equal non-empty values of two rows count as copies).
template <class T>
std::vector<Leak> find_copies(FeatureView<T> x, std::span<const Index> row, const std::vector<std::string>& ids, const std::vector<std::string>& hash = {}) {
  std::vector<Leak> out;
  const auto at = [&](std::size_t i) { return x.data + (row.empty() ? static_cast<Index>(i) : row[i]) * x.features; };
  std::unordered_map<std::string_view, std::size_t> by_features, by_hash;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::string_view bytes(reinterpret_cast<const char*>(at(i)), static_cast<std::size_t>(x.features) * sizeof(T));
    if (const auto [place, fresh] = by_features.emplace(bytes, i); !fresh)
      out.push_back({"copied_volume", concat(in_quotes(ids[place->second]), " and ", in_quotes(ids[i]), " have the same features, bit for bit"), static_cast<Index>(place->second),
                     static_cast<Index>(i)});
    if (!hash.empty() && !hash[i].empty())
      if (const auto [place, fresh] = by_hash.emplace(hash[i], i); !fresh)
        out.push_back({"copied_volume", concat(in_quotes(ids[place->second]), " and ", in_quotes(ids[i]), " have the same content hash"), static_cast<Index>(place->second), static_cast<Index>(i)});
  }
  return out;
}

/// Rows of different people (and, where cohorts are given, of different cohorts) that lie too close together.
template <class T>
std::vector<Leak> find_near_duplicates(Context<Cpu>& ctx, FeatureView<T> x, std::span<const Index> row, const std::vector<std::string>& ids,
                                       const std::vector<std::int32_t>& subject, const std::vector<std::int32_t>& cohort = {},
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
      for (Index j = 0; j < d; ++j) directions[static_cast<std::size_t>(k * d + j)] = static_cast<float>(rng.normal(static_cast<std::uint64_t>(j)) / std::sqrt(static_cast<double>(width)));
    });
    design.template sweep<float>(width, directions.data(), nullptr, nullptr,
                                 [&](Index, Index first, Index count, float* v) { std::copy_n(v, count * width, z.data() + first * width); });
  } else {
    ctx.parallel_range(n, 64, [&](Index begin, Index end) { design.load(begin, end - begin, z.data() + begin * width); });
  }
  for (Index i = 0; i < n; ++i) {
    double sum = 0;
    for (Index k = 0; k < width; ++k) sum += std::pow(static_cast<double>(z[static_cast<std::size_t>(i * width + k)]), 2);
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
        ctx.provider().gemm_f32.run(ctx, {.m = rows, .n = columns, .k = width, .a = z.data() + begin * width, .a_row = width, .b = z.data() + other * width,
                                          .b_row = 1, .b_col = width, .c = product.data(), .c_row = columns});
        for (Index i = 0; i < rows; ++i)
          for (Index j = 0; j < columns; ++j)
            see(begin + i, other + j, norm[static_cast<std::size_t>(begin + i)] + norm[static_cast<std::size_t>(other + j)] - 2.0f * product[static_cast<std::size_t>(i * columns + j)]);
      }
    });
  };
  // The usual distance to the nearest other person, from about a thousand rows.
  const Index blocks = (n + block - 1) / block, stride = std::max<Index>(1, blocks / 4);
  std::vector<float> nearest(static_cast<std::size_t>(n), std::numeric_limits<float>::infinity());
  for_distances(0, blocks, stride, false, [&](Index i, Index j, float distance) {
    if (subject[static_cast<std::size_t>(i)] != subject[static_cast<std::size_t>(j)])
      nearest[static_cast<std::size_t>(i)] = std::min(nearest[static_cast<std::size_t>(i)], distance);
  });
  const double usual = quantile({nearest.begin(), nearest.end()}, 0.5);
  if (!(usual > 0)) return {};
  // Projected squared distances scatter by some 12 %, hence the margin.
  const float limit = static_cast<float>(usual * options.ratio * options.ratio * (projected ? 2.0 : 1.0));
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
    const double ratio = std::sqrt(exact / usual);
    if (ratio >= options.ratio || static_cast<Index>(out.size()) >= options.most) continue;
    out.push_back({"near_duplicate", concat(in_quotes(ids[static_cast<std::size_t>(i)]), " and ", in_quotes(ids[static_cast<std::size_t>(j)]), ": different people",
                                            cohort.empty() ? "" : " of different cohorts", ", but ", std::round(1000 * ratio) / 1000, " of the usual distance between people apart"), i, j});
  }
  return out;
}

}  // namespace braing3n::inline BRAING3N_ABI
