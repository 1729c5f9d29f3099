// Folds against scikit-learn's numbers, and the properties that matter to a user: whole subjects, balanced classes.
#include <doctest/doctest.h>

#include <array>

#include "braing3n/base/philox.hpp"
#include "braing3n/probe/folds.hpp"

using namespace braing3n;

namespace {
std::vector<std::int64_t> golden_groups() {
  std::vector<std::int64_t> g;
  for (std::int64_t i = 0; i < 60; ++i) g.push_back(7 * i % 19);
  return g;
}
std::vector<std::int64_t> golden_classes() {
  std::vector<std::int64_t> y;
  for (std::int64_t g : golden_groups()) y.push_back((5 * g + 3) % 7 < 3 ? 1 : 0);
  return y;
}
std::vector<int> fold_of_group(const Folds& folds) {
  const auto g = golden_groups();
  std::vector<int> out(19, -1);
  for (std::size_t i = 0; i < g.size(); ++i) {
    int& f = out[static_cast<std::size_t>(g[i])];
    if (f >= 0) CHECK(f == folds.fold[i]);  // one subject, one fold
    f = folds.fold[i];
  }
  return out;
}
}  // namespace

TEST_CASE("RandomState gives numpy's stream and numpy's shuffles") {
  RandomState rng(2025);
  for (std::uint32_t expected : {581917246u, 2146402014u, 3813294034u, 1466313566u, 4005510732u, 453344760u})
    CHECK(rng.next() == expected);
  CHECK(RandomState(2025).permutation(10) == std::vector<Index>{6, 1, 5, 9, 0, 4, 7, 3, 8, 2});
  CHECK(RandomState(0).permutation(10) == std::vector<Index>{2, 8, 4, 9, 1, 6, 7, 3, 0, 5});
  CHECK(RandomState(2025).permutation(6) == std::vector<Index>{1, 5, 3, 0, 4, 2});
  CHECK(RandomState(2025).permutation(20) ==
        std::vector<Index>{17, 2, 11, 14, 15, 4, 9, 7, 16, 13, 1, 10, 5, 8, 6, 0, 19, 3, 12, 18});
}

TEST_CASE("folds of the golden case") {
  const auto y = golden_classes(), g = golden_groups();
  CHECK(fold_of_group(stratified_group_kfold(y, g, {.shuffle = false})) ==
        std::vector<int>{0, 3, 4, 3, 4, 0, 3, 1, 1, 4, 2, 2, 0, 1, 2, 3, 0, 4, 1});
  CHECK(fold_of_group(stratified_group_kfold(y, g, {.seed = 2025, .mode = FoldShuffle::legacy})) ==
        std::vector<int>{3, 4, 3, 0, 4, 0, 1, 3, 1, 2, 4, 0, 1, 2, 2, 0, 3, 4, 1});
  CHECK(fold_of_group(stratified_group_kfold(y, g, {.seed = 0, .mode = FoldShuffle::legacy})) ==
        std::vector<int>{3, 4, 3, 0, 0, 4, 3, 1, 4, 2, 0, 1, 1, 2, 3, 4, 2, 0, 1});
  CHECK(fold_of_group(stratified_group_kfold(y, g)) ==
        std::vector<int>{2, 2, 4, 3, 0, 4, 1, 1, 0, 3, 3, 1, 4, 4, 0, 3, 0, 2, 1});
}

TEST_CASE("19 classes: sums in numpy's order decide near-ties as scikit-learn 1.9 does") {
  std::vector<std::int64_t> y, g;
  for (std::int64_t i = 0; i < 700; ++i) {
    g.push_back((i * i * 7 + 3 * i) % 97);
    y.push_back((5 * g.back() + i) % 19);
  }
  const std::vector<int> expected{4, 0, 2, 3, 3, 0, 4, 4, 0, 4, 4, 0, 3, 2, 3, 0, 1, 2, 4, 3, 2, 1, 4, 1, 3,
                                  4, 2, 1, 1, 4, 0, 0, 1, 2, 3, 2, 1, 2, 1, 3, 3, 3, 4, 0, 0, 2, 1, 1, 2};
  const Folds folds = stratified_group_kfold(y, g);
  const auto groups = encode_sorted(std::span<const std::int64_t>(g));
  REQUIRE(groups.count() == 49);
  for (std::size_t i = 0; i < g.size(); ++i)
    CHECK(folds.fold[i] == expected[static_cast<std::size_t>(groups.codes[i])]);
}

TEST_CASE("stratified folds keep subjects whole and classes balanced on 1,000 random tables") {
  for (std::uint32_t run = 0; run < 1000; ++run) {
    const Philox rng(run, Purpose::test, 2);
    const int n_classes = 2 + static_cast<int>(rng.integer(0) % 4), folds = 2 + static_cast<int>(rng.integer(1) % 5);
    std::vector<std::int64_t> y, g;
    for (std::uint32_t subject = 0; subject < 120; ++subject) {
      const std::uint32_t scans = 1 + rng.integer(10 + 2 * subject) % 3,
                          c = rng.integer(11 + 2 * subject) % static_cast<std::uint32_t>(n_classes);
      for (std::uint32_t scan = 0; scan < scans; ++scan) {
        y.push_back(c);
        g.push_back(1000 - subject);
      }
    }
    const Folds out = stratified_group_kfold(y, g, {.folds = folds, .seed = run});
    std::vector<std::vector<double>> count(static_cast<std::size_t>(folds),
                                           std::vector<double>(static_cast<std::size_t>(n_classes), 0));
    std::vector<double> total(static_cast<std::size_t>(n_classes), 0);
    std::vector<int> seen(2000, -1);
    bool whole = true;
    for (std::size_t i = 0; i < y.size(); ++i) {
      int& f = seen[static_cast<std::size_t>(g[i])];
      whole = whole && (f < 0 || f == out.fold[i]);
      f = out.fold[i];
      count[static_cast<std::size_t>(f)][static_cast<std::size_t>(y[i])] += 1;
      total[static_cast<std::size_t>(y[i])] += 1;
    }
    CHECK(whole);
    double worst = 0;  // scans away from an even share
    for (const auto& fold : count)
      for (std::size_t c = 0; c < total.size(); ++c) worst = std::max(worst, std::abs(fold[c] - total[c] / folds));
    CHECK_MESSAGE(worst <= 4.0, "table ", run, ": a class is ", worst, " scans away from its share");
  }
}

TEST_CASE("group folds: balanced sizes, subjects whole, a permutation cut evenly when shuffled") {
  std::vector<std::int64_t> groups;
  for (std::int64_t i = 0; i < 100; ++i) groups.push_back(i * i % 23);
  for (bool shuffle : {false, true}) {
    const Folds folds = group_kfold(groups, {.folds = 4, .shuffle = shuffle});
    std::array<int, 4> size{};
    for (std::size_t i = 0; i < groups.size(); ++i) {
      ++size[static_cast<std::size_t>(folds.fold[i])];
      for (std::size_t j = 0; j < i; ++j)
        if (groups[i] == groups[j]) CHECK(folds.fold[i] == folds.fold[j]);
    }
    for (int s : size) CHECK(s >= 10);
  }
}

TEST_CASE("legacy group folds: equal sizes come in the order of numpy's quicksort") {
  const auto key = [](std::size_t n) {
    std::vector<Index> k;
    for (std::size_t i = 0; i < n; ++i) k.push_back(static_cast<Index>((i * i * 7 + 3 * i) % 5));
    return k;
  };
  // numpy 1.26.4 and 2.4.6, argsort without vector instructions: insertion sort up to 16 elements.
  using Order = std::vector<std::size_t>;
  CHECK(braing3n::detail::numpy_quicksort_order(key(16)) ==
        Order{0, 1, 5, 6, 10, 11, 15, 3, 8, 13, 2, 4, 7, 9, 12, 14});
  CHECK(braing3n::detail::numpy_quicksort_order(key(17)) ==
        Order{0, 11, 10, 15, 6, 16, 1, 5, 3, 13, 8, 4, 7, 9, 2, 12, 14});
  CHECK(braing3n::detail::numpy_quicksort_order(key(34)) == Order{0, 31, 30, 26, 25, 21, 20, 15, 11, 10, 16, 1,
                                                                  5, 6,  8,  28, 3,  23, 33, 13, 18, 19, 17, 32,
                                                                  9, 7,  24, 4,  14, 27, 29, 2,  12, 22});
  std::uint64_t hash = 0;  // of all orders of 1 to 300 elements
  for (std::size_t n = 1; n <= 300; ++n) {
    const Order order = braing3n::detail::numpy_quicksort_order(key(n));
    for (std::size_t i = 0; i < n; ++i) hash = (hash * 31 + order[i] * (i + 1)) % 1000000007;
  }
  CHECK(hash == 832346298);
}

TEST_CASE("quantile bins split continuous targets evenly and never split equal values") {
  std::vector<double> v;
  for (int i = 0; i < 100; ++i) v.push_back((i * 37) % 100);
  std::vector<int> size(5, 0);
  for (auto b : quantile_bins(v, 5)) ++size[static_cast<std::size_t>(b)];
  CHECK(size == std::vector<int>(5, 20));
  const std::vector<double> ties{1, 1, 1, 1, 1, 1, 2, 2, 3, 9};
  const auto bins = quantile_bins(ties, 5);
  for (std::size_t i = 0; i < ties.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (ties[i] == ties[j]) CHECK(bins[i] == bins[j]);
  CHECK(bins.front() < bins.back());
}

TEST_CASE("folds: what cannot be split says why") {
  const std::vector<std::int64_t> y{0, 0, 1, 1, 1, 1}, g{1, 1, 2, 2, 3, 3};
  CHECK_THROWS_WITH_AS(stratified_group_kfold(y, g), "stratified folds: 3 subjects cannot fill 5 folds", Error);
  CHECK_THROWS_WITH_AS(stratified_group_kfold(y, std::vector<std::int64_t>{1, 2}),
                       "stratified folds: 6 samples, but 2 group labels", Error);
  CHECK_THROWS_AS(group_kfold(g, {.folds = 1}), Error);
  CHECK_THROWS_AS(stratified_group_kfold({}, {}), Error);
  CHECK(stratified_group_kfold(y, g, {.folds = 3}).warnings.size() == 1);
}
