// What is known of the change of phantoms at their first visit, for the pairs of a table.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "braing3n/base/years.hpp"
#include "braing3n/data/visit_pairs.hpp"
#include "braing3n/phantom/change_oracle.hpp"
#include "braing3n/study/forecast_reading.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

class KnownChange {
 public:
  /// Fitted on so many phantoms of a seed of its own, so that none is a subject of the table.
  KnownChange(phantom::PhantomDistribution distribution, Index draws)
      : oracle_(phantom::fit_change_oracle({.seed = 0x0facade, .distribution = distribution}, draws, horizons)) {}

  /// The place of a quantity among the volumes whose change is known.
  static std::optional<std::size_t> volume(const std::string& quantity) {
    const auto column = std::find(phantom::change_columns.begin(), phantom::change_columns.end(), quantity);
    if (column == phantom::change_columns.end()) return std::nullopt;
    return static_cast<std::size_t>(column - phantom::change_columns.begin());
  }

  /// None beyond the last horizon, or for a subject of which something is not known.
  std::optional<phantom::ExpectedChanges> after(const VisitPair& p, const Manifest& table,
                                                const std::vector<MeasuredQuantity>& quantities) const {
    const auto disease = table.text(p.from, "disease"), sex = table.text(p.from, "sex");
    if (!disease || !sex || p.years > horizons.back() + horizon_margin) return std::nullopt;
    const auto d = find_enum<Disease>(*disease);
    const auto s = find_enum<Sex>(*sex);
    const auto value = [&](const char* name) {
      for (const MeasuredQuantity& q : quantities)
        if (q.name == name) return q.value[static_cast<std::size_t>(p.from)];
      return not_a_number;
    };
    phantom::Truth t;
    t.brain = value("brain_ml"), t.grey_matter = value("grey_matter_ml");
    t.ventricles = value("ventricles_ml"), t.hippocampi = value("hippocampi_ml");
    for (const double ml : {t.brain, t.grey_matter, t.ventricles, t.hippocampi})
      if (!(ml > 0)) return std::nullopt;
    if (!d || !s) return std::nullopt;
    return oracle_.predict(*d, p.age, *s, t, std::min(p.years, horizons.back()));
  }

 private:
  static constexpr std::array horizons = {1.0, 2.0, 3.0, 5.0, 7.0, 10.0};  // years
  phantom::ChangeOracle oracle_;
};

}  // namespace braing3n::inline BRAING3N_ABI::study
