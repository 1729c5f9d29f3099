// Multiplications and additions of the paper's models: linear layers, attention products and convolutions (the models' nominal cost).
#pragma once

namespace braing3n::bench {

struct Transformer {
  double width, depth, mlp, tokens, batch;
  double flop() const {
    const double linear = tokens * width * (4 * width + 2 * mlp), attention = 2 * tokens * tokens * width;
    return 2 * batch * depth * (linear + attention);
  }
};

/// Of one evaluation of the diffusion transformer.
inline double dit_flop(double batch) { return Transformer{1152, 12, 4608, 1200, batch}.flop(); }
/// Of the masked autoencoder with 30 % of its tokens visible.
inline double mae_flop(double batch) {
  return Transformer{1152, 12, 4608, 361, batch}.flop() + Transformer{1152, 8, 4608, 1201, batch}.flop() +
         2.0 * batch * (360.0 * 4096 * 1152 + 361.0 * 1152 * 1152 + 1201.0 * 1152 * 4096);
}
/// Of the decoder; its up-convolutions at full price, although eight pre-summed 2^3 kernels do less.
inline double decoder_flop(double batch) { return 0.915e12 * batch; }

}  // namespace braing3n::bench
