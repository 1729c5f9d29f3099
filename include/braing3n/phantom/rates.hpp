// The two distributions of phantoms, which differ in how much subjects of one age and disease vary: in the size of their ventricles, the
// thickness of their cortex, and the pace at which they change after the first visit. The numbers are in the table of subject.hpp.
//
// phantom-1: everybody of a disease changes nearly alike, so the disease forecasts the change.
// phantom-2: subjects have a pace of their own, of which the first scan tells a part.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "braing3n/base/enum_names.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace phantom {

/// Stands in every report about phantoms: figures of different distributions cannot be compared.
enum class PhantomDistribution { phantom_1, phantom_2 };

}  // namespace phantom

template <>
struct EnumText<phantom::PhantomDistribution> {
  static constexpr std::array<std::string_view, 2> names = {"phantom-1", "phantom-2"};
};

namespace phantom {

/// What a distribution says about variation between subjects of one age, sex and disease.
struct Variation {
  double ventricles = 0.15;    // sd of the logarithm of their volume
  double cortex = 0.04;        // sd of the thickness, mm
  double pace = 0;             // sd of the logarithm of the pace
  double pace_ventricles = 0;  // correlation of that logarithm with the ventricles' size for age ...
  double pace_cortex = 0;      // ... and with the cortex' thickness for age
  double most_ventricles = 0;  // ml at which growing ventricles saturate; 0: never
};

constexpr Variation variation_of(PhantomDistribution distribution) {
  if (distribution == PhantomDistribution::phantom_1) return {};
  return {.ventricles = 0.39,
          .cortex = 0.08,
          .pace = 0.43,
          .pace_ventricles = 0.15,
          .pace_cortex = -0.35,
          .most_ventricles = 200};
}

/// The pace of a subject: years of change per year after the first visit, about 1 on average. Arguments are in standard deviations: the
/// ventricles' size for age, the cortex' thickness for age, and what no scan shows. Log-normal, its logarithm held within two standard deviations.
inline double pace_of(const Variation& v, double ventricles, double cortex, double hidden) {
  if (v.pace == 0) return 1;
  const double rest = std::sqrt(1 - v.pace_ventricles * v.pace_ventricles - v.pace_cortex * v.pace_cortex);
  const double z = v.pace_ventricles * ventricles + v.pace_cortex * cortex + rest * hidden;
  return std::exp(v.pace * std::clamp(z, -2.0, 2.0) - 0.5 * v.pace * v.pace);
}

/// Volume of ventricles that would have `ml`; below `most`, and always growing with ml.
inline double saturated_ventricles(double ml, double most) {
  return most > 0 ? ml / std::sqrt(std::sqrt(1 + std::pow(ml / most, 4))) : ml;
}

}  // namespace phantom
}  // namespace braing3n::inline BRAING3N_ABI
