// A preprocessed volume through a tokenizer and back, with scores and the time that each half took.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/checkpoint/volume_model.hpp"
#include "braing3n/eval/reconstruction.hpp"
#include "braing3n/models/tiled_decode.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct ModelReconstruction {
  Tensor<float, Cpu> output;  // (X, Y, Z) on the model's grid, in the model's intensities
  ReconstructionScore score;  // whole volume, and voxels of the input that are not 0
  double encode_seconds = 0, decode_seconds = 0;
};

/// input (X, Y, Z) on the model's grid. With a tight tiling every phase frees its memory. Throws Error: shape, environment.
template <Precision P>
ModelReconstruction reconstruct(Context<Cpu>& ctx, const LoadedTokenizer<Cpu, P>& tokenizer,
                                const Tensor<float, Cpu>& input, const DecodeTiling& tiling) {
  using T = typename P::Compute;
  using Clock = std::chrono::steady_clock;
  const auto end_phase = [&] {
    if (tiling.tight) ctx.memory().trim();
  };
  const auto seconds = [](Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration<double>(to - from).count();
  };
  const Shape& s = input.shape();
  Pass<Cpu> pass(ctx);
  ModelReconstruction r;
  end_phase();
  const auto begin = Clock::now();
  Tensor<T, Cpu> z = tokenizer.model.encode(pass, cast<T>(input.reshape({1, s[0], s[1], s[2], 1}))).value();
  end_phase();
  const auto encoded = Clock::now();
  r.output = cast<float>(decode(pass, tokenizer.model.decoder, std::move(z), tiling)).reshape(s);
  end_phase();
  r.encode_seconds = seconds(begin, encoded);
  r.decode_seconds = seconds(encoded, Clock::now());
  r.score = score_reconstruction(ctx, input, r.output, nonzero_mask(input));
  return r;
}

/// The same on any backend, with the decoder on whole volumes.
inline ModelReconstruction reconstruct(Context<Cpu>& host, const AnyTokenizer& tokenizer,
                                       const Tensor<float, Cpu>& input) {
  using Clock = std::chrono::steady_clock;
  const Shape& s = input.shape();
  ModelReconstruction r;
  const auto begin = Clock::now();
  const Tensor<float, Cpu> z = tokenizer.encode(host, input.reshape({1, s[0], s[1], s[2], 1}));
  const auto encoded = Clock::now();
  r.output = tokenizer.decode(host, z).reshape(s);
  r.encode_seconds = std::chrono::duration<double>(encoded - begin).count();
  r.decode_seconds = std::chrono::duration<double>(Clock::now() - encoded).count();
  r.score = score_reconstruction(host, input, r.output, nonzero_mask(input));
  return r;
}

/// Names of score_values(), as columns of a table.
inline const std::vector<std::string>& score_columns() {
  static const std::vector<std::string> names = {"psnr_extremes",      "psnr_percentile",      "ssim",      "mae",
                                                 "mask_psnr_extremes", "mask_psnr_percentile", "mask_ssim", "mask_mae"};
  return names;
}

inline std::vector<double> score_values(const ReconstructionScore& s) {
  return {s.whole.psnr_extremes, s.whole.psnr_percentile, s.whole.ssim, s.whole.mae,
          s.mask.psnr_extremes,  s.mask.psnr_percentile,  s.mask.ssim,  s.mask.mae};
}

}  // namespace braing3n::inline BRAING3N_ABI
