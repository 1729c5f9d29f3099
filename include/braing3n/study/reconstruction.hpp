// How well a tokenizer reconstructs scans of unseen subjects, next to simpler codes of the same size:
//
//   trilinear                   down-sampling to about as many voxels as the tokenizer has values, in two ways, and back
//   components of patches       principal components of patches, as many as the tokenizer has channels
//   linear readout of tokens    patches from as many linear functions of the encoder's own tokens
//   mean of the training scans  the floor: a prediction without the scan
// Every method reconstructs the same scans, and scores are compared scan by scan. With a truth, the volumes of regions are estimated in
// scans and in reconstructions, each by a regression fitted on volumes of its own kind: are sizes preserved?
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/base/moments.hpp"
#include "braing3n/device/models.hpp"
#include "braing3n/eval/downsampling.hpp"
#include "braing3n/eval/patch_pca.hpp"
#include "braing3n/eval/region_regressor.hpp"
#include "braing3n/eval/token_readout.hpp"
#include "braing3n/phantom/cohort_record.hpp"
#include "braing3n/report/previews.hpp"
#include "braing3n/study/reconstruction_result.hpp"
#include "braing3n/study/region_truth.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

/// One study: simpler codes are fitted on the other subjects, then every method reconstructs the scored scans.
class ReconstructionStudy {
 public:
  /// Throws what reading models and tables throws, and Error: argument (subjects that are not unseen, sets that overlap), config (tokenizers of
  /// different contracts).
  ReconstructionStudy(const Machine& machine, const ReconstructionOptions& options, Observer& observer)
      : ctx_(machine.host), options_(options), observer_(&observer), machine_(machine),
        tokenizer_(open_tokenizer(machine, options.tokenizer)), encoder_(tokenizer_->tokenizer_config().encoder),
        manifest_(prepared()), source_(scan_source(manifest_, tokenizer_->contract, {.findings = findings_})),
        patch_{encoder_.patch[0], encoder_.patch[1], encoder_.patch[2]}, pca_(patch_) {
    const Split split = read_split(options.cohort.split);
    test_ = rows_of(manifest_, split, options.test);
    std::vector<ModelBehind> models = {{"tokenizer", options.tokenizer}};
    for (const NamedModel& other : options.beside) models.push_back({"tokenizer", other.path});
    require_unseen(models, test_, manifest_, observer);
    for (const std::string& set : options.baseline_sets) {
      require_other_set(set, options.test, "is scored: nothing may be fitted on it");
      const std::vector<Index> rows = rows_of(manifest_, split, set);
      fit_.insert(fit_.end(), rows.begin(), rows.end());
    }
    if (!options.truth.empty()) truth_.emplace(options.truth);
  }

  ReconstructionStudy(const ReconstructionStudy&) = delete;
  ReconstructionStudy& operator=(const ReconstructionStudy&) = delete;

  /// Once. Throws Error when no scan of a set can be read, and what the observer throws.
  ReconstructionResult run() {
    fit_baselines();
    add_methods();
    score();
    result_.set = options_.test;
    result_.distribution = phantom::distribution_name_beside(options_.cohort.data);
    result_.tokens = encoder_.tokens();
    result_.channels = tokenizer_->tokenizer_config().bottleneck;
    result_.values = values();
    result_.coarse_values = voxel_count(coarse());
    result_.difference_to_trilinear = differences_to_trilinear(result_.scores, first_trilinear_);
    for (const MethodScores& m : result_.scores) result_.methods.emplace_back(m.name, m.mean());
    result_.scan_border_jump = moments(scan_border_).mean;
    if (truth_) add_region_errors();
    result_.left_out = left_out(failures_, manifest_);
    tell_findings(*findings_, *observer_);
    return std::move(result_);
  }

 private:
  using Voxels = Tensor<float, Cpu>;  // (1, X, Y, Z, 1)
  using Reconstruct = std::function<Voxels(const Voxels&)>;
  /// Per region: sums of the relative error and of its size.
  using RegionErrors = std::array<std::array<double, 2>, std::tuple_size_v<TissueVolumes>>;

  Manifest prepared() {
    for (const NamedModel& other : options_.beside) {
      others_.push_back(open_tokenizer(machine_, other.path));
      if (!(others_.back()->contract == tokenizer_->contract))
        fail(ErrorKind::config, "evaluate.contract", "tokenizer ", other.name, ": expected the contract ",
             describe(tokenizer_->contract), ", got ", describe(others_.back()->contract));
    }
    return read_cohort(options_.cohort, *observer_);
  }

  const std::string& id_of(Index scan) const { return manifest_.scans[static_cast<std::size_t>(scan)].volume_id; }
  Index values() const { return encoder_.tokens() * tokenizer_->tokenizer_config().bottleneck; }
  Extent3 coarse() const { return coarse_grid(tokenizer_->contract.shape, values()); }
  Shape shape() const {
    const Extent3& n = tokenizer_->contract.shape;
    return {n[0], n[1], n[2]};
  }
  Voxels tokens(const Voxels& v) const { return tokenizer_->tokens(*ctx_, v); }
  Voxels through(const AnyTokenizer& t, const Voxels& v) const { return t.decode(*ctx_, t.encode(*ctx_, v)); }
  std::vector<double> blocks(const Voxels& volume, VoxelMask mask) const {
    return tissue_blocks(volume.reshape(shape()), mask, tokenizer_->contract);
  }

  void fit_baselines() {
    const Extent3& n = tokenizer_->contract.shape;
    std::vector<double> sum(static_cast<std::size_t>(voxel_count(n)), 0.0);
    Index fitted = 0;
    const Stage stage(*observer_, "fitting simpler codes", std::ssize(fit_));
    for_each_volume(*ctx_, source_, fit_, failures_, [&](Index row, const Voxels& v) {
      observer_->check_interrupt();
      pca_.add(v);
      const Tensor<float, Cpu> t = tokens(v);
      readout_.add(t, patchify_forward(v, encoder_.patch));
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<double>(v.data()[i]);
      ++fitted;
      if (truth_) {
        const std::vector<std::uint8_t> mask = nonzero_mask(v.reshape(shape()));
        const TissueVolumes& truth = (*truth_)(id_of(row));
        scan_regressor_.add(blocks(v, mask), truth);
        const Voxels back = tokenizer_->decode(*ctx_, tokenizer_->project(*ctx_, t));
        reconstruction_regressor_.add(blocks(back, mask), truth);
      }
      observer_->advance(1, id_of(row));
    });
    pca_.fit(*ctx_, tokenizer_->tokenizer_config().bottleneck);
    readout_.solve(*ctx_, tokenizer_->tokenizer_config().bottleneck);
    if (truth_) scan_regressor_.fit(*ctx_), reconstruction_regressor_.fit(*ctx_);
    mean_volume_ = Voxels(*ctx_, {1, n[0], n[1], n[2], 1});
    for (std::size_t i = 0; i < sum.size(); ++i)
      mean_volume_.data()[i] = static_cast<float>(sum[i] / static_cast<double>(fitted));
  }

  void add(const std::string& name, Reconstruct method, bool shown) {
    result_.scores.push_back({name});
    methods_.push_back(std::move(method));
    shown_.push_back(shown);
  }

  void add_methods() {
    const auto coarsely = [&](Downsampling how) {
      return [this, how](const Voxels& v) { return through_coarse_grid(v, tokenizer_->contract.shape, coarse(), how); };
    };
    add("tokenizer", [this](const Voxels& v) { return through(*tokenizer_, v); }, true);
    for (std::size_t i = 0; i < others_.size(); ++i)
      add(options_.beside[i].name, [this, i](const Voxels& v) { return through(*others_[i], v); }, false);
    first_trilinear_ = methods_.size();
    add("trilinear, point", coarsely(Downsampling::point), true);
    add("trilinear, area", coarsely(Downsampling::area), false);
    add("components of patches", [this](const Voxels& v) { return pca_.reconstruct(v); }, true);
    const auto readout = [this](const Voxels& v) {
      return unpatchify_forward(readout_.patches(tokens(v)), v.shape(), patch_);
    };
    add("linear readout of tokens", readout, false);
    add("mean of the training scans", [this](const Voxels&) { return mean_volume_; }, false);
  }

  void score() {
    const Stage stage(*observer_, "scoring", std::ssize(test_));
    for_each_volume(*ctx_, source_, test_, failures_, [&](Index row, const Voxels& v) {
      observer_->check_interrupt();
      score_scan(row, v);
      observer_->advance(1, result_.scans.back());
    });
  }

  void score_scan(Index row, const Voxels& v) {
    const Voxels reference = v.reshape(shape());
    const std::vector<std::uint8_t> mask = nonzero_mask(reference);
    if (truth_) add_errors(row, blocks(reference, mask), scan_regressor_, scan_error_);
    std::vector<Voxels> columns = {v};
    for (std::size_t m = 0; m < methods_.size(); ++m) {
      const Voxels output = methods_[m](v).reshape(shape());
      result_.scores[m].scores.push_back(score_reconstruction(*ctx_, reference, output, mask));
      result_.scores[m].border_jump.push_back(border_jump(output, tokenizer_->contract.shape, encoder_.patch));
      if (truth_ && m == 0) add_errors(row, blocks(output, mask), reconstruction_regressor_, tokenizer_error_);
      if (shown_[m]) columns.push_back(output);
    }
    scan_border_.push_back(border_jump(reference, tokenizer_->contract.shape, encoder_.patch));
    result_.scans.push_back(id_of(row));
    if (std::ssize(result_.scans) > options_.pictures) return;
    for (Image& image : preview_rows(*ctx_, tokenizer_->contract, v, columns))
      result_.pictures.push_back(std::move(image));
    for (const char* column : {"scan", "tokenizer", "trilinear", "components of patches"})
      result_.captions.push_back(concat(id_of(row), " ", column));
  }

  void add_errors(Index row, const std::vector<double>& blocks, const RegionRegressor& regressor,
                  RegionErrors& errors) const {
    const TissueVolumes found = regressor(blocks);
    const TissueVolumes& truth = (*truth_)(id_of(row));
    for (std::size_t r = 0; r < found.size(); ++r) {
      const double error = (found[r] - truth[r]) / truth[r];
      errors[r][0] += error, errors[r][1] += std::abs(error);
    }
  }

  void add_region_errors() {
    const auto n = static_cast<double>(result_.scans.size());
    const auto mean = [n](const std::array<double, 2>& sums) { return VolumeError{sums[0] / n, sums[1] / n}; };
    result_.regions.emplace();
    for (std::size_t r = 0; r < tissue_names.size(); ++r)
      result_.regions->emplace_back(tissue_names[r],
                                    RegionVolumeErrors{mean(scan_error_[r]), mean(tokenizer_error_[r])});
  }

  Context<Cpu>* ctx_;
  ReconstructionOptions options_;
  Observer* observer_;
  Machine machine_;
  std::unique_ptr<AnyTokenizer> tokenizer_;
  const Vit3dConfig& encoder_;
  std::vector<std::unique_ptr<AnyTokenizer>> others_;
  Manifest manifest_;
  std::shared_ptr<FindingLog> findings_ = std::make_shared<FindingLog>();
  VolumeSource source_;
  std::vector<Index> test_, fit_;
  std::optional<RegionTruth> truth_;
  ScanFailures failures_;
  PatchExtents patch_;
  PatchPca pca_;
  TokenReadout readout_;
  Voxels mean_volume_;
  RegionRegressor scan_regressor_, reconstruction_regressor_;
  RegionErrors scan_error_{}, tokenizer_error_{};
  std::vector<Reconstruct> methods_;
  std::vector<bool> shown_;  // in the picture
  std::size_t first_trilinear_ = 0;
  std::vector<double> scan_border_;
  ReconstructionResult result_;
};

/// Throws what ReconstructionStudy's constructor and the reading of scans throw.
inline ReconstructionResult run(const Machine& machine, const ReconstructionOptions& options, Observer& observer) {
  return ReconstructionStudy(machine, options, observer).run();
}

}  // namespace braing3n::inline BRAING3N_ABI::study
