#include "tests/support/check.hpp"

#include "braing3n/eval/diversity.hpp"
#include "braing3n/eval/frechet.hpp"
#include "braing3n/eval/memorisation.hpp"

using namespace braing3n;

namespace {

/// A random symmetric positive definite matrix.
std::vector<double> covariance(Context<Cpu>& ctx, Index n, std::uint32_t id, Index rank = 0) {
  const auto a = test::random<double>(ctx, {rank > 0 ? rank : n + 3, n}, id);
  return matmul_forward(a, a, {.transpose_a = true}).to_host();
}

FeatureMoments moments(Index n, std::vector<double> mean, std::vector<double> s) {
  return {100, n, std::move(mean), std::move(s), "r"};
}

std::vector<double> zeros_of(Index n) { return std::vector<double>(static_cast<std::size_t>(n), 0.0); }

}  // namespace

TEST_CASE("a factor of a semi-definite matrix has its rank and gives it back") {
  Context<Cpu> ctx({.threads = 2});
  for (const Index n : {1, 2, 31, 32, 33})
    for (const Index rank : {Index{0}, (n + 1) / 2}) {
      CAPTURE(n);
      CAPTURE(rank);
      const auto a = covariance(ctx, n, 7, rank);
      const auto f = semidefinite_factor(ctx, a, n);
      CHECK(f.dim(0) == (rank > 0 ? rank : n));
      const auto back = matmul_forward(f, f, {.transpose_a = true});
      double largest = 0, worst = 0;
      for (Index i = 0; i < n * n; ++i) {
        largest = std::max(largest, std::abs(a[static_cast<std::size_t>(i)]));
        worst = std::max(worst, std::abs(back.data()[i] - a[static_cast<std::size_t>(i)]));
      }
      CHECK(worst <= test::tolerance<double>(n, largest));
    }
  CHECK(semidefinite_factor(ctx, zeros_of(9), 3).dim(0) == 0);
  // A small variance is no rounding: 10 orders below the largest it stays.
  auto graded = zeros_of(9);
  graded[0] = 4, graded[4] = 4e-10, graded[8] = 1;
  CHECK(semidefinite_factor(ctx, graded, 3).dim(0) == 3);
}

TEST_CASE("the Frechet distance where it is known") {
  Context<Cpu> ctx({.threads = 2});
  // Diagonal: sum (m1 - m2)^2 + (sd1 - sd2)^2.
  std::vector<double> s1(9, 0.0), s2(9, 0.0);
  const double v1[3] = {4, 1, 0}, v2[3] = {9, 0.25, 2};
  for (std::size_t i = 0; i < 3; ++i) s1[4 * i] = v1[i], s2[4 * i] = v2[i];
  double expected = 1 + 4 + 0;
  for (std::size_t i = 0; i < 3; ++i) expected += std::pow(std::sqrt(v1[i]) - std::sqrt(v2[i]), 2);
  CHECK(frechet_distance(ctx, moments(3, {1, 2, 3}, s1), moments(3, {2, 0, 3}, s2)) ==
        doctest::Approx(expected).epsilon(1e-12));

  // 2 x 2 that do not commute: tr (S1 S2)^1/2 = sqrt(tr S1 S2 + 2 sqrt(det S1 det S2)).
  const std::vector<double> a = {2, 0.7, 0.7, 1}, b = {1, -0.4, -0.4, 3};
  const double product = a[0] * b[0] + 2 * a[1] * b[1] + a[3] * b[3],
               dets = (a[0] * a[3] - a[1] * a[1]) * (b[0] * b[3] - b[1] * b[1]);
  CHECK(frechet_distance(ctx, moments(2, {0, 0}, a), moments(2, {0, 0}, b)) ==
        doctest::Approx(7 - 2 * std::sqrt(product + 2 * std::sqrt(dets))).epsilon(1e-12));

  // One set without any spread: the means and the other's trace are left.
  CHECK(frechet_distance(ctx, moments(2, {0, 3}, zeros_of(4)), moments(2, {1, 1}, b)) ==
        doctest::Approx(1 + 4 + 4).epsilon(1e-12));

  // Symmetric in its arguments, 0 for equals, c^2-fold for features c times as large; rank-deficient covariances too.
  for (const Index rank : {0, 5}) {
    const Index n = 33;
    const auto p = moments(n, zeros_of(n), covariance(ctx, n, 1, rank)),
               q = moments(n, zeros_of(n), covariance(ctx, n, 2, rank));
    const double pq = frechet_distance(ctx, p, q);
    double trace = 0;
    for (std::size_t i = 0; i < 33; ++i) trace += p.covariance[34 * i] + q.covariance[34 * i];
    CHECK(pq > 0.01 * trace);
    CHECK(pq < trace);
    CHECK(frechet_distance(ctx, q, p) == doctest::Approx(pq).epsilon(1e-7));
    CHECK(frechet_distance(ctx, p, p) <= 1e-6 * trace);
    auto p3 = p, q3 = q;
    for (double& v : p3.covariance) v *= 9;
    for (double& v : q3.covariance) v *= 9;
    CHECK(frechet_distance(ctx, p3, q3) == doctest::Approx(9 * pq).epsilon(1e-7));
  }
}

TEST_CASE("the Frechet distance of ranks far below the number of features, by hand and between subspaces") {
  Context<Cpu> ctx({.threads = 2});
  // S1 and S2 share the eigenvectors of a random basis: the distance is the sum of (sd1 - sd2)^2, whatever the basis.
  const Index n = 40;
  const SymmetricEigen basis = symmetric_eigen(covariance(ctx, n, 9), n);
  std::vector<double> s1(static_cast<std::size_t>(n * n), 0.0), s2 = s1;
  double expected = 0;
  for (Index k = 0; k < n; ++k) {
    const double v1 = k < 7 ? 0.3 + static_cast<double>(k) : 0.0,
                 v2 = k >= 4 && k < 16 ? 2.5 / static_cast<double>(k) : 0.0;  // ranks 7 and 12, 3 in common
    expected += std::pow(std::sqrt(v1) - std::sqrt(v2), 2);
    for (Index i = 0; i < n; ++i)
      for (Index j = 0; j < n; ++j) {
        const double product =
            basis.vectors[static_cast<std::size_t>(i * n + k)] * basis.vectors[static_cast<std::size_t>(j * n + k)];
        s1[static_cast<std::size_t>(i * n + j)] += v1 * product;
        s2[static_cast<std::size_t>(i * n + j)] += v2 * product;
      }
  }
  CHECK(semidefinite_factor(ctx, s1, n).dim(0) == 7);
  CHECK(frechet_distance(ctx, moments(n, zeros_of(n), s1), moments(n, zeros_of(n), s2)) ==
        doctest::Approx(expected).epsilon(1e-6));
  CHECK(frechet_distance(ctx, moments(n, zeros_of(n), s2), moments(n, zeros_of(n), s1)) ==
        doctest::Approx(expected).epsilon(1e-6));
}

TEST_CASE("moments of features, and what cannot be compared") {
  Context<Cpu> ctx({.threads = 2});
  const auto x = test::small_integers<float>(ctx, {31, 5}, 3);
  const FeatureMoments m = feature_moments(x, "recipe-a");
  CHECK(m.rows == 31);
  for (Index i = 0; i < 5; ++i) {
    double mean = 0;
    for (Index r = 0; r < 31; ++r) mean += static_cast<double>(x.data()[r * 5 + i]) / 31;
    CHECK(m.mean[static_cast<std::size_t>(i)] == doctest::Approx(mean));
    for (Index j = 0; j < 5; ++j) {
      double sum = 0;
      for (Index r = 0; r < 31; ++r)
        sum += (static_cast<double>(x.data()[r * 5 + i]) - m.mean[static_cast<std::size_t>(i)]) *
               (static_cast<double>(x.data()[r * 5 + j]) - m.mean[static_cast<std::size_t>(j)]) / 30;
      CHECK(m.covariance[static_cast<std::size_t>(5 * i + j)] == doctest::Approx(sum));
    }
  }
  const FeatureMoments other = feature_moments(x, "recipe-b"),
                       wider = feature_moments(test::random<float>(ctx, {9, 6}, 1), "recipe-a");
  test::check_error("frechet.recipe", {"recipe-a", "recipe-b"}, [&] { frechet_distance(ctx, m, other); });
  test::check_error("frechet.width", {"5 and 6"}, [&] { frechet_distance(ctx, m, wider); });
  test::check_error("frechet.rows", {"(1, 5)"}, [&] { feature_moments(x.slice(0, 1), ""); });
  auto bad = x.clone();
  bad.data()[7] = std::nanf("");
  test::check_error("frechet.finite", {"feature 2 of row 1"}, [&] { feature_moments(bad, ""); });
  const auto [first, second] = disjoint_halves(101, 5);
  CHECK(first.size() == 50);
  CHECK(second.size() == 50);
  std::vector<Index> all = first;
  all.insert(all.end(), second.begin(), second.end());
  std::sort(all.begin(), all.end());
  CHECK(std::adjacent_find(all.begin(), all.end()) == all.end());
  CHECK(disjoint_halves(101, 5) == disjoint_halves(101, 5));
  CHECK(disjoint_halves(101, 5) != disjoint_halves(101, 6));
  test::check_error("frechet.halves", {"1 group"}, [] { disjoint_halves(1, 5); });
}

TEST_CASE("two halves of one Gaussian are near, a shifted or wider one is as far as it should be") {
  Context<Cpu> ctx({.threads = 2});
  const Index n = 4000, d = 6;
  const auto a = feature_moments(test::random<double>(ctx, {n, d}, 1), ""),
             b = feature_moments(test::random<double>(ctx, {n, d}, 2), "");
  auto wide = test::random<double>(ctx, {n, d}, 3);
  for (Index i = 0; i < wide.size(); ++i) wide.data()[i] = 2 * wide.data()[i] + 0.5;
  const double equals = frechet_distance(ctx, a, b), far = frechet_distance(ctx, a, feature_moments(wide, ""));
  CHECK(equals < 0.02);
  CHECK(far == doctest::Approx(6 * (0.25 + 1)).epsilon(0.05));
}

TEST_CASE("nearest neighbours are those of an exhaustive search, across blocks, without the excluded ones") {
  const auto exhaustive = [](const Tensor<float, Cpu>& q, const Tensor<float, Cpu>& p, auto&& excluded) {
    std::vector<Neighbour> all;
    for (Index i = 0; i < q.dim(0); ++i) {
      Neighbour near;
      for (Index j = 0; j < p.dim(0); ++j) {
        double sum = 0;
        for (Index k = 0; k < p.dim(1); ++k)
          sum += std::pow(
              static_cast<double>(q.data()[i * p.dim(1) + k]) - static_cast<double>(p.data()[j * p.dim(1) + k]), 2);
        if (!excluded(i, j) && std::sqrt(sum) < near.distance) near = {j, std::sqrt(sum)};
      }
      all.push_back(near);
    }
    return all;
  };
  test::check_same_for_threads("neighbours", [&](Context<Cpu>& ctx) {
    const auto q = test::random<float>(ctx, {33, 5}, 1), p = test::random<float>(ctx, {1031, 5}, 2);
    const auto excluded = [](Index i, Index j) { return (i + j) % 3 == 0; };
    const auto ours = nearest_neighbours(q, p, excluded), reference = exhaustive(q, p, excluded);
    Tensor<double, Cpu> distances(ctx, {33});
    for (std::size_t i = 0; i < 33; ++i) {
      CHECK(ours[i].row == reference[i].row);
      CHECK(ours[i].distance == doctest::Approx(reference[i].distance).epsilon(1e-12));
      distances.data()[i] = ours[i].distance;
    }
    return std::vector<Tensor<double, Cpu>>{distances};
  });
  Context<Cpu> ctx({.threads = 1});
  const auto p = test::random<float>(ctx, {20, 7}, 2, 100.0);
  const auto self = nearest_neighbours(p, p, [](Index, Index) { return false; });
  for (std::size_t i = 0; i < 20; ++i) CHECK(self[i].distance == 0.0);  // exactly: a copy is a copy
  CHECK(nearest_neighbours(p, p, [](Index i, Index) { return i == 3; })[3].row == -1);
  test::check_error("neighbours.shape", {"(20, 7)", "(20, 6)"}, [&] {
    nearest_neighbours(p, test::random<float>(ctx, {20, 6}, 1), [](Index, Index) { return false; });
  });
}

TEST_CASE("percentiles as numpy has them") {
  CHECK(percentile({3, 1, 2}, 0.5) == 2);
  CHECK(percentile({1, 2, 3, 4}, 0.5) == 2.5);
  CHECK(percentile({10, 20, 30, 40, 50}, 0.05) == doctest::Approx(12.0));
  CHECK(percentile({5}, 0.05) == 5);
  test::check_error("percentile", {"0 values"}, [] { percentile({}, 0.5); });
}

TEST_CASE("the audit finds planted copies and nothing else; scans of one person move the bar") {
  Context<Cpu> ctx({.threads = 2});
  const Index people = 60, d = 40;
  // Two scans of each person: the person, and a little noise.
  const auto faces = test::random<float>(ctx, {people, d}, 1);
  Tensor<float, Cpu> training(ctx, {2 * people, d});
  std::vector<std::string> names;
  const auto noise = test::random<float>(ctx, {2 * people, d}, 2, 0.05);
  for (Index i = 0; i < 2 * people; ++i) {
    names.push_back(std::to_string(i / 2));
    for (Index k = 0; k < d; ++k) training.data()[i * d + k] = faces.data()[i / 2 * d + k] + noise.data()[i * d + k];
  }
  auto samples = test::random<float>(ctx, {40, d}, 3);
  const MemorisationAudit clean = audit_memorisation(samples, training, names);
  CHECK(clean.copies.empty());
  CHECK(clean.real.mean < 0.2 * clean.real_other_subjects.mean);  // the nearest is the person's other scan
  CHECK(clean.ratio > 3);
  CHECK(clean.samples.mean == doctest::Approx(clean.real_other_subjects.mean).epsilon(0.15));
  // Sample 7 is scan 33 nearly as it is; sample 20 is that person, seen anew.
  const auto again = test::random<float>(ctx, {d}, 4, 0.1);
  for (Index k = 0; k < d; ++k) {
    samples.data()[7 * d + k] = training.data()[33 * d + k] + 0.01f * again.data()[k];
    samples.data()[20 * d + k] = faces.data()[5 * d + k] + again.data()[k];
  }
  const MemorisationAudit planted = audit_memorisation(samples, training, names);
  CHECK(planted.copies == std::vector<Index>{7});
  CHECK(planted.nearest[7].row == 33);
  CHECK(std::find(planted.copies_of_subjects.begin(), planted.copies_of_subjects.end(), 20) !=
        planted.copies_of_subjects.end());
  CHECK(planted.nearest[20].row / 2 == 5);
  CHECK(planted.copies_of_subjects.size() <= 2 + 4);  // besides the two, about one in twenty of any honest samples
  CHECK(planted.samples.minimum < 0.01);
  test::check_error("memorisation.subjects", {"3 subjects"},
                    [&] { audit_memorisation(samples, training, {"a", "b", "c"}); });
  test::check_error("memorisation.subjects", {"single subject"}, [&] {
    audit_memorisation(samples, training, std::vector<std::string>(static_cast<std::size_t>(2 * people), "a"));
  });
}

TEST_CASE("mean pairwise distance: all pairs of other people, by definition, far from the origin too") {
  test::check_same_for_threads("diversity", [](Context<Cpu>& ctx) {
    const Index n = 33, d = 31;
    auto x = test::random<float>(ctx, {n, d}, 1);
    for (Index i = 0; i < x.size(); ++i) x.data()[i] = 100.0f + x.data()[i];
    std::vector<std::string> people;
    for (Index i = 0; i < n; ++i) people.push_back(std::to_string(i / 2));
    double all = 0, others = 0;
    Index pairs = 0, other_pairs = 0;
    for (Index i = 0; i < n; ++i)
      for (Index j = 0; j < i; ++j) {
        double sum = 0;
        for (Index k = 0; k < d; ++k)
          sum += std::pow(static_cast<double>(x.data()[i * d + k]) - static_cast<double>(x.data()[j * d + k]), 2);
        all += std::sqrt(sum), ++pairs;
        if (i / 2 != j / 2) others += std::sqrt(sum), ++other_pairs;
      }
    const PairwiseDistance a = mean_pairwise_distance(x), b = mean_pairwise_distance(x, people);
    CHECK(a.pairs == pairs);
    CHECK(b.pairs == other_pairs);
    CHECK(a.mean == doctest::Approx(all / static_cast<double>(pairs)).epsilon(1e-10));
    CHECK(b.mean == doctest::Approx(others / static_cast<double>(other_pairs)).epsilon(1e-10));
    Tensor<double, Cpu> out(ctx, {2});
    out.data()[0] = a.mean, out.data()[1] = b.mean;
    return std::vector<Tensor<double, Cpu>>{out};
  });
  Context<Cpu> ctx({.threads = 1});
  const auto one = test::random<float>(ctx, {1, 4}, 1);
  CHECK(mean_pairwise_distance(one).pairs == 0);
  CHECK(std::isnan(mean_pairwise_distance(one).mean));
  const auto two = test::random<float>(ctx, {2, 4}, 1);
  CHECK(mean_pairwise_distance(two, {"a", "a"}).pairs == 0);
  test::check_error("diversity.shape", {"(2, 4)", "3 groups"}, [&] { mean_pairwise_distance(two, {"a", "b", "c"}); });
}
