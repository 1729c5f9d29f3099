// `evaluate reconstruction`: what a tokenizer's latents keep of people it has never seen, next to simpler codes of the same size.
#pragma once

#include <array>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/checkpoint/volume_model.hpp"
#include "braing3n/data/volumes.hpp"
#include "braing3n/eval/downsampling.hpp"
#include "braing3n/eval/patch_pca.hpp"
#include "braing3n/eval/reconstruction.hpp"
#include "braing3n/eval/region_reader.hpp"
#include "braing3n/eval/token_readout.hpp"
#include "braing3n/format/csv.hpp"
#include "braing3n/format/json.hpp"
#include "braing3n/report/chart.hpp"
#include "braing3n/report/png.hpp"
#include "braing3n/report/previews.hpp"
#include "braing3n/report/table.hpp"
#include "examples/support/cohort_arguments.hpp"
#include "examples/support/context.hpp"
#include "examples/support/progress.hpp"
#include "examples/support/region_truth.hpp"
#include "examples/support/tell_findings.hpp"
#include "examples/support/unseen_people.hpp"

namespace braing3n::examples {

struct ReconstructionArguments {
  std::string model, test = "test", truth, out;
  CohortArguments cohort;
  std::vector<std::string> beside, baseline_sets = {"train", "validation"};
  Index pictures = 3;

  void add_to(CLI::App& app) {
    app.add_option("--model", model, "a tokenizer: its file, or the folder of its training")->required();
    app.add_option("--beside", beside, "NAME=TOKENIZER: another tokenizer for the same scans");
    cohort.add_to(app);
    app.add_option("--test", test, "the set that is scored");
    app.add_option("--baselines", baseline_sets, "the sets on which components, mean and readout are fitted");
    app.add_option(
        "--truth", truth,
        "truth.csv of phantom_cohort (T1 only): are the sizes of brain, grey and white matter and ventricles kept?");
    app.add_option("--pictures", pictures, "people in the picture")->check(CLI::NonNegativeNumber);
    app.add_option("--out", out, "folder for tables.txt, scores.csv, summary.json and montage.png")->required();
  }
};

namespace detail {

/// One way to give a volume back, with a score per person.
struct Method {
  std::string name;
  std::function<Tensor<float, Cpu>(const Tensor<float, Cpu>&)> reconstruct;
  std::vector<ReconstructionScore> scores{};
  std::vector<double> border{};
};

struct Difference {
  double mean = 0, error = 0;  // two standard errors over people
  Index better = 0;
};

inline Difference paired(const Method& a, const Method& b, double RegionScore::* field,
                         RegionScore ReconstructionScore::* region) {
  Difference d;
  const double n = static_cast<double>(a.scores.size());
  const auto difference = [&](std::size_t i) { return a.scores[i].*region.*field - b.scores[i].*region.*field; };
  for (std::size_t i = 0; i < a.scores.size(); ++i) {
    d.mean += difference(i) / n;
    d.better += difference(i) > 0;
  }
  double squares = 0;  // about the mean: a method that is always better by the same has an error of 0
  for (std::size_t i = 0; i < a.scores.size(); ++i) squares += (difference(i) - d.mean) * (difference(i) - d.mean) / n;
  if (a.scores.size() > 1) d.error = 2 * std::sqrt(squares / (n - 1));
  return d;
}

inline std::string difference_text(const Difference& d, int digits) {
  return concat(d.mean >= 0 ? "+" : "", decimals(d.mean, digits), " +- ", decimals(d.error, digits), " (", d.better,
                ")");
}

/// One run: simpler codes are fitted on the other people, every method gives the scored people back, then the tables are written.
class ReconstructionEvaluation {
 public:
  /// Throws what reading models and tables throws, and Error: argument, config (what does not belong together).
  ReconstructionEvaluation(Context<Cpu>& ctx, const ReconstructionArguments& a, bool quiet)
      : ctx_(&ctx), a_(a), quiet_(quiet), tokenizer_(load_tokenizer<F32>(ctx, a.model)),
        encoder_(tokenizer_.model.config.encoder), others_(tokenizers_beside()), manifest_(a.cohort.manifest()),
        source_(scan_source(manifest_, tokenizer_.contract, {.findings = findings_})),
        patch_{encoder_.patch[0], encoder_.patch[1], encoder_.patch[2]}, pca_(patch_) {
    const Split split = read_split(a.cohort.split);
    test_ = rows_of(manifest_, split, a.test);
    std::vector<ModelBehind> models = {{"tokenizer", a.model}};
    for (const std::string& text : a.beside) models.push_back({"tokenizer", text.substr(text.find('=') + 1)});
    require_unseen(models, test_, manifest_);
    for (const std::string& set : a.baseline_sets) {
      require_other_set(set, a.test, "is scored: nothing may be fitted on it");
      const std::vector<Index> rows = rows_of(manifest_, split, set);
      fit_.insert(fit_.end(), rows.begin(), rows.end());
    }
    if (!a.truth.empty()) truth_.emplace(a.truth);
  }

  /// Of the scans read so far.
  FindingLog& findings() { return *findings_; }

  /// Everything into the folder. Returns an exit status.
  int run(const std::filesystem::path& out, const WriteOptions& write) {
    fit_baselines();
    name_methods();
    score();
    for (const auto& [row, reason] : failures_)
      std::cerr << "evaluate: left out " << id_of(row) << ": " << reason << '\n';

    std::ostringstream text;
    print_means(text);
    Json summary = {
        {"people", ids_}, {"difference_to_trilinear", print_differences(text)}, {"methods", Json::object()}};
    print_people(text);
    if (truth_) summary["region_volume_errors"] = print_regions(text);
    std::cout << text.str();
    for (const Method& m : methods_) {
      summary["methods"][m.name] = json_from(mean_score(m.scores));
      summary["methods"][m.name]["border_jump"] = mean_of(m.border);
    }
    write_scores(out / "scores.csv", write);
    write_text(out / "summary.json", summary.dump(2) + "\n", write);
    write_text(out / "tables.txt", text.str(), write);
    constexpr std::array<const char*, 4> columns = {"scan", "tokenizer", "trilinear", "components of patches"};
    std::vector<std::string> captions;
    for (std::size_t i = 0; i < pictures_.size(); ++i)
      captions.push_back(concat(ids_[i / columns.size()], " ", columns[i % columns.size()]));
    if (!pictures_.empty()) write_png(out / "montage.png", montage(pictures_, 4, captions), write);
    return failures_.empty() ? exit_done : exit_some_failed;
  }

 private:
  using Voxels = Tensor<float, Cpu>;  // (1, X, Y, Z, 1)
  /// Per region: sums of the relative error and of its size.
  using RegionErrors = std::array<std::array<double, 2>, 4>;

  std::vector<std::pair<std::string, LoadedTokenizer<Cpu, F32>>> tokenizers_beside() const {
    std::vector<std::pair<std::string, LoadedTokenizer<Cpu, F32>>> others;
    for (const std::string& text : a_.beside) {
      const std::size_t at = text.find('=');
      if (at == std::string::npos || at == 0)
        fail(ErrorKind::argument, "evaluate.beside", "--beside ", text, ": expected NAME=TOKENIZER");
      others.emplace_back(text.substr(0, at), load_tokenizer<F32>(*ctx_, text.substr(at + 1)));
      if (!(others.back().second.contract == tokenizer_.contract))
        fail(ErrorKind::config, "evaluate.contract", "--beside ", others.back().first,
             ": was trained with another contract: ", describe(others.back().second.contract));
    }
    return others;
  }

  const std::string& id_of(Index scan) const { return manifest_.scans[static_cast<std::size_t>(scan)].volume_id; }
  Index numbers() const { return encoder_.tokens() * tokenizer_.model.config.bottleneck; }
  Extent3 coarse() const { return coarse_grid(tokenizer_.contract.shape, numbers()); }
  Shape shape() const {
    const Extent3& n = tokenizer_.contract.shape;
    return {n[0], n[1], n[2]};
  }
  Voxels tokens(const Voxels& v) const {
    Pass<Cpu> pass(*ctx_);
    return tokenizer_.model.tokens(pass, v);
  }
  Voxels through(const LoadedTokenizer<Cpu, F32>& t, const Voxels& v) const {
    Pass<Cpu> pass(*ctx_);
    return t.model(pass, v).value();
  }

  void fit_baselines() {
    const Extent3& n = tokenizer_.contract.shape;
    std::vector<double> sum(static_cast<std::size_t>(voxel_count(n)), 0.0);
    Index fitted = 0;
    Progress progress("fitting baselines", static_cast<Index>(fit_.size()), quiet_);
    for_each_volume(*ctx_, source_, fit_, failures_, [&](Index row, const Voxels& v) {
      stop_if_interrupted();
      pca_.add(v);
      readout_.add(tokens(v), tokenizer_.model.encoder.patches(v));
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<double>(v.data()[i]);
      ++fitted;
      if (truth_) {
        const std::vector<std::uint8_t> mask = nonzero_mask(v.reshape(shape()));
        const TissueVolumes& truth = (*truth_)(id_of(row));
        scan_reader_.add(tissue_blocks(v.reshape(shape()), mask, tokenizer_.contract), truth);
        reconstruction_reader_.add(tissue_blocks(through(tokenizer_, v).reshape(shape()), mask, tokenizer_.contract),
                                   truth);
      }
      progress.advance(1, id_of(row));
    });
    pca_.fit(*ctx_, tokenizer_.model.config.bottleneck);
    readout_.solve(*ctx_, tokenizer_.model.config.bottleneck);
    if (truth_) scan_reader_.fit(*ctx_), reconstruction_reader_.fit(*ctx_);
    mean_volume_ = Voxels(*ctx_, {1, n[0], n[1], n[2], 1});
    for (std::size_t i = 0; i < sum.size(); ++i)
      mean_volume_.data()[i] = static_cast<float>(sum[i] / static_cast<double>(fitted));
  }

  void name_methods() {
    const auto coarsely = [&](Downsampling how) {
      return [this, how](const Voxels& v) { return through_coarse_grid(v, tokenizer_.contract.shape, coarse(), how); };
    };
    methods_.push_back({"tokenizer", [this](const Voxels& v) { return through(tokenizer_, v); }});
    for (const auto& [name, other] : others_)
      methods_.push_back({name, [this, &t = other](const Voxels& v) { return through(t, v); }});
    first_coarse_ = methods_.size();
    methods_.push_back({"trilinear, point", coarsely(Downsampling::point)});
    methods_.push_back({"trilinear, area", coarsely(Downsampling::area)});
    methods_.push_back({"components of patches", [this](const Voxels& v) { return pca_.reconstruct(v); }});
    methods_.push_back({"linear readout of tokens", [this](const Voxels& v) {
                          return unpatchify_forward(readout_.patches(tokens(v)), v.shape(), patch_);
                        }});
    methods_.push_back({"mean of the training scans", [this](const Voxels&) { return mean_volume_; }});
  }

  void score() {
    Progress progress("scoring", static_cast<Index>(test_.size()), quiet_);
    for_each_volume(*ctx_, source_, test_, failures_, [&](Index row, const Voxels& v) {
      stop_if_interrupted();
      const Voxels reference = v.reshape(shape());
      const std::vector<std::uint8_t> mask = nonzero_mask(reference);
      if (truth_) add_errors(row, reference, mask, scan_reader_, scan_error_);
      std::vector<Voxels> shown = {v};
      for (Method& m : methods_) {
        const Voxels result = m.reconstruct(v).reshape(shape());
        m.scores.push_back(score_reconstruction(*ctx_, reference, result, mask));
        m.border.push_back(border_jump(result, tokenizer_.contract.shape, encoder_.patch));
        const bool first = &m == &methods_[0];
        if (truth_ && first) add_errors(row, result, mask, reconstruction_reader_, tokenizer_error_);
        if (first || m.name.starts_with("trilinear, point") || m.name.starts_with("components"))
          shown.push_back(result);
      }
      input_border_.push_back(border_jump(reference, tokenizer_.contract.shape, encoder_.patch));
      ids_.push_back(id_of(row));
      if (static_cast<Index>(ids_.size()) <= a_.pictures)
        for (Image& image : preview_rows(*ctx_, tokenizer_.contract, v, shown)) pictures_.push_back(std::move(image));
      progress.advance(1, ids_.back());
    });
  }

  void add_errors(Index row, const Voxels& volume, const std::vector<std::uint8_t>& mask, const RegionReader& reader,
                  RegionErrors& errors) const {
    const TissueVolumes found = reader(tissue_blocks(volume, mask, tokenizer_.contract));
    const TissueVolumes& truth = (*truth_)(id_of(row));
    for (std::size_t r = 0; r < found.size(); ++r) {
      const double error = (found[r] - truth[r]) / truth[r];
      errors[r][0] += error, errors[r][1] += std::abs(error);
    }
  }

  static double mean_of(const std::vector<double>& v) {
    double sum = 0;
    for (const double x : v) sum += x;
    return sum / static_cast<double>(v.size());
  }
  /// The better of the two trilinear ways, score by score.
  const Method& yardstick(double RegionScore::* field, RegionScore ReconstructionScore::* region) const {
    const auto value = [&](const Method& m) { return mean_score(m.scores).*region.*field; };
    return value(methods_[first_coarse_]) >= value(methods_[first_coarse_ + 1]) ? methods_[first_coarse_]
                                                                                : methods_[first_coarse_ + 1];
  }

  void print_means(std::ostream& text) const {
    text << ids_.size() << " people of the set " << in_quotes(a_.test) << ", " << encoder_.tokens() << " x "
         << tokenizer_.model.config.bottleneck << " = " << numbers()
         << " numbers each (trilinear: " << voxel_count(coarse()) << "); means over people\n\n";
    Table table({"", "PSNR (max-min)", "PSNR (99.5%)", "SSIM", "MAE", "brain: PSNR (max-min)", "PSNR (99.5%)", "SSIM",
                 "MAE", "border jump"});
    for (const Method& m : methods_) {
      const ReconstructionScore s = mean_score(m.scores);
      table.row(m.name, decimals(s.whole.psnr_extremes, 2), decimals(s.whole.psnr_percentile, 2),
                decimals(s.whole.ssim, 4), decimals(s.whole.mae, 4), decimals(s.mask.psnr_extremes, 2),
                decimals(s.mask.psnr_percentile, 2), decimals(s.mask.ssim, 4), decimals(s.mask.mae, 4),
                decimals(mean_of(m.border), 3));
    }
    table.row("the scans themselves", "", "", "", "", "", "", "", "", decimals(mean_of(input_border_), 3));
    table.print(text);
  }

  Json print_differences(std::ostream& text) const {
    text << "\nDifference to the better of both trilinear ways: mean over people +- two standard errors (people "
            "better, of "
         << ids_.size() << ")\n\n";
    Table table({"", "PSNR (max-min)", "SSIM", "brain: PSNR (max-min)", "SSIM"});
    Json json = Json::object();
    for (std::size_t m = 0; m < methods_.size(); ++m) {
      if (m == first_coarse_ || m == first_coarse_ + 1) continue;
      std::vector<std::string> cells = {methods_[m].name};
      for (const auto region : {&ReconstructionScore::whole, &ReconstructionScore::mask})
        for (const auto field : {&RegionScore::psnr_extremes, &RegionScore::ssim}) {
          const Difference d = paired(methods_[m], yardstick(field, region), field, region);
          const bool ssim = field == &RegionScore::ssim;
          cells.push_back(difference_text(d, ssim ? 4 : 2));
          json[methods_[m].name][concat(region == &ReconstructionScore::whole ? "" : "mask_", ssim ? "ssim" : "psnr")] =
              {{"mean", d.mean}, {"two_standard_errors", d.error}, {"better", d.better}};
        }
      table.add(std::move(cells));
    }
    table.print(text);
    return json;
  }

  void print_people(std::ostream& text) const {
    text << "\nEach person: PSNR (max-min) / SSIM\n\n";
    std::vector<std::string> header = {""};
    for (const Method& m : methods_) header.push_back(m.name);
    Table table(header);
    for (std::size_t i = 0; i < ids_.size(); ++i) {
      std::vector<std::string> cells = {ids_[i]};
      for (const Method& m : methods_)
        cells.push_back(
            concat(decimals(m.scores[i].whole.psnr_extremes, 2), " / ", decimals(m.scores[i].whole.ssim, 4)));
      table.add(std::move(cells));
    }
    table.print(text);
  }

  Json print_regions(std::ostream& text) const {
    text << "\nRegion volumes against the truth, by readers that learnt from the other people (from scans, from "
            "reconstructions): mean error, mean size of the error\n\n";
    Table table({"", "scans", "", "tokenizer", ""});
    const auto n = static_cast<double>(ids_.size());
    const auto percent = [&](double sum) { return concat(decimals(100 * sum / n, 1), " %"); };
    const auto errors = [&](const std::array<double, 2>& sums) {
      return Json{{"mean", sums[0] / n}, {"mean_size", sums[1] / n}};
    };
    Json json = Json::object();
    for (std::size_t r = 0; r < tissue_names.size(); ++r) {
      table.row(tissue_names[r], percent(scan_error_[r][0]), percent(scan_error_[r][1]),
                percent(tokenizer_error_[r][0]), percent(tokenizer_error_[r][1]));
      json[tissue_names[r]] = {{"scans", errors(scan_error_[r])}, {"tokenizer", errors(tokenizer_error_[r])}};
    }
    table.print(text);
    return json;
  }

  void write_scores(const std::filesystem::path& path, const WriteOptions& write) const {
    CsvWriter csv(path,
                  {"volume_id", "method", "psnr_extremes", "psnr_percentile", "ssim", "mae", "mask_psnr_extremes",
                   "mask_psnr_percentile", "mask_ssim", "mask_mae", "border_jump"},
                  write);
    for (const Method& m : methods_)
      for (std::size_t i = 0; i < ids_.size(); ++i) {
        const ReconstructionScore& s = m.scores[i];
        csv.row(ids_[i], m.name, s.whole.psnr_extremes, s.whole.psnr_percentile, s.whole.ssim, s.whole.mae,
                s.mask.psnr_extremes, s.mask.psnr_percentile, s.mask.ssim, s.mask.mae, m.border[i]);
      }
    csv.finish();
  }

  Context<Cpu>* ctx_;
  const ReconstructionArguments& a_;
  bool quiet_;
  LoadedTokenizer<Cpu, F32> tokenizer_;
  const Vit3dConfig& encoder_;
  std::vector<std::pair<std::string, LoadedTokenizer<Cpu, F32>>> others_;
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
  // Scans and reconstructions each have a reader that learnt from their like: what is asked is whether sizes are still there.
  RegionReader scan_reader_, reconstruction_reader_;
  RegionErrors scan_error_{}, tokenizer_error_{};
  std::vector<Method> methods_;
  std::size_t first_coarse_ = 0;
  std::vector<std::string> ids_;  // of those scored
  std::vector<double> input_border_;
  std::vector<Image> pictures_;
};

}  // namespace detail

inline int evaluate_reconstruction(const Program& program, const ReconstructionArguments& a) {
  const CommonOptions& common = program.common;
  const std::filesystem::path out = a.out;
  require_new(out / "scores.csv", common);
  const FileLock lock = open_results(out, common, {"scores.csv", "summary.json", "tables.txt", "montage.png"},
                                     {model_path(a.model), a.cohort.data, a.cohort.split, a.truth});
  const auto ctx = make_cpu_context(common);
  JsonLog log(common.json_log);
  detail::ReconstructionEvaluation evaluation(*ctx, a, common.quiet);
  const int code = evaluation.run(out, {.overwrite = common.force});
  tell_findings(evaluation.findings(), log, common.quiet);
  return code;
}

}  // namespace braing3n::examples
