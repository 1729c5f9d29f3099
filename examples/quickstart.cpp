// The library end to end at a small size: made-up heads -> a masked autoencoder learns them -> model file -> read back ->
// the removed parts of heads it has never seen are filled in and compared with the simplest guess, the mean head.
#include <filesystem>
#include <iostream>

#include "braing3n/io/model_file.hpp"
#include "braing3n/io/nifti_write.hpp"
#include "braing3n/models/mae3d.hpp"
#include "braing3n/nn/flatten.hpp"
#include "braing3n/nn/initialize.hpp"
#include "braing3n/nn/state_dict.hpp"
#include "braing3n/ops/patch.hpp"
#include "braing3n/optim/adamw.hpp"
#include "braing3n/optim/clip.hpp"
#include "braing3n/optim/schedule.hpp"
#include "braing3n/train/finite_loss.hpp"
#include "examples/support/context.hpp"
#include "examples/support/json_log.hpp"
#include "examples/support/progress.hpp"
#include "examples/support/table.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

using Volumes = Tensor<float, Cpu>;  // (N, X, Y, Z, 1)

constexpr Extent3 image = {32, 40, 32};

/// A head of random size and brightness with a darker core of random size and place, edges about two voxels wide.
void draw_head(std::uint64_t seed, std::uint32_t subject, float* voxels) {
  const Philox rng(seed, Purpose::phantom, 0, subject);
  const double radius[3] = {9.0 + 6.0 * rng.uniform(0), 11.0 + 8.0 * rng.uniform(1), 9.0 + 6.0 * rng.uniform(2)};
  const double core = 0.2 + 0.4 * rng.uniform(3), shift = 6.0 * (rng.uniform(4) - 0.5), brightness = 0.6 + 0.4 * rng.uniform(5);
  const auto edge = [](double r, double at) { return 1.0 / (1.0 + std::exp(12.0 * (r - at))); };
  for (Index x = 0; x < image[0]; ++x)
    for (Index y = 0; y < image[1]; ++y)
      for (Index z = 0; z < image[2]; ++z) {
        const double a = static_cast<double>(x) - 15.5, b = static_cast<double>(y) - 19.5, c = static_cast<double>(z) - 15.5;
        const double outer = std::sqrt(a * a / (radius[0] * radius[0]) + b * b / (radius[1] * radius[1]) + c * c / (radius[2] * radius[2]));
        const double inner = std::sqrt(a * a + (b - shift) * (b - shift) + c * c) / radius[0];
        *voxels++ = static_cast<float>(brightness * (edge(outer, 1.0) - 0.7 * edge(inner, core)));
      }
}

Volumes heads(Context<Cpu>& context, std::uint64_t seed, std::uint32_t first, Index count) {
  Volumes batch(context, {count, image[0], image[1], image[2], 1});
  for (Index n = 0; n < count; ++n) draw_head(seed, first + static_cast<std::uint32_t>(n), batch.slice(n, n + 1).data());
  return batch;
}

TokenMask<Cpu> masks(Context<Cpu>& context, std::uint64_t seed, std::uint32_t step, std::uint32_t first, Index count, const Mae3dConfig& c) {
  std::vector<std::uint32_t> subjects;
  for (Index n = 0; n < count; ++n) subjects.push_back(first + static_cast<std::uint32_t>(n));
  return draw_token_mask(context, seed, step, std::span<const std::uint32_t>(subjects), c.encoder.tokens(), c.masking_ratio);
}

/// visible patches of the head, predicted patches where they were removed
Volume filled_in(const Tensor<float, Cpu>& prediction, const Tensor<float, Cpu>& target, const TokenMask<Cpu>& mask, const Mae3dConfig& c) {
  Tensor<float, Cpu> tokens = target.slice(0, 1).clone();
  const Index size = c.encoder.patch_size();
  for (Index l = 0; l < c.encoder.tokens(); ++l)
    if (mask.masked.data()[l] > 0) std::copy_n(prediction.data() + l * size, size, tokens.data() + l * size);
  const Shape shape = {1, image[0], image[1], image[2], 1};
  const Tensor<float, Cpu> voxels = unpatchify_forward(tokens, shape, PatchExtents{c.encoder.patch[0], c.encoder.patch[1], c.encoder.patch[2]});
  Volume volume{Grid{image, Affine{}}};
  std::copy_n(voxels.data(), voxels.size(), volume.data());
  return volume;
}

}  // namespace

int main(int argc, char** argv) {
  Program program("quickstart", "Trains a small masked autoencoder on made-up heads and fills in what it has not seen.");
  std::filesystem::path out = "quickstart-out";
  bool smoke = false;
  Index steps = 800;
  program.app.add_option("--out", out, "folder for the model and the volumes");
  program.app.add_option("--steps", steps, "training steps")->check(CLI::Range(1, 1000000));
  program.app.add_flag("--smoke", smoke, "a run of seconds that only shows that everything works");

  return program.run(argc, argv, [&] {
    if (program.common.precision != "f32")
      fail(ErrorKind::argument, "quickstart.precision", "--precision ", program.common.precision, ": quickstart trains, which needs f32");
    if (smoke) steps = std::min<Index>(steps, 20);
    const std::uint64_t seed = program.common.seed;
    const WriteOptions write = {.overwrite = program.common.force};
    const auto model_path = out / "mae.safetensors", scan_path = out / "SYNTHETIC_head.nii.gz", filled_path = out / "SYNTHETIC_head_RECONSTRUCTION.nii.gz";
    for (const auto& path : {model_path, scan_path, filled_path})
      if (!write.overwrite && std::filesystem::exists(path)) fail(ErrorKind::file, "quickstart.exists", path.string(), " exists; --force replaces it");
    std::filesystem::create_directories(out);

    JsonLog log(program.common.json_log);
    const auto context_owner = make_cpu_context(program.common);
    Context<Cpu>& context = *context_owner;
    Mae3dConfig config;
    config.encoder = {.image = image, .patch = {8, 8, 8}, .width = 96, .depth = 3, .heads = 4, .mlp = 384};
    config.decoder_width = 48, config.decoder_depth = 2, config.decoder_heads = 4, config.decoder_mlp = 192;
    Mae3d<Cpu, F32> model(context, config);
    initialize(model, seed);
    flatten(model, context);
    auto parameters = parameter_views<Mae3d<Cpu, F32>, Cpu>(model);
    AdamW<float, Cpu> optimizer(parameters, {.beta2 = 0.95, .weight_decay = 0.05});
    const Schedule schedule({.lr = 2e-3, .warmup_steps = steps / 20, .steps = steps});
    if (!program.common.quiet)
      std::cout << "masked autoencoder with " << with_commas(count_parameters(model).learned) << " parameters, " << config.encoder.tokens()
                << " tokens, provider " << context.provider().name << ", " << context.threads() << " threads\n";

    constexpr Index training_heads = 256, batch = 8, test_heads = 16;
    const Volumes training = heads(context, seed, 0, training_heads);
    double first_loss = 0, last_loss = 0;
    {
      Progress progress("train", steps, program.common.quiet);
      for (Index step = 0; step < steps; ++step) {
        stop_if_interrupted();
        const Index begin = step * batch % training_heads;
        const Volumes x = training.slice(begin, begin + batch);
        const TokenMask<Cpu> mask = masks(context, seed, static_cast<std::uint32_t>(step), static_cast<std::uint32_t>(begin), batch, config);

        optimizer.zero_gradients();
        Tape<Cpu> tape;
        Pass<Cpu> pass(context, tape);
        const auto result = model(pass, x, mask);
        const auto loss = masked_patch_loss(result.prediction, result.target, mask, config.norm_pix_loss);
        require_finite_loss(loss, context, model, [&](Pass<Cpu>& again) { model(again, x, mask); });
        tape.backward(loss);
        const ClipResult clip = clip_coefficient(std::span<const ParameterView<float, Cpu>>(parameters), 1.0);
        optimizer.step(schedule.at(step), clip.coefficient);
        last_loss = item(loss);
        if (step == 0) first_loss = last_loss;
        progress.advance(1, concat("loss ", last_loss));
        log.event("step", {{"step", step}, {"loss", last_loss}, {"gradient_norm", clip.norm}});
      }
    }

    std::vector<NamedTensor> tensors;
    for_each_state(model, [&](const std::string& name, const Shape& shape, auto values) {
      const auto extents = shape.extents();
      tensors.push_back(named_tensor(name, std::vector<Index>(extents.begin(), extents.end()), std::move(values)));
    });
    ModelInfo info;
    info.kind = "mae3d";
    info.config = json_text(config);
    info.provenance = concat("quickstart, ", steps, " steps on made-up heads, seed ", seed);
    info.licence = "Apache-2.0";
    write_model(model_path, info, tensors, write);

    // From here on only the file counts.
    const ModelFile file(model_path);
    file.require_kind("mae3d");
    Mae3d<Cpu, F32> loaded(context, file.config<Mae3dConfig>());
    if (const LoadReport report = load_state(loaded, file); !report.complete()) fail(ErrorKind::format, "quickstart.load", "weights do not fit:\n", report.str());

    const Volumes unseen = heads(context, seed, 1000, test_heads);
    const TokenMask<Cpu> mask = masks(context, seed, 0, 1000, test_heads, config);
    Pass<Cpu> pass(context);
    const auto result = loaded(pass, unseen, mask);
    const bool same = result.prediction.value().to_host() == model(pass, unseen, mask).prediction.value().to_host();
    if (!same) fail(ErrorKind::numeric, "quickstart.reload", "the model read from the file predicts other values than the one that was written");
    const double error = masked_patch_mse_forward(result.prediction.value(), result.target, mask.masked);

    // The simplest guess for a removed patch: the mean of that patch over the training heads.
    const auto seen = loaded.encoder.patches(training);
    Tensor<float, Cpu> guess = Tensor<float, Cpu>::zeros(context, result.target.shape());
    const Index row = seen.size() / training_heads;
    for (Index n = 0; n < training_heads; ++n)
      for (Index i = 0; i < row; ++i) guess.data()[i] += seen.data()[n * row + i] / static_cast<float>(training_heads);
    for (Index n = 1; n < test_heads; ++n) std::copy_n(guess.data(), row, guess.data() + n * row);
    const double guess_error = masked_patch_mse_forward(guess, result.target, mask.masked);

    NiftiWriteOptions nifti;
    nifti.file = write;
    nifti.description = concat("SYNTHETIC braing3n quickstart seed ", seed);
    Volume scan{Grid{image, Affine{}}};
    std::copy_n(unseen.data(), scan.size(), scan.data());
    write_nifti(context, scan_path, scan, nifti);
    nifti.description = concat("SYNTHETIC RECONSTRUCTION braing3n quickstart seed ", seed);
    write_nifti(context, filled_path, filled_in(result.prediction.value(), result.target, mask, config), nifti);

    Table table({"mean squared error of removed patches", "value"});
    table.row("training, first step", first_loss);
    table.row("training, last step", last_loss);
    table.row(concat(test_heads, " new heads, the mean head as a guess"), guess_error);
    table.row(concat(test_heads, " new heads, the model read from its file"), error);
    table.print(std::cout);
    log.event("done", {{"model_error", error}, {"mean_head_error", guess_error}});
    std::cout << "wrote " << model_path.string() << ", " << scan_path.string() << ", " << filled_path.string() << "\n";
    return exit_done;
  });
}
