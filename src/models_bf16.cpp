// Layers and models in BF16, compiled once.
#include "braing3n/models/cnn_decoder3d.hpp"
#include "braing3n/models/dit3d.hpp"
#include "braing3n/models/mae3d.hpp"
#include "braing3n/models/tokenizer.hpp"

namespace braing3n::inline BRAING3N_ABI {

template struct Linear<Cpu, BF16>;
template struct LayerNorm<Cpu, BF16>;
template struct GroupNorm<Cpu, BF16>;
template struct Mlp<Cpu, BF16>;
template struct Attention<Cpu, BF16>;
template struct TransformerBlock<Cpu, BF16>;
template struct DitBlock<Cpu, BF16>;
template struct Conv3d<Cpu, BF16>;
template struct UpConv3d<Cpu, BF16>;
template struct ConvTranspose3d<Cpu, BF16>;
template struct ResidualConvBlock<Cpu, BF16>;
template struct VoxelAttention<Cpu, BF16>;
template struct ScalarEmbedding<Cpu, BF16>;
template struct LabelEmbedding<Cpu, BF16>;
template struct Vit3d<Cpu, BF16>;
template struct Mae3d<Cpu, BF16>;
template struct CnnDecoder3d<Cpu, BF16>;
template struct Dit3d<Cpu, BF16>;
template struct Tokenizer<Cpu, BF16>;

}  // namespace braing3n::inline BRAING3N_ABI
