// A scan through a tokenizer and back:  reconstruct_a_scan TOKENIZER scan.nii.gz back.nii.gz
#include <iostream>

#include <braing3n/easy.hpp>

using namespace braing3n;

int main(int argc, char** argv) try {
  if (argc != 4) {
    std::cerr << "usage: reconstruct_a_scan TOKENIZER SCAN RESULT\n";
    return 2;
  }
  // [session]
  const Session session;
  const ScanTokenizer tokenizer = session.tokenizer(argv[1]);
  const Scan scan = session.read(argv[2]);
  const ScanReconstruction back = tokenizer.reconstruct(scan);  // on the scan's own voxels, in its own intensities
  back.write(argv[3], {.overwrite = true});
  // [session]

  const ScanFeatures features = tokenizer.features(scan);         // one value per channel, for probes
  const xt::xtensor<float, 4> latents = tokenizer.latents(scan);  // (X', Y', Z', channels), for generative models
  std::cout << features.values.size() << " features, " << latents.size() << " latents, SSIM in the brain "
            << back.score.mask.ssim << ", PSNR " << back.score.mask.psnr_extremes << " dB\n";
  return 0;
} catch (const std::exception& e) {
  std::cerr << e.what() << '\n';
  return 1;
}
