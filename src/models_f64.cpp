// Layers and models in F64, compiled once.
#include "braing3n/models/cnn_decoder3d.hpp"
#include "braing3n/models/dit3d.hpp"
#include "braing3n/models/mae3d.hpp"
#include "braing3n/models/tokenizer.hpp"

namespace braing3n::inline BRAING3N_ABI {

template struct Linear<Cpu, F64>;
template struct LayerNorm<Cpu, F64>;
template struct GroupNorm<Cpu, F64>;
template struct Mlp<Cpu, F64>;
template struct Attention<Cpu, F64>;
template struct TransformerBlock<Cpu, F64>;
template struct DitBlock<Cpu, F64>;
template struct Conv3d<Cpu, F64>;
template struct UpConv3d<Cpu, F64>;
template struct ConvTranspose3d<Cpu, F64>;
template struct ResidualConvBlock<Cpu, F64>;
template struct VoxelAttention<Cpu, F64>;
template struct ScalarEmbedding<Cpu, F64>;
template struct LabelEmbedding<Cpu, F64>;
template struct Vit3d<Cpu, F64>;
template struct Mae3d<Cpu, F64>;
template struct CnnDecoder3d<Cpu, F64>;
template struct Dit3d<Cpu, F64>;
template struct Tokenizer<Cpu, F64>;

}  // namespace braing3n::inline BRAING3N_ABI
