// The code of README.md: a scan through a tokenizer and back.
// [reconstruct]
#include <iostream>

#include <braing3n/braing3n.hpp>

using namespace braing3n;

/// A scan through a tokenizer and back: the result has the scan's own voxels and intensities.
void reconstruct(const char* model, const char* scan, const char* result) {
  Context<Cpu> context;  // threads, memory, the fastest kernels this processor has
  const auto tokenizer = load_tokenizer<F32>(context, model);

  const Preprocessed input = preprocess(context, read_nifti(context, scan).volume, tokenizer.contract);
  const Shape grid = input.data.shape();

  Pass<Cpu> pass(context);  // without a tape: nothing is recorded
  const auto latents =
      tokenizer.model.encode(pass, input.data.reshape({1, grid[0], grid[1], grid[2], 1}));  // (1, X', Y', Z', d')
  const auto output = tokenizer.model.decode(pass, latents).value().reshape(grid);

  const auto score = score_reconstruction(context, input.data, output, nonzero_mask(input.data));
  std::cout << "latents " << latents.shape() << ", PSNR " << score.whole.psnr_extremes << " dB, SSIM "
            << score.whole.ssim << "\n";
  write_nifti(context, result, restore(context, output, input.record, &input.data));
}
// [reconstruct]

#include <filesystem>

#include "tests/support/check.hpp"
#include "tests/support/saved_tokenizer.hpp"
#include "tests/support/scratch_folder.hpp"

TEST_CASE("README: a scan goes through a tokenizer and comes back on its own voxels") {
  Context<Cpu> ctx({.threads = 2});
  const test::ScratchFolder scratch;
  const std::filesystem::path& folder = scratch.path;
  const std::filesystem::path model = test::saved_tokenizer(ctx, folder);
  Volume scan(Grid{{20, 22, 18}, scaling({1.5, 2, 2})});
  for (Index i = 0; i < scan.size(); ++i) scan.data()[i] = static_cast<float>(i * 37 % 1000);
  write_nifti(ctx, folder / "scan.nii.gz", scan);

  reconstruct(model.c_str(), (folder / "scan.nii.gz").c_str(), (folder / "back.nii.gz").c_str());
  const NiftiVolume back = read_nifti(ctx, folder / "back.nii.gz");
  CHECK(back.volume.shape() == scan.shape());
  CHECK(back.volume.affine(0, 0) == doctest::Approx(1.5));
  CHECK(statistics(ctx, back.volume.data(), back.volume.size()).max > 0);
}
