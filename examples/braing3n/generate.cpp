// Synthetic brains: samples of a diffusion transformer under conditions, as NIfTI.
//
//   braing3n generate --model DIT --tokenizer T --condition modality=T1,age=70,sex=F --n 4 --cfg 2 --out DIR
//   braing3n generate --model DIT --tokenizer T --condition modality=T1,sex=F --sweep age=30,50,70 --out DIR     one noise, one attribute
//   braing3n generate --redo DIR/SYNTHETIC_0000.json --out AGAIN                                                   the same bytes
// Every volume has a sidecar with all options that made it. Intensities are those of the model: z-scores over the brain.
#include "braing3n/report/png.hpp"
#include "braing3n/report/sample_pictures.hpp"
#include "examples/braing3n/commands.hpp"
#include "examples/braing3n/options/generate_options.hpp"
#include "examples/support/loaded_generator.hpp"
#include "examples/support/progress.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

int generate(const Program& program, const GenerateOptions& o, const std::optional<SampleRecord>& again) {
  const CommonOptions& common = program.common;
  CommonOptions wanted = common;
  if (again && wanted.provider.empty() && again->provider != "cuda") wanted.provider = again->provider;
  if (again) wanted.precision = again->precision;
  const ProgramMachine machine = make_machine(wanted);
  Context<Cpu>& ctx = *machine.host;
  const LoadedGenerator loaded = load_generator(machine, o.model, o.tokenizer);
  const AnySampler& dit = *loaded.sampler;
  const AnyDecoder& decoder = *loaded.decoder;
  const std::vector<ConditionField>& fields = dit.config().conditions;
  GenerationOptions options;
  options.record = again ? *again : o.record(common, fields, loaded.provider, {dit.hash, decoder.hash});
  const SamplingOptions& sampling = options.record.sampling;
  const SamplePlan plan = again ? SamplePlan{{planned_again(fields, *again)}, 1} : o.plan(fields, sampling.guidance);
  sampling.guidance.validate(fields);
  o.guard(plan.samples, common);

  JsonLog log(common.json_log);
  const std::filesystem::path folder = o.out;
  const WriteOptions write{.overwrite = common.force};
  const Index count = std::ssize(plan.samples), batch = sampling_batch(dit.config(), count, o.batch);
  options.batch = batch;
  const std::size_t planned =
      loaded.planned(batch * sampling.guidance.most_copies(), evaluations(sampling.sampler, sampling.steps));
  if (loaded.gpu) require_gpu_memory(*loaded.gpu, planned);
  if (!common.quiet) std::cerr << "memory: " << planned / 1'000'000 << " MB planned\n";
  Progress progress("generate", ((count + batch - 1) / batch) * evaluations(sampling.sampler, sampling.steps),
                    common.quiet);
  std::vector<Tensor<float, Cpu>> shown;
  std::vector<std::string> captions;
  std::vector<FileLock> locks;  // of the volumes of a batch: jobs that share a folder write different ones
  Index done = 0;
  int code = exit_done;
  GenerationHooks hooks;
  hooks.on_batch = [&](std::span<const PlannedSample> part) { locks = lock_samples(folder, std::move(locks), part); };
  hooks.before_evaluation = [&] {
    stop_if_interrupted();
    progress.advance();
  };
  hooks.on_volume = [&](const PlannedSample& sample, const Volume& volume, SampleRecord own) {
    stop_if_interrupted();
    const SampleRecord record = write_sample(ctx, folder, volume, std::move(own), write);
    if (again && record.crc32 != again->crc32) {
      std::cerr << "generate: " << record.file << " is not the same file: made by version " << again->version
                << " with kernels " << again->provider << ", now by version " << version() << " with "
                << loaded.provider << '\n';
      code = exit_some_failed;
    }
    log.event("sample", {{"file", record.file}, {"conditions", record.conditions}});
    if (o.pictures() && shown.size() < 64) shown.push_back(voxels_of(ctx, volume)), captions.push_back(sample.caption);
    ++done;
  };
  generate_volumes(ctx, dit, decoder, std::span<const PlannedSample>(plan.samples), options, hooks);
  progress.close();
  if (machine.gpu == nullptr) report_memory(planned, log, common.quiet);
  if (static_cast<Index>(shown.size()) < count) shown.resize(shown.size() / plan.variants * plan.variants);
  captions.resize(shown.size());
  if (!shown.empty())
    write_png(folder / "montage.png", sample_montage(ctx, decoder.contract, shown, captions, plan.variants),
              {.overwrite = true});
  std::cout << done << " SYNTHETIC " << (done == 1 ? "volume" : "volumes") << " in " << folder.string();
  if (again) std::cout << (code == exit_done ? ": the same bytes as before" : ": not the same bytes as before");
  std::cout << '\n';
  return code;
}

}  // namespace

int generate_command(int argc, char** argv) {
  GenerateOptions o;
  Program program("generate", "Makes synthetic brains under conditions. Results are marked SYNTHETIC.");
  o.add_to(program.app);
  return program.run(argc, argv, [&]() -> int { return generate(program, o, o.resolve(program.app)); });
}
