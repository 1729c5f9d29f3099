// Times between visits.
#pragma once

#include "braing3n/base/config.hpp"

namespace braing3n::inline BRAING3N_ABI {

inline constexpr double days_per_year = 365.25;

/// Visits are dated in whole days and rarely on the day that was planned. Visits that are no further apart than this many years (18 days) are
/// repeats, without a change, and a limit of a horizon holds up to it: a visit after 1.05 years is one after a year.
inline constexpr double horizon_margin = 0.05;

}  // namespace braing3n::inline BRAING3N_ABI
