// Constructor arguments of the peers' models, as JSON under the peers' own names, to our configs.
//
// Arguments that are absent have the peer's defaults. Arguments that do not change the function computed (dropout, attention
// kernels) and keys that are none of the peer's are ignored and listed. An argument whose value we cannot compute is an Error
// (config).
#pragma once

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/checkpoint/convert.hpp"
#include "braing3n/format/json.hpp"
#include "braing3n/models/cnn_decoder3d.hpp"
#include "braing3n/models/mae3d.hpp"
#include "braing3n/nn/state_dict.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Reads keys of a JSON object and remembers which were asked for.
class PeerArguments {
 public:
  PeerArguments(Json json, std::string where) : json_(std::move(json)), where_(std::move(where)) {
    if (!json_.is_object())
      throw Error(ErrorKind::config, "peer.object", "expected an object with the constructor arguments", where_);
  }

  /// The first of `names` that is present; otherwise the default, or an error when there is none.
  template <class T>
  T get(std::initializer_list<const char*> names, std::optional<T> otherwise = std::nullopt) {
    const Json* found = nullptr;
    std::string key;
    for (const char* name : names) {
      const auto at = json_.find(name);
      if (at == json_.end()) continue;
      used_.emplace_back(name);
      if (found == nullptr) {
        found = &*at;
        key = name;
      } else if (*found != *at) {
        throw Error(ErrorKind::config, "peer.twice", concat(key, " and ", name, " say different things"), where_);
      }
    }
    if (found == nullptr) {
      if (!otherwise)
        throw Error(ErrorKind::config, "peer.missing",
                    concat("the argument ", in_quotes(*names.begin()), " is missing"), where_);
      return *otherwise;
    }
    T value{};
    detail::json_to_value(*found, value, detail::JsonPlace{where_, key});
    return value;
  }

  /// One number for all axes, or one per axis.
  Extent3 extent(std::initializer_list<const char*> names) {
    for (const char* name : names)
      if (json_.contains(name) && json_[name].is_number()) {
        const Index n = get<Index>(names);
        return {n, n, n};
      }
    return get<Extent3>(names);
  }
  /// One number for all of n levels, or one per level.
  std::vector<Index> per_level(std::initializer_list<const char*> names, std::size_t n) {
    for (const char* name : names)
      if (json_.contains(name) && json_[name].is_number()) return std::vector<Index>(n, get<Index>(names));
    return get<std::vector<Index>>(names, std::vector<Index>(n, 2));
  }

  template <class T>
  void require(const char* name, T only, std::initializer_list<T> also = {}) {
    const T value = get<T>({name}, only);
    bool good = value == only;
    for (const T& other : also) good = good || value == other;
    if (!good)
      throw Error(ErrorKind::config, "peer.unsupported", concat(name, ": ", json_[name].dump(), " is not supported"),
                  where_);
  }
  /// Present or not, it does not matter.
  void no_effect(std::initializer_list<const char*> names) {
    for (const char* name : names)
      if (json_.contains(name)) {
        used_.emplace_back(name);
        ignored_.emplace_back(name);
      }
  }

  /// What was not asked for, after everything was asked for.
  std::vector<std::string> ignored() const {
    std::vector<std::string> keys = ignored_;
    for (const auto& [key, value] : json_.items())
      if (std::find(used_.begin(), used_.end(), key) == used_.end()) keys.push_back(key);
    return keys;
  }

 private:
  Json json_;
  std::string where_;
  std::vector<std::string> used_, ignored_;
};

template <class Config>
struct PeerConfig {
  Config config;
  std::vector<std::string> ignored;
};

namespace detail {

inline Mae3dConfig monai_mae_config(PeerArguments& a) {
  Mae3dConfig c;
  c.encoder.channels = a.get<Index>({"in_channels"});
  c.encoder.image = a.extent({"img_size"});
  c.encoder.patch = a.extent({"patch_size"});
  c.encoder.width = a.get<Index>({"hidden_size"}, 768);
  c.encoder.mlp = a.get<Index>({"mlp_dim"}, 512);
  c.encoder.depth = a.get<Index>({"num_layers"}, 12);
  c.encoder.heads = a.get<Index>({"num_heads"}, 12);
  c.encoder.qkv_bias = a.get<bool>({"qkv_bias"}, false);
  c.encoder.layer_norm_eps = 1e-5;   // PyTorch's default
  c.encoder.class_position = false;  // nothing is added to the class token
  const std::string positions = a.get<std::string>({"pos_embed_type"}, "sincos"),
                    decoder_positions = a.get<std::string>({"decoder_pos_embed_type"}, "sincos");
  if ((positions != "sincos" && positions != "learnable") || decoder_positions != positions)
    fail(ErrorKind::config, "peer.unsupported", "pos_embed_type ", in_quotes(positions),
         " with decoder_pos_embed_type ", in_quotes(decoder_positions),
         ": both must be \"sincos\" or both \"learnable\"");
  c.encoder.position = positions == "sincos" ? PositionKind::sincos : PositionKind::learned;
  c.decoder_width = a.get<Index>({"decoder_hidden_size"}, 384);
  c.decoder_mlp = a.get<Index>({"decoder_mlp_dim"}, 512);
  c.decoder_depth = a.get<Index>({"decoder_num_layers"}, 4);
  c.decoder_heads = a.get<Index>({"decoder_num_heads"}, 12);
  c.masking_ratio = a.get<double>({"masking_ratio"}, 0.75);
  const std::string projection = a.get<std::string>({"proj_type"}, "conv");
  if (projection != "conv" && (projection != "perceptron" || c.encoder.channels != 1))
    fail(ErrorKind::config, "peer.unsupported", "proj_type ", in_quotes(projection), " with ", c.encoder.channels,
         " channels is not supported");
  a.require<Index>("spatial_dims", 3);
  a.no_effect({"dropout_rate", "save_attn"});
  return c;
}

inline Mae3dConfig timm_mae_config(PeerArguments& a) {
  Mae3dConfig c;
  c.encoder.channels = a.get<Index>({"in_chans", "in_channels"}, 3);
  c.encoder.image = a.extent({"img_size"});
  c.encoder.patch = a.extent({"patch_size"});
  c.encoder.width = a.get<Index>({"embed_dim", "hidden"}, 1024);
  c.encoder.depth = a.get<Index>({"depth", "layers"}, 24);
  c.encoder.heads = a.get<Index>({"num_heads", "heads"}, 16);
  c.encoder.qkv_bias = a.get<bool>({"qkv_bias"}, true);
  c.encoder.layer_norm_eps = a.get<double>({"layer_norm_eps"}, 1e-6);
  c.decoder_width = a.get<Index>({"decoder_embed_dim", "decoder_hidden"}, 512);
  c.decoder_depth = a.get<Index>({"decoder_depth", "decoder_layers"}, 8);
  c.decoder_heads = a.get<Index>({"decoder_num_heads", "decoder_heads"}, 16);
  const double ratio = a.get<double>({"mlp_ratio"}, 4.0);
  c.encoder.mlp = a.get<Index>({"mlp"}, static_cast<Index>(static_cast<double>(c.encoder.width) * ratio));
  c.decoder_mlp = a.get<Index>({"decoder_mlp"}, static_cast<Index>(static_cast<double>(c.decoder_width) * ratio));
  c.norm_pix_loss = a.get<bool>({"norm_pix_loss"}, false);
  c.masking_ratio = a.get<double>({"masking_ratio", "mask_ratio"}, 0.75);
  return c;
}

}  // namespace detail

/// MONAI MaskedAutoEncoderViT or facebookresearch/mae arguments.
inline PeerConfig<Mae3dConfig> mae_config_from_peer(const Json& json, WeightSource from, const std::string& where) {
  PeerArguments arguments(json, where);
  try {
    const Mae3dConfig config =
        from == WeightSource::monai ? detail::monai_mae_config(arguments) : detail::timm_mae_config(arguments);
    config.validate();
    return {config, arguments.ignored()};
  } catch (const Error& e) {
    throw e.at(where);
  }
}

/// MONAI or GenerativeModels AutoencoderKL arguments. The 1^3 convolution that MONAI applies to a latent first becomes the first
/// layer. `grid` is the latent's, which the peer does not state.
inline PeerConfig<CnnDecoder3dConfig> decoder_config_from_peer(const Json& json, const std::string& where,
                                                               const Extent3& grid = {10, 12, 10}) {
  PeerArguments a(json, where);
  try {
    AutoencoderKlDecoderOptions o;
    o.channels = a.get<std::vector<Index>>({"channels", "num_channels"});
    o.residuals = a.per_level({"num_res_blocks"}, o.channels.size());
    o.attention = a.get<std::vector<bool>>({"attention_levels"});
    o.latent_channels = a.get<Index>({"latent_channels"}, 3);
    o.mid_attention = a.get<bool>({"with_decoder_nonlocal_attn"}, true);
    o.transposed = a.get<bool>({"use_convtranspose"}, false);
    o.groups = a.get<Index>({"norm_num_groups"}, 32);
    o.out_channels = a.get<Index>({"out_channels"}, 1);
    CnnDecoder3dConfig c = autoencoder_kl_decoder(o);
    c.group_norm_eps = a.get<double>({"norm_eps"}, 1e-6);
    c.grid = grid;
    c.layers.insert(c.layers.begin(), {DecoderLayerKind::conv1, o.latent_channels, "post_quant_conv"});
    a.require<Index>("spatial_dims", 3);
    a.no_effect({"in_channels", "with_encoder_nonlocal_attn", "use_checkpoint", "use_checkpointing", "include_fc",
                 "use_combined_linear", "use_flash_attention"});
    return {c, a.ignored()};
  } catch (const Error& e) {
    throw e.at(where);
  }
}

/// Names and file shapes of a model's parameters, for plan_conversion(). The model need not have values.
template <class Model>
std::vector<ExpectedTensor> expected_tensors(const Model& model) {
  std::vector<ExpectedTensor> expected;
  for_each_parameter(model, [&](const std::string& name, const auto& parameter) {
    const Shape shape = file_shape(parameter.spec());
    expected.push_back({name, {shape.extents().begin(), shape.extents().end()}, parameter.spec().fixed});
  });
  return expected;
}

}  // namespace braing3n::inline BRAING3N_ABI
