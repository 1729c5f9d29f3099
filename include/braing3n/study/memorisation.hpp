// Has a transformer memorised its training scans? Distances of latents from samples to their nearest training scan, beside those
// between the training scans; copies planted among the samples show whether the search finds copies.
#pragma once

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/base/philox.hpp"
#include "braing3n/data/latents.hpp"
#include "braing3n/data/sample_record.hpp"
#include "braing3n/data/split.hpp"
#include "braing3n/eval/unseen_subjects.hpp"
#include "braing3n/phantom/cohort_record.hpp"
#include "braing3n/report/previews.hpp"
#include "braing3n/study/memorisation_result.hpp"
#include "braing3n/study/sample_arms.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

inline constexpr std::uint32_t planted_step =
    0xffffff00u;  // step number of the noise on planted copies, larger than that of any run

/// Copies can only be found among the subjects that trained the transformer. Warns where some subjects of the set did not; throws Error
/// (argument) where none did.
inline void require_trained(const std::string& model, const std::set<std::string>& subjects, const std::string& set,
                            Observer& observer) {
  const std::vector<std::string> strangers = subjects_not_trained(model, subjects);
  if (strangers.empty()) return;
  const std::string text = concat(strangers.size(), " of the ", subjects.size(), " subjects of the set ",
                                  in_quotes(set), " did not train the model: ", braing3n::detail::some_of(strangers));
  if (strangers.size() == subjects.size()) throw Error(ErrorKind::argument, "memorisation.subjects", text, model);
  observer.warning(text);
}

/// The sidecars of synthetic volumes in a folder, by name. Throws Error: file (none), config (of other models).
inline std::vector<SampleRecord> read_sample_records(const std::filesystem::path& folder, const std::string& model_hash,
                                                     const std::string& tokenizer_hash) {
  std::vector<std::filesystem::path> paths;
  std::error_code problem;
  for (const auto& entry : std::filesystem::directory_iterator(folder, problem))
    if (entry.path().extension() == ".json" && entry.path().filename().string().starts_with(synthetic_prefix))
      paths.push_back(entry.path());
  if (problem || paths.empty())
    throw Error(ErrorKind::file, "samples.none", "no sidecars SYNTHETIC_*.json of generate", folder.string());
  std::sort(paths.begin(), paths.end());
  std::vector<SampleRecord> records;
  for (const auto& path : paths) {
    records.push_back(read_sample_record(path));
    if (records.back().model.hash != model_hash || records.back().tokenizer.hash != tokenizer_hash)
      throw Error(ErrorKind::config, "samples.model",
                  concat("the sample was made by transformer ", records.back().model.hash, " and tokenizer ",
                         records.back().tokenizer.hash, ", these are ", model_hash, " and ", tokenizer_hash),
                  path.string());
  }
  return records;
}

/// One study: training scans are read, samples made, copies planted, and the nearest training scan of each is found.
class MemorisationStudy {
 public:
  /// Throws what reading models, latents and tables throws, and Error: config (latents of another tokenizer), format (no training scan among
  /// them), argument (no subject of the set trained the model).
  MemorisationStudy(const Machine& machine, const MemorisationOptions& options, Observer& observer)
      : ctx_(machine.host), options_(validated(options)), observer_(&observer),
        models_(machine, options.model, options.tokenizer), fields_(models_.conditions()), file_(options.latents),
        manifest_(read_manifest(std::filesystem::path(options.data), {.check_files = false, .need_paths = false})) {
    if (file_.channels() != models_.dit().config().channels || file_.grid() != models_.dit().config().grid ||
        (!file_.model_hash().empty() && file_.model_hash() != models_.tokenizer().hash))
      throw Error(
          ErrorKind::config, "memorisation.latents",
          concat("the latents were made by tokenizer ", file_.model_hash(), ", this one is ", models_.tokenizer().hash),
          file_.path());
    read_training();
    require_trained(options.model, {subjects_.begin(), subjects_.end()}, options.train, observer);
  }
  MemorisationStudy(const MemorisationStudy&) = delete;
  MemorisationStudy& operator=(const MemorisationStudy&) = delete;

  /// Once. Throws what SampleArms::latents() and the observer throw.
  MemorisationResult run() {
    const auto training = Tensor<float, Cpu>::from_host(*ctx_, {trained(), file_.row_size()}, values_);
    if (options_.samples.empty()) plan_samples();
    else find_samples();
    make_samples();
    const Index made = std::ssize(suspects_);
    plant_copies();
    const auto samples = Tensor<float, Cpu>::from_host(*ctx_, {std::ssize(suspects_), file_.row_size()}, latents_);
    observer_->note(concat("searching ", trained(), " training scans of ", file_.row_size(), " values"));
    const MemorisationAudit audit = audit_memorisation(samples, training, subjects_);
    observer_->check_interrupt();
    summarise(audit, made);
    const std::vector<Index> order = nearest_first(audit);
    for (const Index i : order) result_.nearest.push_back(pair(audit, i));
    show(audit, order, samples, training);
    return std::move(result_);
  }

 private:
  static const MemorisationOptions& validated(const MemorisationOptions& options) {
    require_guidance(options.sampling.guidance.scale);
    return options;
  }
  /// A sample, or a planted copy, whose nearest training scan is searched.
  struct Suspect {
    std::string name, conditions;
    Index planted = -1;  // the training row that it is a copy of
  };

  Index trained() const { return std::ssize(scans_); }

  void read_training() {
    const auto size = static_cast<std::size_t>(file_.row_size());
    for (const Index i : rows_of(manifest_, read_split(options_.split), options_.train)) {
      const ScanRow& s = manifest_.scans[static_cast<std::size_t>(i)];
      const auto row = file_.find(s.volume_id);
      if (!row) continue;
      scans_.push_back(i);
      ids_.push_back(s.volume_id);
      subjects_.push_back(s.subject_id);
      values_.resize(values_.size() + size);
      file_.read(*row, std::span<float>(values_.data() + values_.size() - size, size));
    }
    if (scans_.empty())
      throw Error(ErrorKind::format, "memorisation.none",
                  concat("no row belongs to a scan of the set ", in_quotes(options_.train)), file_.path());
  }

  void find_samples() {
    records_ = read_sample_records(options_.samples, models_.dit().hash, models_.tokenizer().hash);
    for (const SampleRecord& r : records_) {
      rows_.push_back(conditions_from_json(fields_, r.conditions));
      suspects_.push_back({r.file, describe_conditions(fields_, rows_.back())});
    }
  }

  /// Samples under the conditions of training scans, where a copy is most likely.
  void plan_samples() {
    const Index n = options_.n;
    std::vector<Index> chosen;
    for (Index i = 0; i < n; ++i)
      chosen.push_back(scans_[static_cast<std::size_t>(n <= trained() ? i * trained() / n : i % trained())]);
    rows_ = condition_rows(fields_, manifest_, chosen);
    SampleRecord r;
    r.seed = options_.seed;
    r.sampling = options_.sampling;
    for (Index i = 0; i < n; ++i) {
      r.sample = static_cast<std::uint32_t>(i);
      records_.push_back(r);
      suspects_.push_back({concat("sample ", i), describe_conditions(fields_, rows_[static_cast<std::size_t>(i)])});
    }
    result_.sampling = {options_.sampling.guidance.scale, options_.sampling.steps, options_.sampling.sampler,
                        options_.seed};
  }

  /// Consecutive samples with the same seed and options share a batch.
  void make_samples() {
    const auto way = [&](std::size_t i) { return concat(records_[i].seed, ' ', json_text(records_[i].sampling)); };
    const Stage stage(*observer_, "sampling", std::ssize(records_));
    for (std::size_t begin = 0, end = 0; begin < records_.size(); begin = end) {
      const std::string first = way(begin);
      std::vector<std::uint32_t> numbers;
      for (end = begin; end < records_.size() && static_cast<Index>(end - begin) < models_.batch() && way(end) == first;
           ++end)
        numbers.push_back(records_[end].sample);
      const std::vector<ConditionRow> some(rows_.begin() + static_cast<std::ptrdiff_t>(begin),
                                           rows_.begin() + static_cast<std::ptrdiff_t>(end));
      const Tensor<float, Cpu> z =
          models_.latents(numbers, some, records_[begin].seed, records_[begin].sampling, "memorisation", *observer_);
      latents_.insert(latents_.end(), z.data(), z.data() + z.size());
      observer_->advance(std::ssize(numbers), {});
    }
  }

  void plant_copies() {
    const std::vector<double>& sd = models_.dit().latents.sd;
    const Index size = file_.row_size();
    for (Index k = 0; k < options_.plant; ++k) {
      const Philox rng(options_.seed, Purpose::noise, planted_step, static_cast<std::uint32_t>(k));
      const Index row =
          static_cast<Index>(static_cast<std::uint64_t>(rng.integer(0)) * static_cast<std::uint64_t>(trained()) >> 32);
      suspects_.push_back({concat("planted ", k), {}, row});
      for (Index i = 0; i < size; ++i)
        latents_.push_back(
            values_[static_cast<std::size_t>(row * size + i)] +
            static_cast<float>(options_.plant_noise * sd[static_cast<std::size_t>(i % file_.channels())] *
                               static_cast<double>(rng.normal(4 + static_cast<std::uint64_t>(i)))));
    }
  }

  static bool is_in(const std::vector<Index>& list, Index i) { return std::binary_search(list.begin(), list.end(), i); }

  /// Counts and distances of the samples; planted copies, from index `made` on, are counted separately.
  void summarise(const MemorisationAudit& audit, Index made) {
    const auto split_at = audit.nearest.begin() + made;
    const auto below = [made](const std::vector<Index>& list) {
      return std::lower_bound(list.begin(), list.end(), made) - list.begin();
    };
    result_.model = models_.dit().hash;
    result_.tokenizer = models_.tokenizer().hash;
    result_.distribution = phantom::distribution_name_beside(options_.data);
    result_.training_scans = trained();
    result_.samples = made;
    result_.real = audit.real;
    result_.real_other_subjects = audit.real_other_subjects;
    result_.generated = DistanceSummary::of({audit.nearest.begin(), split_at});
    result_.planted_distances = DistanceSummary::of({split_at, audit.nearest.end()});
    result_.copies = below(audit.copies);
    result_.near_subjects = below(audit.copies_of_subjects);
    result_.ratio = result_.generated.mean / audit.real.mean;
    result_.planted = options_.plant;
    for (Index i = made; i < std::ssize(suspects_); ++i)
      result_.planted_found += is_in(audit.copies, i) && audit.nearest[static_cast<std::size_t>(i)].row ==
                                                             suspects_[static_cast<std::size_t>(i)].planted;
    result_.values = file_.row_size();
    result_.latents = file_.path();
  }

  static std::vector<Index> nearest_first(const MemorisationAudit& audit) {
    std::vector<Index> order(audit.nearest.size());
    std::iota(order.begin(), order.end(), Index{0});
    std::stable_sort(order.begin(), order.end(), [&](Index i, Index j) {
      return audit.nearest[static_cast<std::size_t>(i)].distance < audit.nearest[static_cast<std::size_t>(j)].distance;
    });
    return order;
  }

  NearestScan pair(const MemorisationAudit& audit, Index i) const {
    const Suspect& s = suspects_[static_cast<std::size_t>(i)];
    const Neighbour& near = audit.nearest[static_cast<std::size_t>(i)];
    NearestScan p{.sample = s.name,
                  .nearest = ids_[static_cast<std::size_t>(near.row)],
                  .distance = near.distance,
                  .copy = is_in(audit.copies, i),
                  .near_subject = is_in(audit.copies_of_subjects, i),
                  .planted = {},
                  .conditions = s.conditions};
    if (s.planted >= 0) p.planted = ids_[static_cast<std::size_t>(s.planted)];
    return p;
  }

  /// Pictures of the nearest pairs, both decoded from latents.
  void show(const MemorisationAudit& audit, const std::vector<Index>& order, const Tensor<float, Cpu>& samples,
            const Tensor<float, Cpu>& training) {
    const Extent3 g = file_.grid();
    const auto volume = [&](const Tensor<float, Cpu>& z) {
      return models_.tokenizer().decode(*ctx_, z.reshape({1, g[0], g[1], g[2], file_.channels()}));
    };
    for (std::size_t k = 0; k < std::min(order.size(), static_cast<std::size_t>(options_.pictures)); ++k) {
      observer_->check_interrupt();
      const Index i = order[k];
      const Neighbour& near = audit.nearest[static_cast<std::size_t>(i)];
      const auto scan = volume(training.slice(near.row, near.row + 1));
      for (Image& image : preview_rows(*ctx_, models_.contract(), scan, {volume(samples.slice(i, i + 1)), scan}))
        result_.pictures.push_back(std::move(image));
      result_.captions.push_back(
          concat("SYNTHETIC ", suspects_[static_cast<std::size_t>(i)].name, ", at ", decimals(near.distance, 2)));
      result_.captions.push_back(concat(ids_[static_cast<std::size_t>(near.row)], " through the tokenizer"));
    }
  }

  Context<Cpu>* ctx_;
  MemorisationOptions options_;
  Observer* observer_;
  SampleArms models_;
  const std::vector<ConditionField>& fields_;
  LatentFile file_;
  Manifest manifest_;
  // The training scans among the latents.
  std::vector<Index> scans_;
  std::vector<std::string> ids_, subjects_;
  std::vector<float> values_;
  // The samples, then the planted copies.
  std::vector<SampleRecord> records_;
  std::vector<ConditionRow> rows_;
  std::vector<Suspect> suspects_;
  std::vector<float> latents_;
  MemorisationResult result_;
};

/// Throws what MemorisationStudy's constructor and run() throw.
inline MemorisationResult run(const Machine& machine, const MemorisationOptions& options, Observer& observer) {
  return MemorisationStudy(machine, options, observer).run();
}

}  // namespace braing3n::inline BRAING3N_ABI::study
