// Input, reconstruction and their difference in one picture.
#pragma once

#include "braing3n/report/planes.hpp"
#include "braing3n/volume/preprocess.hpp"
#include "braing3n/volume/statistics.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Three rows of planes through the middle, in the scan's own world. output (X, Y, Z): the model's reconstruction of p.data.
inline Image reconstruction_picture(Context<Cpu>& ctx, const Preprocessed& p, const Tensor<float, Cpu>& output) {
  const Volume before = as_volume(p.data, p.record), after = as_volume(output, p.record);
  Volume difference = after;
  for (Index i = 0; i < difference.size(); ++i) difference.data()[i] -= before.data()[i];
  const VolumeStatistics s = statistics(ctx, before.data(), before.size());
  const Vec3 centre = before.affine * Vec3{0.5 * static_cast<double>(before.shape()[0] - 1),
                                           0.5 * static_cast<double>(before.shape()[1] - 1),
                                           0.5 * static_cast<double>(before.shape()[2] - 1)};
  PlaneOptions grey;
  grey.low = s.min;
  grey.high = nonzero_quantile(before.data(), before.size(), 0.995);
  grey.centre = &centre;
  PlaneOptions signs = grey;
  signs.diverging = true;
  signs.high = (grey.high - grey.low) / 4;
  signs.low = -signs.high;
  return montage({draw_planes(ctx, before, grey), draw_planes(ctx, after, grey), draw_planes(ctx, difference, signs)},
                 1, {"input", "reconstruction", "difference: blue darker, red brighter, full at 1/4 of the range"});
}

}  // namespace braing3n::inline BRAING3N_ABI
