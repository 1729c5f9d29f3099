// A scan through the tokenizer and back: how much of it the latents keep.
//
//   braing3n reconstruct --model TOKENIZER --in scan.nii.gz --out back.nii.gz --png back.png
//   braing3n reconstruct --model TOKENIZER --data volumes.csv --out FOLDER --pictures
//   braing3n reconstruct --model TOKENIZER --in scan.nii.gz --out back.nii.gz --max-memory 1500
// The result lies on the scan's own voxels in the scan's own intensities; scores are taken on the model's grid.
#include <chrono>

#include "braing3n/checkpoint/volume_model.hpp"
#include "braing3n/eval/reconstruction.hpp"
#include "braing3n/format/csv.hpp"
#include "braing3n/format/file_lock.hpp"
#include "braing3n/format/output_guard.hpp"
#include "braing3n/report/chart.hpp"
#include "braing3n/report/planes.hpp"
#include "braing3n/report/png.hpp"
#include "braing3n/report/table.hpp"
#include "braing3n/volume/nifti/read.hpp"
#include "braing3n/volume/nifti/write.hpp"
#include "braing3n/volume/preprocess.hpp"
#include "examples/braing3n/commands.hpp"
#include "examples/support/context.hpp"
#include "examples/support/contract_options.hpp"
#include "examples/support/json_log.hpp"
#include "examples/support/memory_plan.hpp"
#include "examples/support/progress.hpp"
#include "examples/support/scan_list.hpp"
#include "examples/support/tell_findings.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

struct Options {
  std::string model, out, png;
  bool pictures = false;
  Index max_memory = 0;  // MB
  ScanArguments scans;
  ContractOptions contract;
};

/// Input, reconstruction and their difference, in the scan's own world.
Image picture(Context<Cpu>& ctx, const Preprocessed& p, const Tensor<float, Cpu>& output) {
  const Volume before = as_volume(p.data, p.record), after = as_volume(output, p.record);
  Volume difference = after;
  for (Index i = 0; i < difference.size(); ++i) difference.data()[i] -= before.data()[i];
  const VolumeStatistics s = statistics(ctx, before.data(), before.size());
  const Vec3 centre = before.affine * Vec3{0.5 * static_cast<double>(before.shape()[0] - 1),
                                           0.5 * static_cast<double>(before.shape()[1] - 1),
                                           0.5 * static_cast<double>(before.shape()[2] - 1)};
  PlaneOptions grey;
  grey.low = s.min;
  grey.high = nonzero_quantile(before.data(), before.size(), 0.995);
  grey.centre = &centre;
  PlaneOptions signs = grey;
  signs.diverging = true;
  signs.high = (grey.high - grey.low) / 4;
  signs.low = -signs.high;
  return montage({draw_planes(ctx, before, grey), draw_planes(ctx, after, grey), draw_planes(ctx, difference, signs)},
                 1, {"input", "reconstruction", "difference: blue darker, red brighter, full at 1/4 of the range"});
}

template <class To, class From>
Tensor<To, Cpu> converted(const Tensor<From, Cpu>& x) {
  if constexpr (std::is_same_v<To, From>) return x;
  else return cast<To>(x);
}

/// What one scan gave, and how long the model took.
struct Reconstructed {
  ReconstructionScore score;
  Findings findings;
  double encode_seconds = 0, decode_seconds = 0;
};

template <Precision P>
Reconstructed reconstruct_one(Context<Cpu>& ctx, const LoadedTokenizer<Cpu, P>& tokenizer, const DecodePlan& plan,
                              const NamedScan& scan, const ScanArguments& arguments, const std::filesystem::path& out,
                              const std::filesystem::path& png, const WriteOptions& write) {
  using T = typename P::Compute;
  using Clock = std::chrono::steady_clock;
  NiftiVolume nifti = read_nifti(ctx, scan.path, {.volume = arguments.index});
  nifti.info.findings.require_usable(arguments.strict, scan.path.string());
  const Preprocessed p = [&] {
    try {
      return preprocess(ctx, std::move(nifti.volume), tokenizer.contract, arguments.strict);
    } catch (const Error& e) {
      throw e.at(scan.path.string());
    }
  }();
  const Shape& s = p.data.shape();
  Pass<Cpu> pass(ctx);
  const auto end_phase = [&] {
    if (plan.tight) ctx.memory().trim();
  };
  end_phase();
  const auto begin = Clock::now();
  Tensor<T, Cpu> z = tokenizer.model.encode(pass, converted<T>(p.data.reshape({1, s[0], s[1], s[2], 1}))).value();
  end_phase();
  const auto encoded = Clock::now();
  const Tensor<float, Cpu> output =
      converted<float>(decode(pass, tokenizer.model.decoder, std::move(z), plan)).reshape(s);
  end_phase();
  const auto decoded = Clock::now();
  Reconstructed r;
  r.encode_seconds = std::chrono::duration<double>(encoded - begin).count();
  r.decode_seconds = std::chrono::duration<double>(decoded - encoded).count();
  r.score = score_reconstruction(ctx, p.data, output, nonzero_mask(p.data));
  r.findings = nifti.info.findings;
  r.findings.append(p.findings);
  NiftiWriteOptions options;
  const Volume back = restore(ctx, output, p.record, &p.data);
  options.description = concat(mark_of(back.provenance), " braing3n tokenizer ", tokenizer.hash);
  options.file = write;
  write_nifti(ctx, out, back, options);
  if (!png.empty()) write_png(png, picture(ctx, p, output), write);
  return r;
}

const std::vector<std::string> columns = {"volume_id", "psnr_extremes",      "psnr_percentile",      "ssim",
                                          "mae",       "mask_psnr_extremes", "mask_psnr_percentile", "mask_ssim",
                                          "mask_mae"};
std::vector<double> numbers(const ReconstructionScore& s) {
  return {s.whole.psnr_extremes, s.whole.psnr_percentile, s.whole.ssim, s.whole.mae,
          s.mask.psnr_extremes,  s.mask.psnr_percentile,  s.mask.ssim,  s.mask.mae};
}

/// Voxels of the largest scan, by the headers; a header that cannot be read counts as none, and its scan will say why.
Index largest_scan(const std::vector<NamedScan>& scans) {
  Index most = 0;
  for (const NamedScan& scan : scans) {
    try {
      const NiftiHeader h = read_nifti_info(scan.path).header;
      most = std::max(most, voxel_count(h.shape()));
    } catch (const Error&) {
    }
  }
  return most;
}

template <Precision P>
int reconstruct(const Program& program, const Options& o) {
  const CommonOptions& common = program.common;
  const WriteOptions write{.overwrite = common.force};
  const bool single = !o.scans.in.empty();
  if (!o.scans.in.empty() && o.scans.data.empty()) require_ending(o.out, {".nii.gz", ".nii"});
  if (!o.png.empty()) require_ending(o.png, {".png"});
  if (!o.png.empty() && !single)
    fail(ErrorKind::argument, "reconstruct.png",
         "--png is for one scan; with --data, --pictures draws one beside each result");
  const std::vector<NamedScan> scans = o.scans.scans(common.quiet);
  const std::filesystem::path folder = o.out, csv = folder / "scores.csv";
  const auto output_of = [&](const NamedScan& s) {
    return single ? folder : folder / (file_name_part(s.id) + "_RECONSTRUCTION.nii.gz");
  };
  const auto picture_of = [&](const NamedScan& s) {
    return single       ? std::filesystem::path(o.png)
           : o.pictures ? folder / (file_name_part(s.id) + "_RECONSTRUCTION.png")
                        : std::filesystem::path();
  };
  OutputGuard guard;
  guard.input(model_path(o.model));
  guard.input(o.contract.file());
  guard_inputs(guard, o.scans, scans);
  for (const NamedScan& s : scans) {
    guard.output(output_of(s));
    guard.output(picture_of(s));
  }
  if (!single) guard.output(csv);
  guard.output(common.json_log);
  const FileLock lock = lock_file(single ? folder : csv);
  make_folder_of(o.png);
  if (!write.overwrite && std::filesystem::exists(single ? folder : csv))
    throw Error(ErrorKind::file, "file.exists", "exists already; --force replaces it",
                (single ? folder : csv).string());
  JsonLog log(common.json_log);
  const auto ctx = make_cpu_context(common);
  const auto tokenizer = load_tokenizer<P>(
      *ctx, o.model, o.contract.given(program.app) ? std::optional(o.contract.contract()) : std::nullopt);
  if (!common.quiet) std::cerr << describe(tokenizer.contract) << '\n';
  ctx->memory().trim();
  const MemoryPlan plan =
      plan_memory(tokenizer.model, largest_scan(scans),
                  o.max_memory > 0 ? std::optional(static_cast<std::size_t>(o.max_memory) * 1'000'000) : std::nullopt);
  if (!common.quiet) std::cerr << plan.str(tokenizer.model.config.decoder) << '\n';
  if (!plan.decoder.tight) ctx->prefault(plan.decoding);
  log.event("memory_plan", {{"peak", plan.peak()},
                            {"model", plan.before},
                            {"decoder_first", plan.decoder.first},
                            {"decoder_slabs", plan.decoder.slabs}});

  std::vector<ReconstructionScore> scores;
  std::vector<std::string> ids;
  FindingLog findings;
  std::size_t failed = 0;
  bool stopped = false;
  Progress progress("reconstruct", static_cast<Index>(scans.size()), common.quiet);
  for (const NamedScan& scan : scans) {
    try {
      const std::filesystem::path out = output_of(scan), png = picture_of(scan);
      const Reconstructed r = reconstruct_one(*ctx, tokenizer, plan.decoder, scan, o.scans, out, png, write);
      findings.add(&scan - scans.data(), scan.path.string(), r.findings);
      scores.push_back(r.score);
      ids.push_back(scan.id);
      log.event("scan", {{"id", scan.id},
                         {"out", out.string()},
                         {"whole_ssim", r.score.whole.ssim},
                         {"mask_ssim", r.score.mask.ssim},
                         {"encode_seconds", r.encode_seconds},
                         {"decode_seconds", r.decode_seconds}});
    } catch (const Error& e) {
      if (single || e.kind() == ErrorKind::environment) throw;
      std::cerr << "reconstruct: " << scan.id << ": " << e.what() << '\n';
      log.event("failed", {{"id", scan.id}, {"error", e.what()}});
      ++failed;
    }
    progress.advance(1, scan.id);
    stopped = interrupted();
    if (stopped) break;
  }
  progress.close();
  tell_findings(findings, log, common.quiet);
  if (!common.quiet)
    std::cerr << "memory: " << peak_resident_bytes() / 1'000'000 << " MB at the most, " << plan.peak() / 1'000'000
              << " MB planned\n";
  log.event("memory", {{"peak", peak_resident_bytes()}, {"planned", plan.peak()}});
  if (scores.empty()) return exit_not_started;

  Table table(
      {"scan", "PSNR (max-min)", "PSNR (99.5%)", "SSIM", "MAE", "in the brain: PSNR", "PSNR (99.5%)", "SSIM", "MAE"});
  const auto show = [&](const std::string& name, const ReconstructionScore& s) {
    std::vector<std::string> cells = {name};
    const std::vector<double> v = numbers(s);
    for (std::size_t i = 0; i < v.size(); ++i) cells.push_back(decimals(v[i], i % 4 < 2 ? 2 : 4));
    table.add(std::move(cells));
  };
  for (std::size_t i = 0; i < scores.size(); ++i) show(ids[i], scores[i]);
  if (scores.size() > 1) show("mean", mean_score(scores));
  table.print(std::cout);
  if (!single) {
    CsvWriter out(csv, columns, write);
    for (std::size_t i = 0; i < scores.size(); ++i) {
      const std::vector<double> v = numbers(scores[i]);
      out.row(ids[i], v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]);
    }
    out.finish();
  }
  return stopped ? exit_interrupted : failed > 0 ? exit_some_failed : exit_done;
}

}  // namespace

int reconstruct_command(int argc, char** argv) {
  Options o;
  Program program("reconstruct", "Sends scans through a tokenizer and back, on their own voxels, with scores.");
  program.app.add_option("--model", o.model, "a tokenizer: its file, or the folder of its training")->required();
  o.scans.add_to(program.app);
  program.app.add_option("--out", o.out, "the reconstruction (.nii.gz); with --data a folder")->required();
  program.app.add_option("--png", o.png, "picture of input, reconstruction and difference, for --in");
  program.app.add_flag("--pictures", o.pictures, "a picture beside each reconstruction, for --data");
  o.contract.add_to(program.app);
  program.app
      .add_option("--max-memory", o.max_memory,
                  "MB that the whole program may take, 0: what it likes; the decoder then works in slabs, slower, with "
                  "the same result")
      ->check(CLI::NonNegativeNumber);
  program.without({"--seed"});
  return program.run(argc, argv, [&] {
    return program.common.precision == "bf16" ? reconstruct<BF16>(program, o) : reconstruct<F32>(program, o);
  });
}
