// Layers and models in F32, compiled once.
#include "braing3n/models/cnn_decoder3d.hpp"
#include "braing3n/models/dit3d.hpp"
#include "braing3n/models/mae3d.hpp"
#include "braing3n/models/tokenizer.hpp"

namespace braing3n::inline BRAING3N_ABI {

template struct Linear<Cpu, F32>;
template struct LayerNorm<Cpu, F32>;
template struct GroupNorm<Cpu, F32>;
template struct Mlp<Cpu, F32>;
template struct Attention<Cpu, F32>;
template struct TransformerBlock<Cpu, F32>;
template struct DitBlock<Cpu, F32>;
template struct Conv3d<Cpu, F32>;
template struct UpConv3d<Cpu, F32>;
template struct ConvTranspose3d<Cpu, F32>;
template struct ResidualConvBlock<Cpu, F32>;
template struct VoxelAttention<Cpu, F32>;
template struct ScalarEmbedding<Cpu, F32>;
template struct LabelEmbedding<Cpu, F32>;
template struct Vit3d<Cpu, F32>;
template struct Mae3d<Cpu, F32>;
template struct CnnDecoder3d<Cpu, F32>;
template struct Dit3d<Cpu, F32>;
template struct Tokenizer<Cpu, F32>;

}  // namespace braing3n::inline BRAING3N_ABI
