// One model, one .safetensors file: its weights under PyTorch's names, and in the metadata everything needed to use them.
//
//   format               "pt", so that PyTorch tools open the file
//   braing3n.format      version of this layout
//   braing3n.kind        which model: "mae3d", "tokenizer", "dit3d", ...
//   braing3n.config      JSON of the model's config struct
//   braing3n.contract    JSON of the preprocessing the weights were trained with; empty when unknown
//   braing3n.provenance  where the weights come from: program, data, parent files
//   braing3n.licence     terms of the weights
//   braing3n.version     version of the library that wrote the file
//   braing3n.crc32       checksum of the whole file
// Other keys are free (latent statistics, notes). The tensors come from nn/state_dict.hpp.
#pragma once

#include <concepts>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/checkpoint/finite_weights.hpp"
#include "braing3n/format/json.hpp"
#include "braing3n/format/safetensors.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct ModelInfo {
  std::string kind, config, contract, provenance, licence;
  Metadata extra;  // keys without "braing3n."
  std::string version = BRAING3N_VERSION_STRING;
};

namespace detail {

constexpr int model_format = 1;
constexpr std::string_view own_prefix = "braing3n.";

inline std::string own_key(const char* name) { return std::string(own_prefix) + name; }

inline void take_own(const Metadata& metadata, const char* name, std::string& value) {
  if (const auto found = metadata.find(own_key(name)); found != metadata.end()) value = found->second;
}

inline void copy_extra(const Metadata& from, Metadata& to) {
  for (const auto& [key, value] : from)
    if (!std::string_view(key).starts_with(own_prefix) && key != "format") to.emplace(key, value);
}

/// Throws Error (format) unless the file says it is a `what` ("model", "training_state") of a layout version known here.
inline void require_own_file(const SafetensorsFile& file, const char* what) {
  std::string format, type;
  take_own(file.metadata(), "format", format);
  take_own(file.metadata(), "type", type);
  if (format.empty() || type != what)
    throw file.error(
        ErrorKind::format, "model.foreign",
        concat("the file holds ", type.empty() ? "foreign tensors" : "a " + type, ", expected a braing3n ", what));
  int version = 0;
  const auto [end, status] = std::from_chars(format.data(), format.data() + format.size(), version);
  if (status != std::errc() || end != format.data() + format.size() || version < 1 || version > model_format)
    throw file.error(ErrorKind::format, "model.format",
                     concat("layout version ", in_quotes(format, 20), ", this library knows 1 to ", model_format));
}

}  // namespace detail

/// The metadata of a model file. Throws Error (config) when the config is not JSON or a key of `extra` is reserved.
template <std::same_as<ModelInfo> Info = ModelInfo>
Metadata model_metadata(const Info& info) {
  if (info.kind.empty()) fail(ErrorKind::config, "model.kind", "model file: the kind is empty");
  (void)parse_json(info.config, "model config");
  Metadata metadata{{"format", "pt"}};
  metadata[detail::own_key("format")] = std::to_string(detail::model_format);
  metadata[detail::own_key("type")] = "model";
  metadata[detail::own_key("kind")] = info.kind;
  metadata[detail::own_key("config")] = info.config;
  metadata[detail::own_key("contract")] = info.contract;
  metadata[detail::own_key("provenance")] = info.provenance;
  metadata[detail::own_key("licence")] = info.licence;
  metadata[detail::own_key("version")] = info.version;
  for (const auto& [key, value] : info.extra) {
    if (key.starts_with(detail::own_prefix) || key == "format")
      fail(ErrorKind::config, "model.key", "model file: the metadata key ", in_quotes(key), " is reserved");
    metadata[key] = value;
  }
  return metadata;
}

/// Throws Error (numeric) for weights that are not finite, naming the tensor; nothing is written then.
template <std::same_as<ModelInfo> Info = ModelInfo>
void write_model(const std::filesystem::path& path, const Info& info, std::span<const NamedTensor> tensors,
                 const WriteOptions& options = {}) {
  require_finite_weights(tensors, path.string());
  write_safetensors(path, tensors, model_metadata(info), options, true);
}

/// A model file, or the folder of a training that holds one. Throws Error (file) for a folder without.
inline std::filesystem::path model_path(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(path, ignored)) return path;
  const std::filesystem::path inside = path / "model.safetensors";
  if (!std::filesystem::exists(inside, ignored) && !ignored)
    throw Error(ErrorKind::file, "model.folder",
                std::filesystem::exists(path / "state.safetensors", ignored)
                    ? "a training that has written no model.safetensors yet: it does so with its first validation"
                    : "a folder without model.safetensors; expected a model file or the folder of a training",
                path.string());
  return inside;
}

/// An open model file. It offers what load_state() of nn/state_dict.hpp reads from.
class ModelFile {
 public:
  /// path: the file, or the folder of a training. verify: read the whole file once and compare its checksum. Throws Error: file, format
  /// (damaged and foreign files).
  explicit ModelFile(const std::filesystem::path& path, bool verify = true) : file_(model_path(path)) {
    detail::require_own_file(file_, "model");
    if (verify && !file_.verify_checksum())
      throw file_.error(ErrorKind::format, "model.checksum", "the model file carries no checksum");
    const Metadata& m = file_.metadata();
    detail::take_own(m, "kind", info_.kind);
    detail::take_own(m, "config", info_.config);
    detail::take_own(m, "contract", info_.contract);
    detail::take_own(m, "provenance", info_.provenance);
    detail::take_own(m, "licence", info_.licence);
    detail::take_own(m, "version", info_.version);
    detail::copy_extra(m, info_.extra);
  }

  const ModelInfo& info() const { return info_; }
  const SafetensorsFile& file() const { return file_; }
  const std::string& path() const { return file_.path(); }

  /// Throws Error (config) naming both kinds.
  void require_kind(const std::string& kind) const {
    if (info_.kind != kind)
      throw Error(ErrorKind::config, "model.kind",
                  concat("the file holds a model of kind ", in_quotes(info_.kind, 60), ", expected ", in_quotes(kind)),
                  path());
  }
  template <class Config>
  Config config() const {
    return config_from_text<Config>(info_.config, path() + ": config");
  }

  const std::vector<NamedTensor>& tensors() const { return file_.tensors(); }
  bool contains(const std::string& name) const { return file_.contains(name); }
  const NamedTensor& info(const std::string& name) const { return file_.info(name); }
  template <class T>
  std::vector<T> read(const std::string& name) const {
    return file_.read<T>(name);
  }

 private:
  SafetensorsFile file_;
  ModelInfo info_;
};

}  // namespace braing3n::inline BRAING3N_ABI
