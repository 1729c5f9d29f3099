// Models to files and back: the weights under their state-dict names, the config as JSON (checkpoint/model_file.hpp has the layout).
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "braing3n/checkpoint/model_file.hpp"
#include "braing3n/nn/state_dict.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// All parameters of a model in file order.
template <class Model>
std::vector<NamedTensor> state_tensors(const Model& model) {
  std::vector<NamedTensor> tensors;
  for_each_state(model, [&](const std::string& name, const Shape& shape, auto values) {
    const auto extents = shape.extents();
    tensors.push_back(named_tensor(name, std::vector<Index>(extents.begin(), extents.end()), std::move(values)));
  });
  return tensors;
}

/// Writes the model with its own config; `info` gives kind, contract, provenance, licence and further keys.
template <class Model>
void save_model(const std::filesystem::path& path, const Model& model, ModelInfo info,
                const WriteOptions& options = {}) {
  info.config = json_text(model.config);
  write_model(path, info, state_tensors(model), options);
}

/// The tensors of a file whose names begin with a prefix, without it: "encoder." of a tokenizer is a vit3d.
class FilePart {
 public:
  FilePart(const ModelFile& file, std::string prefix) : file_(&file), prefix_(std::move(prefix)) {
    for (const NamedTensor& t : file.tensors())
      if (t.name.starts_with(prefix_)) {
        tensors_.push_back(t);
        tensors_.back().name.erase(0, prefix_.size());
      }
  }
  const std::vector<NamedTensor>& tensors() const { return tensors_; }
  bool contains(const std::string& name) const { return file_->contains(prefix_ + name); }
  const NamedTensor& info(const std::string& name) const { return file_->info(prefix_ + name); }
  template <class T>
  std::vector<T> read(const std::string& name) const {
    return file_->read<T>(prefix_ + name);
  }

 private:
  const ModelFile* file_;
  std::string prefix_;
  std::vector<NamedTensor> tensors_;
};

/// Fills a model, or a part of one from the tensors under `prefix`. Throws Error (format) naming the first tensors that are missing
/// or of another shape, and Error (numeric) naming a tensor with a value that is not finite; tensors that the model does not have are
/// left alone.
template <class Model>
void load_weights(Model& model, const ModelFile& file, const std::string& prefix = {},
                  const LoadOptions& options = {}) {
  const FilePart part(file, prefix);
  require_finite_weights(part.tensors(), file.path());
  const LoadReport report = load_state(model, part, options);
  if (!report.complete())
    throw Error(ErrorKind::format, "model.weights",
                concat("the weights do not fit the model: ", report.missing.size(), " missing, ",
                       report.wrong_shape.size(), " of another shape\n", report.str()),
                file.path());
}

/// A model of the kind asked for. Throws Error: config (another kind, a bad config), format (weights that do not fit).
template <class Model, Backend B>
Model load_model(Context<B>& context, const ModelFile& file, const std::string& kind, const LoadOptions& options = {}) {
  file.require_kind(kind);
  Model model(context, file.config<decltype(model.config)>());
  load_weights(model, file, {}, options);
  return model;
}

/// What tells one model file from another: its checksum, eight digits.
inline std::string model_hash(const ModelFile& file) {
  std::string hash;
  detail::take_own(file.file().metadata(), "crc32", hash);
  return hash;
}

}  // namespace braing3n::inline BRAING3N_ABI
