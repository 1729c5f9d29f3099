// The volumes of a phantom's tissues: of a rendered head, and as expected from the labels.
#pragma once

#include <array>
#include <cmath>

#include "braing3n/phantom/subject.hpp"

namespace braing3n::inline BRAING3N_ABI::phantom {

/// Millilitres. Of a rendered head: sums of its tissue maps, before blur and noise.
struct Truth {
  double brain = 0;         // everything in the head but fluid and ventricles
  double grey_matter = 0;   // cortex, deep grey matter, hippocampi
  double white_matter = 0;  // with lesions and oedema
  double ventricles = 0;    // lateral
  double hippocampi = 0;
  double tumour = 0;     // with necrosis, without oedema
  double enhancing = 0;  // tumour without necrosis, times how strongly it takes up contrast (about 0 to 1)
  double necrosis = 0;
  double oedema = 0;
};

inline constexpr std::array<const char*, 9> truth_columns = {"brain_ml",      "grey_matter_ml", "white_matter_ml",
                                                             "ventricles_ml", "hippocampi_ml",  "tumour_ml",
                                                             "enhancing_ml",  "necrosis_ml",    "oedema_ml"};
inline std::array<double, 9> truth_values(const Truth& t) {
  return {t.brain,  t.grey_matter, t.white_matter, t.ventricles, t.hippocampi,
          t.tumour, t.enhancing,   t.necrosis,     t.oedema};
}

/// Expected volumes of a subject at an age, without rendering. The constants are fits to 350 rendered heads. Folding and warps vary around
/// them by a standard deviation of 2 % (brain), 3 % (grey matter), 5 % (ventricles), 6 % (hippocampi) and 30 % (tumours).
inline Truth expected_truth(const Subject& s, double age) {
  const Morphometry m = morphometry_at(s, age);
  const double cube = s.size * s.size * s.size, aspect = s.aspect[0] * s.aspect[1] * s.aspect[2], scale = cube * aspect;
  Truth t;
  t.brain = scale * (1415 - 61 * m.gap_mm - 175 * m.sulcus_mm - 5.0 * m.sylvian_mm - 1.49 * m.ventricles_ml / cube);
  t.grey_matter = scale * (424 - 36 * m.gap_mm - 100 * m.sulcus_mm + 106 * m.cortex_mm);
  t.ventricles = aspect * m.ventricles_ml;
  t.hippocampi = 0.98 * aspect * m.hippocampi_ml;
  if (s.has_tumour()) {
    const double outer = s.tumour.radius + s.tumour.oedema, ball = std::pow(s.tumour.radius, 3);
    t.tumour = 0.0050 * ball;
    t.necrosis = t.tumour * std::pow(s.tumour.necrosis, 3);
    t.enhancing = (t.tumour - t.necrosis) * s.tumour.enhancement;
    t.oedema = 0.0026 * (outer * outer * outer - ball);
  }
  t.white_matter = t.brain - t.grey_matter - t.tumour;
  return t;
}

/// Logarithms by which folding and warps change the volumes of a subject's rendered heads, the same at every age.
struct FoldingDeviation {
  double brain = 0, ventricles = 0, hippocampi = 0, grey_matter = 0;
};

/// Standard deviations and correlations are those of 343 rendered heads of phantom-2 (40,48,40). The numbers are those of the subject's
/// index; its renderings have others of the same distribution.
inline FoldingDeviation draw_folding(const Subject& s) {
  Draws draw(s.seed, s.index, static_cast<std::uint32_t>(Stream::folding));
  const double a = draw.normal(), b = draw.normal(), c = draw.normal(), d = draw.normal();
  return {.brain = 0.021 * a,
          .ventricles = 0.044 * (0.75 * a + 0.66 * b),
          .hippocampi = 0.060 * (0.37 * a + 0.32 * b + 0.87 * c),
          .grey_matter = 0.030 * (0.58 * a - 0.08 * b + 0.08 * c + 0.81 * d)};
}

/// Brain, grey matter, ventricles and hippocampi as a rendering may have them at an age, from the expected volumes at the first visit and
/// at that age; the other volumes are the expected ones. Levels and slopes of change are fits to pairs of the same heads, five years apart:
/// ventricles grow with the 1.055th power of the expected ones, the brain loses 0.92 and grey matter 1.06 of what is expected. About
/// these the change of a rendered head varies by 3 % (hippocampi 0.1 %).
inline Truth as_rendered(const Truth& first, const Truth& at, const FoldingDeviation& d) {
  Truth t = at;
  t.ventricles = 1.055 * std::exp(d.ventricles) * first.ventricles * std::pow(first.ventricles / 30, 0.043) *
                 std::pow(at.ventricles / first.ventricles, 1.055);
  t.hippocampi = 1.015 * std::exp(d.hippocampi) * at.hippocampi;
  t.brain = std::exp(d.brain) * first.brain + 0.92 * (at.brain - first.brain);
  t.grey_matter = std::exp(d.grey_matter) * first.grey_matter + 1.06 * (at.grey_matter - first.grey_matter);
  return t;
}

}  // namespace braing3n::inline BRAING3N_ABI::phantom
