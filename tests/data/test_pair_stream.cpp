// The stream of pairs of visits, and the pairs of two sets.
#include "tests/support/check.hpp"

#include "braing3n/data/pair_stream.hpp"

using namespace braing3n;

namespace {

/// 60 pairs of half a year, 30 of two years, 10 of four, 5 of seven; none beyond ten.
std::vector<VisitPair> made_pairs() {
  std::vector<VisitPair> pairs;
  const auto add = [&](int n, double years) {
    for (int i = 0; i < n; ++i) {
      const Index from = 2 * std::ssize(pairs);
      pairs.push_back({from, from + 1, years, 60});
    }
  };
  add(60, 0.5);
  add(30, 2);
  add(10, 4);
  add(5, 7);
  return pairs;
}
std::array<double, 5> shares(PairStream stream, int draws) {
  std::array<double, 5> share{};
  for (int i = 0; i < draws; ++i)
    for (const VisitPair& p : stream.next().pairs) share[visit_band(p.years)] += 1.0 / (draws * 10);
  return share;
}
bool same(const VisitPair& a, const VisitPair& b) {
  return a.from == b.from && a.to == b.to && a.years == b.years && a.age == b.age;
}

}  // namespace

TEST_CASE("bands of years: an upper edge belongs to its band, to the tenth of a year, in both directions") {
  for (const auto& [years, band] : std::vector<std::pair<double, std::size_t>>{{0, 0},
                                                                               {365 / 365.25, 0},
                                                                               {366 / 365.25, 0},
                                                                               {1.06, 1},
                                                                               {3, 1},
                                                                               {1826 / 365.25, 2},
                                                                               {5.01, 2},
                                                                               {6, 3},
                                                                               {3653 / 365.25, 3},
                                                                               {11, 4},
                                                                               {-2, 1},
                                                                               {-40, 4}})
    CHECK_MESSAGE(visit_band(years) == band, years);
}

TEST_CASE("bands of years come equally often, or as they are, or between the two") {
  const std::array<double, 5> equal = shares({made_pairs(), {.strength = 1}, 10, 3}, 4000);
  for (std::size_t b = 0; b < 4; ++b) CHECK(equal[b] == doctest::Approx(0.25).epsilon(0.04));
  CHECK(equal[4] == 0);
  const std::array<double, 5> half = shares({made_pairs(), {.strength = 0.5}, 10, 3}, 4000);
  const double sum = std::sqrt(60.0) + std::sqrt(30.0) + std::sqrt(10.0) + std::sqrt(5.0);
  CHECK(half[0] == doctest::Approx(std::sqrt(60.0) / sum).epsilon(0.04));
  CHECK(half[3] == doctest::Approx(std::sqrt(5.0) / sum).epsilon(0.08));
  // As they are: each pair once per epoch, in a new order.
  PairStream epochs(made_pairs(), {.strength = 0}, 105, 3);
  CHECK(epochs.pairs() == 105);
  std::vector<Index> orders[2];
  for (std::vector<Index>& order : orders) {
    for (const VisitPair& p : epochs.next().pairs) order.push_back(p.from);
    CHECK(std::set<Index>(order.begin(), order.end()).size() == 105);
  }
  CHECK(orders[0] != orders[1]);
}

TEST_CASE("both directions come equally often, and turn everything round") {
  PairStream stream(made_pairs(), {.both_ways = true}, 10, 5);
  double backwards = 0;
  for (int i = 0; i < 1000; ++i)
    for (const VisitPair& p : stream.next().pairs) {
      backwards += p.years < 0 ? 1e-4 : 0;
      CHECK(p.to - p.from == (p.years < 0 ? -1 : 1));
      CHECK(p.age == (p.years < 0 ? 60 - p.years : 60));
    }
  CHECK(backwards == doctest::Approx(0.5).epsilon(0.04));
  const VisitPair still = turned_round({3, 4, 0, 61});
  CHECK(still.years == 0);
  CHECK_FALSE(std::signbit(still.years));
}

TEST_CASE("the stream is a function of seed and position: it goes on where it stopped, whatever the batch") {
  for (const double strength : {0.0, 1.0}) {
    const PairStreamOptions o{.strength = strength, .both_ways = true};
    PairStream whole(made_pairs(), o, 1, 11), other(made_pairs(), o, 1, 12);
    std::vector<VisitPair> all;
    int different = 0;
    for (Index i = 0; i < 400; ++i) {
      const PairStream::Draw d = whole.next();
      CHECK(d.positions == std::vector<Index>{i});
      all.push_back(d.pairs[0]);
      different += !same(other.next().pairs[0], all.back());
    }
    CHECK(different > 200);
    PairStream resumed(made_pairs(), o, 7, 11, 204);
    for (Index step = 0; step < 20; ++step) {
      const PairStream::Draw d = resumed.next();
      for (std::size_t i = 0; i < 7; ++i) {
        CHECK(d.positions[i] == 204 + 7 * step + static_cast<Index>(i));
        CHECK(same(d.pairs[i], all[static_cast<std::size_t>(d.positions[i])]));
      }
    }
    CHECK(resumed.position() == 204 + 140);
  }
  for (const double strength : {-0.1, 1.1, static_cast<double>(NAN)})
    test::check_error("pairs.strength", {"from 0 to 1"},
                      [&] { PairStream(made_pairs(), {.strength = strength}, 1, 1); });
  test::check_error("pairs.batch", {"got 0 from 105"}, [] { PairStream(made_pairs(), {}, 0, 1); });
  test::check_error("pairs.batch", {"got 2 from 0"}, [] { PairStream({}, {}, 2, 1); });
}

TEST_CASE("pairs of the training and validation subjects; a subject in both sets is refused") {
  std::string text = "volume_id,subject_id,days,age\n";
  for (int s = 0; s < 10; ++s) text += concat("a", s, ",s", s, ",0,60\nb", s, ",s", s, ",400,61\n");
  text += "c,t,0,60\n";
  const Manifest m =
      read_manifest(CsvTable::from_text(text, "visits.csv"), {.check_files = false, .need_paths = false});
  TrainingData d;
  d.split = split_subjects(m, {{"train", 0.7}, {"validation", 0.3}}, 1);
  d.train = rows_of(m, d.split, "train");
  d.validation = rows_of(m, d.split, "validation");
  const VisitPairSets sets = visit_pair_sets(m, d, {});
  CHECK(sets.train.pairs.size() + sets.validation.pairs.size() == 10);
  for (const auto& [set, pairs] : {std::pair{"train", &sets.train}, std::pair{"validation", &sets.validation}})
    for (const VisitPair& p : pairs->pairs)
      for (const Index row : {p.from, p.to})
        CHECK(d.split.at(m.scans[static_cast<std::size_t>(row)].subject_id) == set);
  d.train = {0, 1, 2, 3};
  d.validation = {4, 5, 3};
  test::check_error("visits.split", {"subject \"s1\"", "training set (\"a1\")", "validation set (\"b1\")"},
                    [&] { (void)visit_pair_sets(m, d, {}); });
  d.validation = {20};
  test::check_error("visits.none", {"visits.csv: validation set: expected a subject with two visits"},
                    [&] { (void)visit_pair_sets(m, d, {}); });
}
