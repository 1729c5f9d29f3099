// `evaluate reconstruction`: what a tokenizer's latents keep of people it has never seen, next to simpler codes of the same size.
#pragma once

#include <array>
#include <functional>
#include <iostream>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/eval/downsampling.hpp"
#include "braing3n/eval/patch_pca.hpp"
#include "braing3n/eval/reconstruction.hpp"
#include "braing3n/eval/region_reader.hpp"
#include "braing3n/io/csv.hpp"
#include "braing3n/io/json.hpp"
#include "braing3n/io/png.hpp"
#include "braing3n/io/volume_model.hpp"
#include "braing3n/train/previews.hpp"
#include "braing3n/train/token_readout.hpp"
#include "braing3n/train/volumes.hpp"
#include "examples/support/cohort_arguments.hpp"
#include "examples/support/context.hpp"
#include "examples/support/progress.hpp"
#include "examples/support/region_truth.hpp"
#include "examples/support/report_svg.hpp"
#include "examples/support/table.hpp"

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
    app.add_option("--truth", truth, "truth.csv of phantom_cohort (T1 only): are the sizes of brain, grey and white matter and ventricles kept?");
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

inline Difference paired(const Method& a, const Method& b, double RegionScore::* field, RegionScore ReconstructionScore::* region) {
  Difference d;
  const double n = static_cast<double>(a.scores.size());
  double squares = 0;
  for (std::size_t i = 0; i < a.scores.size(); ++i) {
    const double x = a.scores[i].*region.*field - b.scores[i].*region.*field;
    d.mean += x / n;
    squares += x * x / n;
    d.better += x > 0;
  }
  if (a.scores.size() > 1) d.error = 2 * std::sqrt(std::max(0.0, squares - d.mean * d.mean) / (n - 1));
  return d;
}

inline std::string difference_text(const Difference& d, int digits) {
  return concat(d.mean >= 0 ? "+" : "", decimals(d.mean, digits), " +- ", decimals(d.error, digits), " (", d.better, ")");
}

}  // namespace detail

inline int evaluate_reconstruction(const Program& program, const ReconstructionArguments& a) {
  using detail::Method;
  const CommonOptions& common = program.common;
  const std::filesystem::path out = a.out;
  require_new(out / "scores.csv", common);
  const auto ctx = make_cpu_context(common);
  const auto tokenizer = load_tokenizer<F32>(*ctx, a.model);
  const Vit3dConfig& encoder = tokenizer.model.config.encoder;
  std::vector<std::pair<std::string, LoadedTokenizer<Cpu, F32>>> others;
  for (const std::string& text : a.beside) {
    const std::size_t at = text.find('=');
    if (at == std::string::npos || at == 0) fail(ErrorKind::argument, "evaluate.beside", "--beside ", text, ": expected NAME=TOKENIZER");
    others.emplace_back(text.substr(0, at), load_tokenizer<F32>(*ctx, text.substr(at + 1)));
    if (!(others.back().second.contract == tokenizer.contract))
      fail(ErrorKind::config, "evaluate.contract", "--beside ", others.back().first, ": was trained with another contract: ", describe(others.back().second.contract));
  }
  const Manifest manifest = a.cohort.manifest();
  const Split split = read_split(a.cohort.split);
  const std::vector<Index> test = rows_of(manifest, split, a.test);
  std::vector<Index> fit;
  for (const std::string& set : a.baseline_sets) {
    require_other_set(set, a.test, "is scored: nothing may be fitted on it");
    const std::vector<Index> rows = rows_of(manifest, split, set);
    fit.insert(fit.end(), rows.begin(), rows.end());
  }
  const VolumeSource source = scan_source(manifest, tokenizer.contract);
  std::filesystem::create_directories(out);

  const Extent3 n = tokenizer.contract.shape, coarse = coarse_grid(n, encoder.tokens() * tokenizer.model.config.bottleneck);
  const auto tokens = [&](const Tensor<float, Cpu>& v) {
    Pass<Cpu> pass(*ctx);
    return tokenizer.model.tokens(pass, v);
  };
  ScanFailures failures;
  PatchPca pca({encoder.patch[0], encoder.patch[1], encoder.patch[2]});
  TokenReadout readout;
  std::vector<double> mean(static_cast<std::size_t>(voxel_count(n)), 0.0);
  Index fitted = 0;
  std::optional<RegionTruth> regions;
  if (!a.truth.empty()) regions.emplace(a.truth);
  const auto through = [&](const LoadedTokenizer<Cpu, F32>& t) {
    return [&ctx, &t](const Tensor<float, Cpu>& v) {
      Pass<Cpu> pass(*ctx);
      return t.model(pass, v).value();
    };
  };
  const Shape shape = {n[0], n[1], n[2]};
  // Scans and reconstructions each have a reader that learnt from their like: what is asked is whether sizes are still there.
  RegionReader scan_reader, reconstruction_reader;
  std::array<std::array<double, 2>, 4> scan_error{}, tokenizer_error{};  // per region: sums of the relative error and of its size
  {
    Progress progress("fitting baselines", static_cast<Index>(fit.size()), common.quiet);
    for_each_volume(*ctx, source, fit, failures, [&](Index row, const Tensor<float, Cpu>& v) {
      stop_if_interrupted();
      pca.add(v);
      readout.add(tokens(v), tokenizer.model.encoder.patches(v));
      for (std::size_t i = 0; i < mean.size(); ++i) mean[i] += static_cast<double>(v.data()[i]);
      ++fitted;
      if (regions) {
        const std::vector<std::uint8_t> mask = nonzero_mask(v.reshape(shape));
        const TissueVolumes& truth = (*regions)(manifest.scans[static_cast<std::size_t>(row)].volume_id);
        scan_reader.add(tissue_blocks(v.reshape(shape), mask, tokenizer.contract), truth);
        reconstruction_reader.add(tissue_blocks(through(tokenizer)(v).reshape(shape), mask, tokenizer.contract), truth);
      }
      progress.advance(1, manifest.scans[static_cast<std::size_t>(row)].volume_id);
    });
  }
  pca.fit(*ctx, tokenizer.model.config.bottleneck);
  readout.solve(*ctx, tokenizer.model.config.bottleneck);
  if (regions) scan_reader.fit(*ctx), reconstruction_reader.fit(*ctx);
  Tensor<float, Cpu> mean_volume(*ctx, {1, n[0], n[1], n[2], 1});
  for (std::size_t i = 0; i < mean.size(); ++i) mean_volume.data()[i] = static_cast<float>(mean[i] / static_cast<double>(fitted));

  const PatchExtents patch{encoder.patch[0], encoder.patch[1], encoder.patch[2]};
  std::vector<Method> methods;
  methods.push_back({"tokenizer", through(tokenizer)});
  for (const auto& [name, other] : others) methods.push_back({name, through(other)});
  const std::size_t first_coarse = methods.size();
  methods.push_back({"trilinear, point", [&](const Tensor<float, Cpu>& v) { return through_coarse_grid(v, n, coarse, Downsampling::point); }});
  methods.push_back({"trilinear, area", [&](const Tensor<float, Cpu>& v) { return through_coarse_grid(v, n, coarse, Downsampling::area); }});
  methods.push_back({"components of patches", [&](const Tensor<float, Cpu>& v) { return pca.reconstruct(v); }});
  methods.push_back({"linear readout of tokens", [&](const Tensor<float, Cpu>& v) { return unpatchify_forward(readout.patches(tokens(v)), v.shape(), patch); }});
  methods.push_back({"mean of the training scans", [&](const Tensor<float, Cpu>&) { return mean_volume; }});

  std::vector<std::string> ids;
  std::vector<double> input_border;
  std::vector<Image> pictures;
  Progress progress("scoring", static_cast<Index>(test.size()), common.quiet);
  for_each_volume(*ctx, source, test, failures, [&](Index row, const Tensor<float, Cpu>& v) {
    stop_if_interrupted();
    const Tensor<float, Cpu> reference = v.reshape(shape);
    const std::vector<std::uint8_t> mask = nonzero_mask(reference);
    std::vector<Tensor<float, Cpu>> shown = {v};
    const auto add_errors = [&](const Tensor<float, Cpu>& volume, const RegionReader& reader, std::array<std::array<double, 2>, 4>& errors) {
      const TissueVolumes found = reader(tissue_blocks(volume, mask, tokenizer.contract));
      const TissueVolumes& truth = (*regions)(manifest.scans[static_cast<std::size_t>(row)].volume_id);
      for (std::size_t r = 0; r < found.size(); ++r) {
        const double error = (found[r] - truth[r]) / truth[r];
        errors[r][0] += error, errors[r][1] += std::abs(error);
      }
    };
    if (regions) add_errors(reference, scan_reader, scan_error);
    for (Method& m : methods) {
      const Tensor<float, Cpu> result = m.reconstruct(v).reshape(shape);
      m.scores.push_back(score_reconstruction(*ctx, reference, result, mask));
      m.border.push_back(border_jump(result, n, encoder.patch));
      if (regions && &m == &methods[0]) add_errors(result, reconstruction_reader, tokenizer_error);
      if (&m == &methods[0] || m.name.starts_with("trilinear, point") || m.name.starts_with("components")) shown.push_back(result);
    }
    input_border.push_back(border_jump(reference, n, encoder.patch));
    ids.push_back(manifest.scans[static_cast<std::size_t>(row)].volume_id);
    if (static_cast<Index>(ids.size()) <= a.pictures)
      for (Image& image : preview_rows(*ctx, tokenizer.contract, v, shown)) pictures.push_back(std::move(image));
    progress.advance(1, ids.back());
  });
  progress.close();
  for (const auto& [row, reason] : failures) std::cerr << "evaluate: left out " << manifest.scans[static_cast<std::size_t>(row)].volume_id << ": " << reason << '\n';

  const auto mean_of = [](const std::vector<double>& v) {
    double sum = 0;
    for (const double x : v) sum += x;
    return sum / static_cast<double>(v.size());
  };
  // The better of the two ways, score by score.
  const auto yardstick = [&](double RegionScore::* field, RegionScore ReconstructionScore::* region) -> const Method& {
    const auto value = [&](const Method& m) { return mean_score(m.scores).*region.*field; };
    return value(methods[first_coarse]) >= value(methods[first_coarse + 1]) ? methods[first_coarse] : methods[first_coarse + 1];
  };

  std::ostringstream text;
  text << ids.size() << " people of the set " << in_quotes(a.test) << ", " << encoder.tokens() << " x " << tokenizer.model.config.bottleneck << " = "
            << encoder.tokens() * tokenizer.model.config.bottleneck << " numbers each (trilinear: " << voxel_count(coarse) << "); means over people\n\n";
  Table table({"", "PSNR (max-min)", "PSNR (99.5%)", "SSIM", "MAE", "brain: PSNR (max-min)", "PSNR (99.5%)", "SSIM", "MAE", "border jump"});
  for (const Method& m : methods) {
    const ReconstructionScore s = mean_score(m.scores);
    table.row(m.name, decimals(s.whole.psnr_extremes, 2), decimals(s.whole.psnr_percentile, 2), decimals(s.whole.ssim, 4), decimals(s.whole.mae, 4),
              decimals(s.mask.psnr_extremes, 2), decimals(s.mask.psnr_percentile, 2), decimals(s.mask.ssim, 4), decimals(s.mask.mae, 4), decimals(mean_of(m.border), 3));
  }
  table.row("the scans themselves", "", "", "", "", "", "", "", "", decimals(mean_of(input_border), 3));
  table.print(text);
  text << "\nDifference to the better of both trilinear ways: mean over people +- two standard errors (people better, of " << ids.size() << ")\n\n";
  Table differences({"", "PSNR (max-min)", "SSIM", "brain: PSNR (max-min)", "SSIM"});
  Json paired = Json::object();
  for (std::size_t m = 0; m < methods.size(); ++m) {
    if (m == first_coarse || m == first_coarse + 1) continue;
    std::vector<std::string> cells = {methods[m].name};
    for (const auto region : {&ReconstructionScore::whole, &ReconstructionScore::mask})
      for (const auto field : {&RegionScore::psnr_extremes, &RegionScore::ssim}) {
        const detail::Difference d = detail::paired(methods[m], yardstick(field, region), field, region);
        cells.push_back(detail::difference_text(d, field == &RegionScore::ssim ? 4 : 2));
        const char* key = field == &RegionScore::ssim ? (region == &ReconstructionScore::whole ? "ssim" : "mask_ssim") : region == &ReconstructionScore::whole ? "psnr" : "mask_psnr";
        paired[methods[m].name][key] = {{"mean", d.mean}, {"two_standard_errors", d.error}, {"better", d.better}};
      }
    differences.add(std::move(cells));
  }
  differences.print(text);
  text << "\nEach person: PSNR (max-min) / SSIM\n\n";
  std::vector<std::string> header = {""};
  for (const Method& m : methods) header.push_back(m.name);
  Table people(header);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    std::vector<std::string> cells = {ids[i]};
    for (const Method& m : methods) cells.push_back(concat(decimals(m.scores[i].whole.psnr_extremes, 2), " / ", decimals(m.scores[i].whole.ssim, 4)));
    people.add(std::move(cells));
  }
  people.print(text);
  if (regions) {
    text << "\nRegion volumes against the truth, by readers that learnt from the other people (from scans, from reconstructions): mean error, mean size of the error\n\n";
    Table sizes({"", "scans", "", "tokenizer", ""});
    const auto percent = [&](double sum) { return concat(decimals(100 * sum / static_cast<double>(ids.size()), 1), " %"); };
    for (std::size_t r = 0; r < tissue_names.size(); ++r)
      sizes.row(tissue_names[r], percent(scan_error[r][0]), percent(scan_error[r][1]), percent(tokenizer_error[r][0]), percent(tokenizer_error[r][1]));
    sizes.print(text);
  }

  std::cout << text.str();

  const WriteOptions write{.overwrite = common.force};
  CsvWriter csv(out / "scores.csv", {"volume_id", "method", "psnr_extremes", "psnr_percentile", "ssim", "mae", "mask_psnr_extremes", "mask_psnr_percentile", "mask_ssim", "mask_mae", "border_jump"}, write);
  Json summary = {{"people", ids}, {"difference_to_trilinear", paired}, {"methods", Json::object()}};
  for (const Method& m : methods) {
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const ReconstructionScore& s = m.scores[i];
      csv.row(ids[i], m.name, s.whole.psnr_extremes, s.whole.psnr_percentile, s.whole.ssim, s.whole.mae, s.mask.psnr_extremes, s.mask.psnr_percentile, s.mask.ssim, s.mask.mae, m.border[i]);
    }
    Json entry = json_from(mean_score(m.scores));
    entry["border_jump"] = mean_of(m.border);
    summary["methods"][m.name] = entry;
  }
  for (std::size_t r = 0; regions && r < tissue_names.size(); ++r) {
    const double people_scored = static_cast<double>(ids.size());
    const auto errors = [&](const std::array<double, 2>& sums) { return Json{{"mean", sums[0] / people_scored}, {"mean_size", sums[1] / people_scored}}; };
    summary["region_volume_errors"][tissue_names[r]] = {{"scans", errors(scan_error[r])}, {"tokenizer", errors(tokenizer_error[r])}};
  }
  csv.finish();
  write_text(out / "summary.json", summary.dump(2) + "\n", write);
  write_text(out / "tables.txt", text.str(), write);
  const std::array<const char*, 4> columns = {"scan", "tokenizer", "trilinear", "components of patches"};
  std::vector<std::string> captions;
  for (std::size_t i = 0; i < pictures.size(); ++i) captions.push_back(concat(ids[i / columns.size()], " ", columns[i % columns.size()]));
  if (!pictures.empty()) write_png(out / "montage.png", montage(pictures, 4, captions), write);
  return failures.empty() ? exit_done : exit_some_failed;
}

}  // namespace braing3n::examples
