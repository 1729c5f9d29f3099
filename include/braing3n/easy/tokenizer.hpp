// A trained tokenizer, ready for scans: features for probes, latents for generative models, reconstructions.
#pragma once

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "braing3n/checkpoint/volume_model.hpp"
#include "braing3n/data/feature_contract.hpp"
#include "braing3n/easy/scan.hpp"
#include "braing3n/eval/reconstruct.hpp"
#include "braing3n/ops/reduce.hpp"
#include "braing3n/volume/nifti/write.hpp"
#include "braing3n/volume/statistics.hpp"
#include "braing3n/volume/xtensor.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// One value per channel of the encoder, and the contract of the features.
struct ScanFeatures {
  xt::xtensor<float, 1> values;
  std::string contract;  // JSON: preprocessing, model and its hash, pooling; a saved probe compares it with its own
};

/// A scan that went through a tokenizer and back, on the scan's own voxels in its own intensities.
struct ScanReconstruction {
  Volume volume;
  ReconstructionScore score;  // on the model's grid
  std::string tokenizer;      // hash of the weights
  std::shared_ptr<Context<Cpu>> context;

  /// Writes .nii or .nii.gz, marked RECONSTRUCTION in its header. Throws Error (file).
  void write(const std::filesystem::path& path, const WriteOptions& write = {}) const {
    NiftiWriteOptions options;
    options.description = concat("RECONSTRUCTION braing3n tokenizer ", tokenizer);
    options.file = write;
    write_nifti(*context, path, volume, options);
  }
};

/// Made by Session::tokenizer(). Copies share the weights.
class ScanTokenizer {
 public:
  /// path: a tokenizer's file or the folder of its run. contract: for weights that carry none.
  /// Throws Error: file, config (another kind of model, no contract or another one), format (damaged).
  ScanTokenizer(std::shared_ptr<Context<Cpu>> context, const std::filesystem::path& path,
                const std::optional<PreprocessingContract>& contract = {})
      : context_(std::move(context)), path_(model_path(path)),
        loaded_(std::make_shared<const LoadedTokenizer<Cpu, F32>>(load_tokenizer<F32>(*context_, path_, contract))) {}

  /// The encoder's tokens averaged over their positions, (width). Throws Error (format) for a scan that cannot be used.
  ScanFeatures features(const Scan& scan) const {
    Pass<Cpu> pass(*context_);
    const Tensor<float, Cpu> mean = mean_tokens_forward(loaded_->model.tokens(pass, input(scan)));
    ScanFeatures f;
    f.values = xt::xtensor<float, 1>::from_shape({static_cast<std::size_t>(mean.size())});
    std::copy_n(mean.data(), mean.size(), f.values.data());
    f.contract = feature_contract(loaded_->contract, "tokenizer", loaded_->hash, "encoder", "mean").dump();
    return f;
  }

  /// Latents (X', Y', Z', channels), not standardised. Throws Error (format) for a scan that cannot be used.
  xt::xtensor<float, 4> latents(const Scan& scan) const {
    Pass<Cpu> pass(*context_);
    const Tensor<float, Cpu> z = loaded_->model.encode(pass, input(scan)).value();
    const auto extent = [&](int axis) { return static_cast<std::size_t>(z.dim(axis)); };
    auto values = xt::xtensor<float, 4>::from_shape({extent(1), extent(2), extent(3), extent(4)});
    std::copy_n(z.data(), z.size(), values.data());
    return values;
  }

  /// Encodes and decodes the scan. Voxels that are background in the scan are background in the result.
  /// Throws Error (format) for a scan that cannot be used.
  ScanReconstruction reconstruct(const Scan& scan) const {
    const Preprocessed p = preprocess_scan(*context_, scan, loaded_->contract);
    const ModelReconstruction r =
        braing3n::reconstruct(*context_, *loaded_, p.data, choose_tiling(loaded_->model.decoder));
    return {restore(*context_, r.output, p.record, &p.data), r.score, loaded_->hash, context_};
  }

  /// Everything that was loaded, for use with the layers below.
  const LoadedTokenizer<Cpu, F32>& loaded() const { return *loaded_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  Tensor<float, Cpu> input(const Scan& scan) const {
    return batch_of_one(preprocess_scan(*context_, scan, loaded_->contract).data);
  }

  std::shared_ptr<Context<Cpu>> context_;  // outlives the tensors
  std::filesystem::path path_;
  std::shared_ptr<const LoadedTokenizer<Cpu, F32>> loaded_;
};

}  // namespace braing3n::inline BRAING3N_ABI
