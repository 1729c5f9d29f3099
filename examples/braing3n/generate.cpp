// Brains that do not exist: samples of a diffusion transformer under conditions, as NIfTI.
//
//   braing3n generate --model DIT --tokenizer T --condition modality=T1,age=70,sex=F --n 4 --cfg 2 --out DIR
//   braing3n generate --model DIT --tokenizer T --condition modality=T1,sex=F --sweep age=30,50,70 --out DIR     one noise, one attribute
//   braing3n generate --redo DIR/SYNTHETIC_0000.json --out AGAIN                                                   the same bytes
// Every volume has a sidecar with all that made it. Intensities are those of the model: z-scores over the brain.
#include "braing3n/base/text.hpp"
#include "braing3n/checkpoint/saved_dit.hpp"
#include "braing3n/data/sample_record.hpp"
#include "braing3n/format/output_guard.hpp"
#include "braing3n/models/dit_memory.hpp"
#include "braing3n/models/tiled_decode.hpp"
#include "braing3n/report/png.hpp"
#include "braing3n/report/previews.hpp"
#include "braing3n/volume/nifti/write.hpp"
#include "braing3n/volume/preprocess.hpp"
#include "examples/braing3n/commands.hpp"
#include "examples/support/context.hpp"
#include "examples/support/json_log.hpp"
#include "examples/support/progress.hpp"
#include "examples/support/resident_memory.hpp"
#include "examples/support/sampling_arguments.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

struct Options {
  std::string model, tokenizer, condition, sweep, cfg = "1", redo, out;
  SamplerArguments sampler;
  std::optional<std::string> interval;
  Index n = 1, batch = 0;
  std::uint32_t first = 0;
  bool no_pictures = false;
};

/// "2", or "disease=1.5,age=2".
Guidance parse_guidance(const Options& o, const std::vector<ConditionField>& fields) {
  Guidance g;
  const auto number = [](const std::string& what, const std::string& text) {
    const auto value = braing3n::detail::parse_label_number(text);
    if (!value)
      fail(ErrorKind::argument, "guidance.scale", what, ' ', in_quotes(text, 60), ": expected a finite number");
    return *value;
  };
  if (o.cfg.find('=') == std::string::npos) {
    g.scale = number("--cfg", o.cfg);
  } else {
    g.composed = parse_scales("--cfg", o.cfg, fields);
  }
  if (o.interval) {
    const std::size_t comma = o.interval->find(',');
    if (comma == std::string::npos)
      fail(ErrorKind::argument, "guidance.interval", "--cfg-interval ", in_quotes(*o.interval, 60),
           ": expected LOW,HIGH");
    g.low = number("--cfg-interval", o.interval->substr(0, comma));
    g.high = number("--cfg-interval", o.interval->substr(comma + 1));
  }
  g.validate(fields);
  return g;
}

/// Throws Error with the advice of this program when the weights that made a sample are gone.
void require_weights(const WeightsRecord& weights, const char* what) {
  try {
    weights.require(what);
  } catch (const Error& e) {
    if (e.id() != "sidecar.gone") throw;
    throw Error(e.kind(), e.id(), concat(e.text(), "; --", what, " says where it is now"), e.path());
  }
}

/// One volume to make.
struct Wanted {
  std::uint32_t id = 0;
  ConditionRow row;
  std::string name, caption;
};

std::string file_part(const std::string& text) {
  std::string plain;
  for (const char c : text)
    plain +=
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ? c : '_';
  return plain;
}

/// Samples of one sweep stand together: values within a sample.
std::vector<Wanted> plan(const Options& o, const std::vector<ConditionField>& fields) {
  ConditionRow row = parse_conditions(fields, o.condition);
  std::vector<std::pair<std::string, ConditionRow>> variants;
  if (o.sweep.empty()) {
    variants.emplace_back("", row);
  } else {
    const auto sweep = parse_assignments(o.sweep);
    if (sweep.size() != 1)
      fail(ErrorKind::argument, "generate.sweep", "--sweep varies one condition: name=value,value,...");
    const std::size_t f = find_condition(fields, sweep[0].name);
    if (!row[f].missing())
      fail(ErrorKind::argument, "generate.sweep", sweep[0].name, " stands in --condition and in --sweep");
    for (const std::string& value : sweep[0].values) {
      row[f] = condition_value(fields[f], value);
      variants.emplace_back(concat(sweep[0].name, '=', row[f].missing() ? "null" : condition_text(fields[f], row[f])),
                            row);
    }
  }
  std::vector<Wanted> all;
  std::set<std::string> names;
  for (Index i = 0; i < o.n; ++i)
    for (const auto& [variant, conditions] : variants) {
      require_conditions(fields, conditions);
      const auto id = static_cast<std::uint32_t>(o.first + i);
      Wanted w{id, conditions, concat(synthetic_name(id), variant.empty() ? "" : "_", file_part(variant)),
               variant.empty() ? describe_conditions(fields, conditions) : variant};
      if (!names.insert(w.name).second)
        fail(ErrorKind::argument, "generate.sweep", "--sweep gives ", in_quotes(variant, 60),
             " twice, or two values that differ only in characters that no file name has");
      all.push_back(std::move(w));
    }
  return all;
}

/// Rows of three planes: one row per sample and, for a sweep, one per difference to the first value. All in the grey scale of the first.
Image picture(Context<Cpu>& ctx, const PreprocessingContract& contract, const std::vector<Wanted>& wanted,
              const std::vector<Tensor<float, Cpu>>& volumes, std::size_t variants) {
  std::vector<Image> tiles = preview_rows(ctx, contract, volumes.front(), volumes);
  std::vector<std::string> captions;
  for (const Wanted& w : wanted) captions.push_back(w.caption);
  if (variants < 2) return montage(tiles, std::min<Index>(2, std::ssize(tiles)), captions);
  // One column per value; under the samples of one noise the differences to its first value.
  const Grid grid = contract_grid(contract);
  const Vec3 centre = grid.affine * Vec3{static_cast<double>(grid.shape[0] / 2), static_cast<double>(grid.shape[1] / 2),
                                         static_cast<double>(grid.shape[2] / 2)};
  std::vector<Volume> differences;
  float largest = 0;
  for (std::size_t i = 0; i < volumes.size(); ++i) {
    Volume d(grid);
    const Tensor<float, Cpu>&first = volumes[i / variants * variants], &here = volumes[i];
    for (Index v = 0; v < d.size(); ++v) d.data()[v] = here.data()[v] - first.data()[v];
    Volume size = d;
    for (Index v = 0; v < size.size(); ++v) size.data()[v] = std::abs(size.data()[v]);
    largest = std::max(largest, nonzero_quantile(size.data(), size.size(), 0.999));
    differences.push_back(std::move(d));
  }
  PlaneOptions signs;
  signs.diverging = true;
  signs.centre = &centre;
  signs.high = largest > 0 ? largest : 1;
  signs.low = -signs.high;
  std::vector<Image> all;
  std::vector<std::string> texts;
  for (std::size_t row = 0; row < volumes.size(); row += variants) {
    for (std::size_t k = 0; k < variants; ++k)
      all.push_back(std::move(tiles[row + k])), texts.push_back(captions[row + k]);
    for (std::size_t k = 0; k < variants; ++k) {
      all.push_back(draw_planes(ctx, differences[row + k], signs));
      texts.push_back(concat("minus ", captions[row], ", full at ",
                             number_text(std::round(100 * static_cast<double>(signs.high)) / 100)));
    }
  }
  return montage(all, static_cast<Index>(variants), texts);
}

/// Bytes of the process once everything is loaded and at work: models, copies of their weights that the first run makes, and the larger of
/// the two phases, whose blocks stay for the next sample as long as that is not much more than one phase needs.
template <Precision P>
std::size_t plan_memory(Context<Cpu>& ctx, const Dit3d<Cpu, P>& model, const CnnDecoder3d<Cpu, F32>& decoder,
                        Index rows) {
  ctx.memory().trim();
  const std::size_t before = resident_bytes(),
                    packed = std::is_same_v<P, BF16> ? static_cast<std::size_t>(count_parameters(model).learned) *
                                                           sizeof(typename P::Compute)
                                                     : 0,
                    sampling = plan_evaluation<P>(model.config, rows);
  const DecodePlan decoding = plan_decode(decoder);
  const std::size_t live = ctx.memory().stats().live + packed,
                    most = CachingHostMemory::most_reserved(live + std::max(sampling, decoding.bytes)) - live;
  return before + packed + std::min(sampling + decoding.blocks, most);
}

template <Precision P>
int generate(const Program& program, const Options& o, const SampleRecord* again) {
  const CommonOptions& common = program.common;
  CommonOptions machine = common;
  if (again != nullptr && machine.provider.empty()) machine.provider = again->provider;
  const auto ctx = make_cpu_context(machine);
  const auto dit = load_dit<P>(*ctx, o.model);
  const LoadedDecoder<Cpu> decoder = load_decoder(*ctx, o.tokenizer);
  require_tokenizer(dit, decoder, o.tokenizer);
  const std::vector<ConditionField>& fields = dit.model.config.conditions;

  SampleRecord common_record;
  std::vector<Wanted> wanted;
  std::size_t variants = 1;
  if (again != nullptr) {
    common_record = *again;
    Wanted w;
    w.id = again->sample;
    w.row = conditions_from_json(fields, again->conditions);
    require_conditions(fields, w.row);
    w.name = again->file.substr(0, again->file.size() - std::string(".nii.gz").size());
    wanted.push_back(std::move(w));
  } else {
    common_record.seed = common.seed;
    common_record.sampling = o.sampler.options();
    common_record.sampling.guidance = parse_guidance(o, fields);
    common_record.precision = common.precision;
    common_record.provider = ctx->provider().name;
    common_record.model = {std::filesystem::absolute(model_path(o.model)).lexically_normal().string(), dit.hash};
    common_record.tokenizer = {std::filesystem::absolute(model_path(o.tokenizer)).lexically_normal().string(),
                               decoder.hash};
    wanted = plan(o, fields);
    variants = wanted.size() / static_cast<std::size_t>(o.n);
    for (const ConditionScale& c : common_record.sampling.guidance.composed) {
      const std::size_t f = find_condition(fields, c.condition);
      if (std::all_of(wanted.begin(), wanted.end(), [&](const Wanted& w) { return w.row[f].missing(); }))
        fail(ErrorKind::argument, "guidance.condition", "--cfg has a scale for ", c.condition, ", which is not given");
    }
  }
  const SamplingOptions& sampling = common_record.sampling;
  sampling.guidance.validate(fields);

  const std::filesystem::path folder = o.out;
  const WriteOptions write{.overwrite = common.force};
  OutputGuard guard;
  guard.input(model_path(o.model));
  guard.input(model_path(o.tokenizer));
  guard.input(o.redo);
  for (const Wanted& w : wanted)
    for (const char* ending : {".nii.gz", ".json"}) guard.output(folder / (w.name + ending));
  if (!o.no_pictures && again == nullptr) guard.output(folder / "montage.png");
  guard.output(common.json_log);
  make_folder(folder);
  if (!write.overwrite)
    for (const Wanted& w : wanted)
      for (const char* ending : {".nii.gz", ".json"})
        if (const auto path = folder / (w.name + ending); std::filesystem::exists(path))
          throw Error(ErrorKind::file, "file.exists", "exists already; --force replaces it", path.string());

  JsonLog log(common.json_log);

  // As many samples together as make a batch of about 1,200 tokens: it does not change them.
  const Index tokens = volume_of(dit.model.config.grid), count = std::ssize(wanted);
  const Index batch = std::clamp<Index>(o.batch > 0 ? o.batch : 1200 / tokens, 1, count);
  const std::size_t planned = plan_memory(*ctx, dit.model, decoder.model, batch * sampling.guidance.most_copies());
  if (!common.quiet) std::cerr << "memory: " << planned / 1'000'000 << " MB planned\n";
  const Grid grid = contract_grid(decoder.contract);
  Progress progress("generate", ((count + batch - 1) / batch) * evaluations(sampling.sampler, sampling.steps),
                    common.quiet);
  std::vector<Tensor<float, Cpu>> shown;
  int code = exit_done;
  Index done = 0;
  for (Index begin = 0; begin < count; begin += batch) {
    const Index end = std::min(count, begin + batch);
    std::vector<std::uint32_t> ids;
    std::vector<ConditionRow> rows;
    for (Index i = begin; i < end; ++i) {
      ids.push_back(wanted[static_cast<std::size_t>(i)].id);
      rows.push_back(wanted[static_cast<std::size_t>(i)].row);
    }
    const auto z =
        sample_latents(*ctx, dit.model, std::span<const std::uint32_t>(ids), rows, common_record.seed, sampling, [&] {
          stop_if_interrupted();
          progress.advance();
        });
    const Tensor<float, Cpu> latents = sampled_latents(dit, z);
    for (Index i = begin; i < end; ++i) {
      stop_if_interrupted();
      const Wanted& w = wanted[static_cast<std::size_t>(i)];
      const Volume volume = decoded_volume(decoder, latents.slice(i - begin, i - begin + 1));
      SampleRecord record = common_record;
      record.file = w.name + ".nii.gz";
      record.sample = w.id;
      record.conditions = conditions_json(fields, w.row);
      record = write_synthetic_volume(*ctx, folder, volume, std::move(record), write);
      if (again != nullptr && record.crc32 != again->crc32) {
        std::cerr << "generate: " << record.file << " is not the same file: made by version " << again->version
                  << " with kernels " << again->provider << ", now by version " << version() << " with "
                  << ctx->provider().name << '\n';
        code = exit_some_failed;
      }
      write_json(folder / record.sidecar(), record, write);
      log.event("sample", {{"file", record.file}, {"conditions", record.conditions}});
      if (!o.no_pictures && again == nullptr && shown.size() < 64)
        shown.push_back(Tensor<float, Cpu>::from_host(*ctx, {grid.shape[0], grid.shape[1], grid.shape[2]},
                                                      {volume.data(), static_cast<std::size_t>(volume.size())}));
      ++done;
    }
  }
  progress.close();
  if (!common.quiet)
    std::cerr << "memory: " << peak_resident_bytes() / 1'000'000 << " MB at the most, " << planned / 1'000'000
              << " MB planned\n";
  log.event("memory", {{"peak", peak_resident_bytes()}, {"planned", planned}});
  if (!shown.empty()) {
    if (shown.size() < wanted.size()) shown.resize(shown.size() / variants * variants);
    if (!shown.empty()) {
      const std::vector<Wanted> first(wanted.begin(), wanted.begin() + std::ssize(shown));
      write_png(folder / "montage.png", picture(*ctx, decoder.contract, first, shown, variants), {.overwrite = true});
    }
  }
  std::cout << done << " SYNTHETIC " << (done == 1 ? "volume" : "volumes") << " in " << folder.string();
  if (again != nullptr)
    std::cout << (code == exit_done ? ": the same bytes as before" : ": not the same bytes as before");
  std::cout << '\n';
  return code;
}

}  // namespace

int generate_command(int argc, char** argv) {
  Options o;
  Program program("generate", "Makes brains that do not exist, under conditions. Results are SYNTHETIC and marked so.");
  CLI::App& app = program.app;
  app.add_option("--model", o.model, "a diffusion transformer: its file, or the folder of its training");
  app.add_option("--tokenizer", o.tokenizer, "the tokenizer whose latents it learnt");
  app.add_option("--condition", o.condition, "name=value,...: what is known; the rest is left open");
  app.add_option("--sweep", o.sweep, "name=value,value,...: one condition varied, the noise held");
  app.add_option("--n", o.n, "samples (of each value of a sweep)")->check(CLI::Range(1, 1000000));
  app.add_option("--first", o.first, "number of the first sample");
  o.sampler.add_to(app);
  app.add_option("--cfg", o.cfg,
                 "guidance: one scale for all conditions (1: none), or name=scale,... for each its own");
  app.add_option("--cfg-interval", o.interval, "LOW,HIGH: guide only for t between the two, 1 being noise");
  app.add_option("--batch", o.batch, "samples made together, 0: chosen; changes nothing but the time")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--redo", o.redo, "a sidecar: make that volume again");
  app.add_flag("--no-pictures", o.no_pictures, "no montage.png");
  app.add_option("--out", o.out, "folder for volumes, sidecars and montage.png")->required();
  return program.run(argc, argv, [&]() -> int {
    std::optional<SampleRecord> record;
    if (!o.redo.empty()) {
      record = read_sample_record(o.redo);
      for (const char* fixed : {"--condition", "--sweep", "--n", "--first", "--steps", "--sampler", "--cfg",
                                "--cfg-interval", "--seed", "--precision"})
        if (app.get_option(fixed)->count() > 0)
          fail(ErrorKind::argument, "generate.redo", fixed, " cannot be given with --redo: the sidecar says it");
      if (!o.model.empty()) record->model.file = model_path(o.model).string();
      if (!o.tokenizer.empty()) record->tokenizer.file = model_path(o.tokenizer).string();
      require_weights(record->model, "model");
      require_weights(record->tokenizer, "tokenizer");
      o.model = record->model.file;
      o.tokenizer = record->tokenizer.file;
    } else {
      if (o.model.empty() || o.tokenizer.empty())
        fail(ErrorKind::argument, "generate.model", "expected --model and --tokenizer, or --redo");
      (void)o.sampler.options();
    }
    const std::string& precision = record ? record->precision : program.common.precision;
    return precision == "bf16" ? generate<BF16>(program, o, record ? &*record : nullptr)
                               : generate<F32>(program, o, record ? &*record : nullptr);
  });
}
