// Tensor names of other programs under ours, rule by rule. See convert.hpp for what the sources are.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "braing3n/base/config.hpp"
#include "braing3n/base/text.hpp"

namespace braing3n::inline BRAING3N_ABI {

enum class WeightSource { monai, timm };
enum class WeightTarget { mae, encoder, autoencoder_decoder };

namespace detail {

struct Renamed {
  std::vector<std::string> targets;  // several: the rows are cut into equal pieces
  std::string ignored;               // or the reason why the tensor is not needed
};

inline std::vector<std::string_view> name_parts(std::string_view name) {
  std::vector<std::string_view> parts;
  for (std::size_t at = 0; at <= name.size();) {
    const std::size_t dot = std::min(name.find('.', at), name.size());
    parts.push_back(name.substr(at, dot - at));
    at = dot + 1;
  }
  return parts;
}

inline bool is_integer(std::string_view s) {
  return !s.empty() && s.find_first_not_of("0123456789") == std::string_view::npos;
}

inline std::string replaced_start(const std::string& name,
                                  std::span<const std::pair<std::string_view, std::string_view>> rules) {
  for (const auto& [from, to] : rules)
    if (name == from || name.starts_with(std::string(from) + ".")) return std::string(to) + name.substr(from.size());
  return name;
}

/// MONAI MaskedAutoEncoderViT -> facebookresearch/mae.
inline Renamed rename_monai_mae(const std::string& name) {
  constexpr std::pair<std::string_view, std::string_view> top[] = {
      {"mask_tokens", "mask_token"},
      {"decoder_pos_embedding", "decoder_pos_embed"},
      {"patch_embedding.position_embeddings", "pos_embed"},
      {"patch_embedding.patch_embeddings.1", "patch_embed.proj"},  // proj_type "perceptron"
      {"patch_embedding.patch_embeddings", "patch_embed.proj"}};
  constexpr std::pair<std::string_view, std::string_view> inner[] = {
      {"mlp.linear1", "mlp.fc1"}, {"mlp.linear2", "mlp.fc2"}, {"attn.out_proj", "attn.proj"}};
  const std::vector<std::string_view> parts = name_parts(name);
  if (parts.size() < 3 || (parts[0] != "blocks" && parts[0] != "decoder_blocks") || !is_integer(parts[1]))
    return {{replaced_start(name, top)}, {}};
  if (parts.size() == 3) return {{(parts[0] == "blocks" ? "norm." : "decoder_norm.") + std::string(parts[2])}, {}};
  if (parts[2] == "cross_attn" || parts[2] == "norm_cross_attn")
    return {{}, "cross attention, which MONAI stores and never uses"};
  return {
      {joined(std::span(parts).first(2), ".") + "." + replaced_start(joined(std::span(parts).subspan(2), "."), inner)},
      {}};
}

/// MONAI or GenerativeModels AutoencoderKL -> cnn_decoder3d as autoencoder_kl_decoder() names it.
inline Renamed rename_monai_decoder(const std::string& name) {
  if (name.starts_with("encoder.") || name.starts_with("quant_conv_"))
    return {{}, "the encoder; this model is the decoder"};
  if (name.starts_with("post_quant_conv.")) return {{"post_quant_conv" + name.substr(name.rfind('.'))}, {}};
  const std::vector<std::string_view> parts = name_parts(name);
  if (parts.size() < 4 || parts[0] != "decoder" || parts[1] != "blocks" || !is_integer(parts[2])) return {{name}, {}};
  const std::string block = joined(std::span(parts).subspan(1, 2), ".");
  const std::string inside = joined(std::span(parts).subspan(3), "."), leaf(parts.back());
  if (inside.starts_with("proj_attn.")) return {{}, "proj_attn, which GenerativeModels stores and never uses"};
  const std::string layer =
      inside.size() > leaf.size() ? inside.substr(0, inside.size() - leaf.size() - 1) : std::string();
  if (layer.empty() || layer == "conv" || layer == "conv.conv" || layer == "postconv.conv" || layer == "deconv")
    return {{block + "." + leaf}, {}};
  if (layer == "attn.qkv") return {{block + ".q." + leaf, block + ".k." + leaf, block + ".v." + leaf}, {}};
  constexpr std::pair<std::string_view, std::string_view> rules[] = {{"conv1.conv", "conv1"},
                                                                     {"conv2.conv", "conv2"},
                                                                     {"nin_shortcut.conv", "shortcut"},
                                                                     {"attn.to_q", "q"},
                                                                     {"attn.to_k", "k"},
                                                                     {"attn.to_v", "v"},
                                                                     {"attn.out_proj", "out"},
                                                                     {"to_q", "q"},
                                                                     {"to_k", "k"},
                                                                     {"to_v", "v"},
                                                                     {"out_proj", "out"}};
  return {{block + "." + replaced_start(layer, rules) + "." + leaf}, {}};
}

inline Renamed renamed(WeightSource source, WeightTarget target, const std::string& name) {
  if (target == WeightTarget::autoencoder_decoder) return rename_monai_decoder(name);
  Renamed r = source == WeightSource::monai ? rename_monai_mae(name) : Renamed{{name}, {}};
  if (target == WeightTarget::encoder && !r.targets.empty() &&
      (r.targets[0].starts_with("decoder_") || r.targets[0].starts_with("mask_token")))
    return {{}, "the decoder; this model is the encoder"};
  return r;
}

}  // namespace detail

}  // namespace braing3n::inline BRAING3N_ABI
