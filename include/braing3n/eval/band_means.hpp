// Means by horizon of what every pair of visits has, with bootstrap intervals by subject: PSNR and SSIM of a forecast image against that of
// the second visit, and how much better they are than the baseline image.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "braing3n/eval/forecast_scores.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct BandMean {
  std::string band;
  Index pairs = 0, subjects = 0, missing = 0;  // missing: pairs of the band whose value is not finite
  std::string note;                            // why there is no mean
  Estimate mean;

  static void visit(auto& self, auto&& v) {
    v("band", self.band);
    v("pairs", self.pairs);
    v("subjects", self.subjects);
    v("missing", self.missing);
    v("note", self.note);
    v("mean", self.mean);
  }
};

/// subject, years, value (n); bands as in forecast_scores(), "all" last. Throws Error: shape (lengths that differ), argument (limits).
inline std::vector<BandMean> band_means(std::span<const std::int32_t> subject, std::span<const double> years,
                                        std::span<const double> value, const ForecastScoreOptions& options = {}) {
  if (subject.size() != value.size() || years.size() != value.size())
    fail(ErrorKind::shape, "forecast.length", "band means: ", subject.size(), " subjects, ", years.size(), " years, ",
         value.size(), " values");
  std::vector<BandMean> out;
  for (const HorizonBand& band : horizon_bands(options.limits)) {
    BandMean m;
    m.band = band.name;
    SubjectSums<2> sums;
    for (std::size_t i = 0; i < value.size(); ++i) {
      if (!band.contains(years[i])) continue;
      const bool finite = std::isfinite(value[i]);
      if (finite) sums.add(subject[i], {value[i], 1});
      (finite ? m.pairs : m.missing) += 1;
    }
    m.subjects = sums.subjects();
    m.note = detail::few_in_band(m.subjects, options);
    if (m.note.empty())
      m.mean = estimates(sums, options.bootstrap,
                         [](const SubjectSums<2>::Sums& s) { return std::array<double, 1>{s[0] / s[1]}; })[0];
    out.push_back(std::move(m));
  }
  return out;
}

}  // namespace braing3n::inline BRAING3N_ABI
