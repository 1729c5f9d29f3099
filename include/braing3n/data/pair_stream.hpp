// Pairs of visits for training: those of the training and validation subjects, and an endless stream of them.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/base/stream.hpp"
#include "braing3n/data/visit_pairs.hpp"
#include "braing3n/data/volumes.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Upper edges of the bands of years between visits: 0-1, 1-3, 3-5, 5-10, and more than 10.
inline constexpr std::array visit_band_edges{1.0, 3.0, 5.0, 10.0};

/// The band of a pair, 0 to 4. An upper edge belongs to its band, and so do visits up to horizon_margin beyond it: 5 years are in 3-5.
inline std::size_t visit_band(double years) {
  return static_cast<std::size_t>(
      std::lower_bound(visit_band_edges.begin(), visit_band_edges.end(), std::abs(years) - horizon_margin) -
      visit_band_edges.begin());
}

struct VisitPairSets {
  VisitPairs train, validation;
};

/// The pairs of the training and of the validation subjects. Throws what visit_pairs throws, and Error (format) when a subject is in both sets.
inline VisitPairSets visit_pair_sets(const Manifest& m, const TrainingData& d, const VisitPairOptions& o) {
  std::map<std::string, Index> training;
  for (const Index row : d.train) training.emplace(m.scans.at(static_cast<std::size_t>(row)).subject_id, row);
  for (const Index row : d.validation) {
    const ScanRow& s = m.scans.at(static_cast<std::size_t>(row));
    if (const auto found = training.find(s.subject_id); found != training.end())
      throw Error(ErrorKind::format, "visits.split",
                  concat("subject ", in_quotes(s.subject_id), " is in the training set (",
                         in_quotes(m.scans[static_cast<std::size_t>(found->second)].volume_id),
                         ") and in the validation set (", in_quotes(s.volume_id), ")"),
                  m.path.string());
  }
  const auto pairs = [&](const char* set, const std::vector<Index>& rows) {
    try {
      return visit_pairs(m, rows, o);
    } catch (const Error& e) {
      throw Error(e.kind(), e.id(), concat(set, " set: ", e.text()), e.path());
    }
  };
  return {pairs("training", d.train), pairs("validation", d.validation)};
}

struct PairStreamOptions {
  double strength = 1;     // 1: the bands of years come equally often; 0: as often as they are
  bool both_ways = false;  // half of the pairs are turned round

  static void visit(auto& self, auto&& v) {
    v("strength", self.strength);
    v("both_ways", self.both_ways);
  }
};

/// The same pair from `to` to `from`.
inline VisitPair turned_round(const VisitPair& p) {
  return {p.to, p.from, p.years == 0 ? 0 : -p.years, p.age + p.years};
}

/// The endless stream of pairs, from any position on: a function of seed and position. With strength 0 each pair comes once per epoch in a new
/// order; else pairs are drawn with weights proportional to count^-strength, count being the pairs of their band.
class PairStream {
 public:
  /// Throws Error: argument (no pairs, a batch below 1), config (strength).
  PairStream(std::vector<VisitPair> pairs, const PairStreamOptions& o, Index batch, std::uint64_t seed, Index start = 0)
      : pairs_(std::move(pairs)), o_(o), batch_(batch), seed_(seed), next_(start) {
    if (!(o.strength >= 0 && o.strength <= 1))
      fail(ErrorKind::config, "pairs.strength", "pairs: a strength of ", o.strength, ", expected a number from 0 to 1");
    if (pairs_.empty() || batch < 1)
      fail(ErrorKind::argument, "pairs.batch", "pairs: expected a batch of at least 1 from at least 1 pair, got ",
           batch, " from ", pairs_.size());
    std::array<double, visit_band_edges.size() + 1> counts{};
    for (const VisitPair& p : pairs_) ++counts[visit_band(p.years)];
    double sum = 0;
    for (const VisitPair& p : pairs_) cumulative_.push_back(sum += std::pow(counts[visit_band(p.years)], -o.strength));
    places_.resize(pairs_.size());
    std::iota(places_.begin(), places_.end(), Index{0});
  }

  struct Draw {
    std::vector<VisitPair> pairs;
    std::vector<Index> positions;  // (N) places in the stream, to which noise belongs
  };
  Draw next() {
    Draw d;
    for (Index i = 0; i < batch_; ++i, ++next_) {
      d.positions.push_back(next_);
      d.pairs.push_back(at(next_));
    }
    return d;
  }

  /// The pair at a position from 0 on.
  VisitPair at(Index position) {
    const StreamCounter counter(position);
    const Philox rng(seed_, Purpose::shuffle, counter.step, counter.sample);
    const VisitPair& p = pairs_[o_.strength > 0 ? drawn(rng.integer(0)) : in_epoch(position)];
    return o_.both_ways && (rng.integer(1) & 1) != 0 ? turned_round(p) : p;
  }

  Index position() const { return next_; }
  Index pairs() const { return std::ssize(pairs_); }  // of an epoch
  const ScanFailures& failures() const { return failures_; }
  double seconds_waited() const { return 0; }

 private:
  std::size_t drawn(std::uint32_t bits) const {
    const double u = (static_cast<double>(bits) + 0.5) * 0x1p-32 * cumulative_.back();
    return static_cast<std::size_t>(std::upper_bound(cumulative_.begin(), cumulative_.end() - 1, u) -
                                    cumulative_.begin());
  }
  std::size_t in_epoch(Index position) {
    if (const Index epoch = position / pairs(); epoch != epoch_) {
      order_ = epoch_order(places_, true, seed_, epoch);
      epoch_ = epoch;
    }
    return static_cast<std::size_t>(order_[static_cast<std::size_t>(position % pairs())]);
  }

  std::vector<VisitPair> pairs_;
  PairStreamOptions o_;
  std::vector<double> cumulative_;
  std::vector<Index> places_, order_;
  Index batch_, epoch_ = -1;
  std::uint64_t seed_;
  Index next_;
  ScanFailures failures_;
};

}  // namespace braing3n::inline BRAING3N_ABI
