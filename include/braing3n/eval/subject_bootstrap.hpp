// Bootstrap intervals by subject of statistics that are functions of sums over rows.
//
// A replicate draws as many subjects as there are, with replacement, each with all of its rows, and the statistics are computed from the sums
// of those drawn. Limits are percentiles of the replicates (Efron 1979; Davison and Hinkley 1997, 5.2). Sums are kept by subject, so a
// replicate costs one addition per subject and sum, however many rows there are.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include "braing3n/base/philox.hpp"
#include "braing3n/base/text.hpp"
#include "braing3n/probe/uncertainty.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct BootstrapOptions {
  int replicates = 1000;  // 0: no intervals
  double coverage = 0.95;
  std::uint64_t seed = 2025;

  static void visit(auto& self, auto&& v) {
    v("replicates", self.replicates);
    v("coverage", self.coverage);
    v("seed", self.seed);
  }
};

/// A statistic with its interval; NaN: not defined.
struct Estimate {
  double value = not_a_number, low = not_a_number, high = not_a_number;

  static void visit(auto& self, auto&& v) {
    v("value", self.value);
    v("low", self.low);
    v("high", self.high);
  }
};

/// "0.83 (0.80 to 0.86)"; "-" for a statistic that is not defined.
inline std::string estimate_text(const Estimate& e, int places = 2) {
  return decimals(e.value, places) +
         (std::isfinite(e.low) ? concat(" (", decimals(e.low, places), " to ", decimals(e.high, places), ")") : "");
}

/// K sums over the rows of each subject.
template <std::size_t K>
class SubjectSums {
 public:
  using Sums = std::array<double, K>;

  void add(std::int32_t subject, const Sums& terms) {
    Sums& s = of_[subject];  // zeros for a new subject
    for (std::size_t k = 0; k < K; ++k) s[k] += terms[k];
  }
  Index subjects() const { return std::ssize(of_); }
  Sums total() const {
    Sums all{};
    for (const auto& [subject, s] : of_)
      for (std::size_t k = 0; k < K; ++k) all[k] += s[k];
    return all;
  }
  /// Totals of `replicates` bootstrap samples. Subjects stand in the order of their codes; replicate b draws from the stream
  /// (seed, Purpose::bootstrap, stream, b): samples of the same subjects agree between forecasters, whatever the order of the rows.
  std::vector<Sums> replicates(const BootstrapOptions& options, std::uint32_t stream = 0) const {
    std::vector<Sums> subject;
    for (const auto& [code, s] : of_) subject.push_back(s);
    std::vector<Sums> out(subject.empty() ? 0 : static_cast<std::size_t>(options.replicates), Sums{});
    for (std::size_t b = 0; b < out.size(); ++b) {
      detail::IntegerStream draw(Philox(options.seed, Purpose::bootstrap, stream, static_cast<std::uint32_t>(b)));
      for (std::size_t i = 0; i < subject.size(); ++i) {
        const Sums& s = subject[draw.next(subject.size())];
        for (std::size_t k = 0; k < K; ++k) out[b][k] += s[k];
      }
    }
    return out;
  }

 private:
  std::map<std::int32_t, Sums> of_;
};

/// value with the percentiles of its replicates; no interval for a value that is NaN. Replicates that are not finite do not count.
inline Estimate with_interval(double value, const std::vector<double>& replicates, double coverage) {
  if (!std::isfinite(value)) return {};
  return {value, quantile(replicates, 0.5 - coverage / 2), quantile(replicates, 0.5 + coverage / 2)};
}

/// M statistics of the totals (std::array<double, M> from SubjectSums::Sums) with their intervals.
template <std::size_t K, class F>
auto estimates(const SubjectSums<K>& sums, const BootstrapOptions& options, F&& statistics) {
  const auto value = statistics(sums.total());
  constexpr std::size_t count = std::tuple_size_v<std::remove_cvref_t<decltype(value)>>;
  std::array<std::vector<double>, count> replicates;
  for (const auto& totals : sums.replicates(options)) {
    const auto drawn = statistics(totals);
    for (std::size_t m = 0; m < count; ++m) replicates[m].push_back(drawn[m]);
  }
  std::array<Estimate, count> out;
  for (std::size_t m = 0; m < count; ++m) out[m] = with_interval(value[m], replicates[m], options.coverage);
  return out;
}

}  // namespace braing3n::inline BRAING3N_ABI
