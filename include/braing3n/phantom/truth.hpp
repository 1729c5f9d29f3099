// The volumes of a phantom's parts, and what the laws say they should be.
#pragma once

#include <array>
#include <cmath>

#include "braing3n/phantom/law.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Millilitres. Of a rendered head: sums of its tissue maps, before blur and noise.
struct PhantomTruth {
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

inline constexpr std::array<const char*, 9> phantom_truth_columns = {
    "brain_ml",  "grey_matter_ml", "white_matter_ml", "ventricles_ml", "hippocampi_ml",
    "tumour_ml", "enhancing_ml",   "necrosis_ml",     "oedema_ml"};
inline std::array<double, 9> phantom_truth_values(const PhantomTruth& t) {
  return {t.brain,  t.grey_matter, t.white_matter, t.ventricles, t.hippocampi,
          t.tumour, t.enhancing,   t.necrosis,     t.oedema};
}

/// What a person of that age has by the laws alone, without rendering. The constants are fits to 350 rendered heads, around which
/// folding and warps scatter (one deviation): brain 2 %, grey matter 3 %, ventricles 5 %, hippocampi 6 %, tumours 30 %.
inline PhantomTruth expected_truth(const PhantomPerson& p, double age) {
  const PhantomState s = state_at(p, age);
  const double cube = p.size * p.size * p.size, aspect = p.aspect[0] * p.aspect[1] * p.aspect[2], scale = cube * aspect;
  PhantomTruth t;
  t.brain = scale * (1415 - 61 * s.gap_mm - 175 * s.sulcus_mm - 5.0 * s.sylvian_mm - 1.49 * s.ventricles_ml / cube);
  t.grey_matter = scale * (424 - 36 * s.gap_mm - 100 * s.sulcus_mm + 106 * s.cortex_mm);
  t.ventricles = aspect * s.ventricles_ml;
  t.hippocampi = 0.98 * aspect * s.hippocampi_ml;
  if (p.has_tumour()) {
    const double outer = p.tumour.radius + p.tumour.oedema, ball = std::pow(p.tumour.radius, 3);
    t.tumour = 0.0050 * ball;
    t.necrosis = t.tumour * std::pow(p.tumour.necrosis, 3);
    t.enhancing = (t.tumour - t.necrosis) * p.tumour.enhancement;
    t.oedema = 0.0026 * (outer * outer * outer - ball);
  }
  t.white_matter = t.brain - t.grey_matter - t.tumour;
  return t;
}

}  // namespace braing3n::inline BRAING3N_ABI
