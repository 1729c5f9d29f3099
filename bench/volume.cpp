// Volumes: reading a .nii.gz into a model-ready tensor against the bare inflate, the loader under a training-like load.
//
//   bench_volume [--threads N] [SCAN.nii.gz]
//
// Without a scan a brain-like volume of 160 x 192 x 160 int16 is made: a textured ball on a background of 0.
#include <zlib.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "bench/support/arguments.hpp"
#include "braing3n/data/loader.hpp"
#include "braing3n/volume/nifti/write.hpp"

using namespace braing3n;

namespace {

using Clock = std::chrono::steady_clock;
double since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

double median_ms(const std::function<void()>& f, int repeats = 11) {
  f();
  std::vector<double> t;
  for (int i = 0; i < repeats; ++i) {
    const auto begin = Clock::now();
    f();
    t.push_back(1e3 * since(begin));
  }
  std::nth_element(t.begin(), t.begin() + repeats / 2, t.end());
  return t[static_cast<std::size_t>(repeats / 2)];
}

Volume made_up(std::uint32_t id) {
  Volume v(Grid{{160, 192, 160}, Affine{{{{-1, 0, 0, 80}, {0, -1, 0, 96}, {0, 0, 1, -80}}}}});
  const Philox rng(1, Purpose::test, 0, id);
  Index at = 0;
  for (Index i = 0; i < 160; ++i)
    for (Index j = 0; j < 192; ++j)
      for (Index k = 0; k < 160; ++k, ++at) {
        const double x = static_cast<double>(i - 80) / 66, y = static_cast<double>(j - 96) / 82,
                     z = static_cast<double>(k - 80) / 64;
        const double texture = std::sin(0.31 * static_cast<double>(i)) * std::sin(0.27 * static_cast<double>(j)) *
                               std::sin(0.23 * static_cast<double>(k));
        const auto noise = 30 * rng.uniform(static_cast<std::uint64_t>(at));
        v.data()[at] = x * x + y * y + z * z < 1 ? std::round(600 + 200 * static_cast<float>(texture) + noise) : 0;
      }
  return v;
}

/// The shortest time in which zlib can give the bytes: one buffer, nothing kept.
void bare_inflate(const std::vector<std::byte>& file) {
  std::vector<std::byte> out(std::size_t{1} << 18);
  z_stream z{};
  inflateInit2(&z, 31);
  z.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(file.data()));
  z.avail_in = static_cast<uInt>(file.size());
  int result = Z_OK;
  while (result == Z_OK) {
    z.next_out = reinterpret_cast<Bytef*>(out.data());
    z.avail_out = static_cast<uInt>(out.size());
    result = inflate(&z, Z_NO_FLUSH);
  }
  inflateEnd(&z);
  if (result != Z_STREAM_END) std::exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  bench::check_arguments(argc, argv, "reading, preprocessing and writing of a scan",
                         {.options = {"--threads"}, .flags = {}, .words = {}, .any_word = true});
  int threads = 2;
  std::filesystem::path scan;
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    if (a == "--threads" && i + 1 < argc) threads = std::atoi(argv[++i]);
    else scan = a;
  }
  Context<Cpu> ctx({.threads = threads});
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("braing3n_bench_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  if (scan.empty()) {
    scan = folder / "scan.nii.gz";
    NiftiWriteOptions o;
    o.type = NiftiType::int16;
    write_nifti(ctx, scan, made_up(1), o);
  }
  const NiftiInfo info = read_nifti_info(scan);
  std::printf("%s: %s %s, %.1f MB, %d threads\n", scan.filename().c_str(), describe(info.header.shape()).c_str(),
              info.header.type.name, 1e-6 * static_cast<double>(std::filesystem::file_size(scan)), threads);
  const MappedFile mapped(scan);
  const std::vector<std::byte> bytes(mapped.bytes().begin(), mapped.bytes().end());
  PreprocessingContract contract;
  NiftiVolume once = read_nifti(ctx, scan, {.volume = 0});
  const double bare = median_ms([&] { bare_inflate(bytes); });
  const double read = median_ms([&] { (void)read_nifti(ctx, scan, {.volume = 0}); });
  const double ready = median_ms([&] { (void)preprocess(ctx, read_nifti(ctx, scan, {.volume = 0}).volume, contract); });
  const double prepare = median_ms([&] { (void)preprocess(ctx, once.volume, contract); });
  std::printf("%-46s %8.1f ms\n", "bare inflate", bare);
  std::printf("%-46s %8.1f ms  %.2f x inflate\n", "read into a volume (float32)", read, read / bare);
  std::printf("%-46s %8.1f ms  %.2f x inflate\n", "read, checked, z-scored: model-ready tensor", ready, ready / bare);
  std::printf("%-46s %8.1f ms\n", "  of which preprocessing (with a copy)", prepare);
  contract = PreprocessingContract::small();
  std::printf("%-46s %8.1f ms\n", "preprocessing to 2 mm, centre of mass",
              median_ms([&] { (void)preprocess(ctx, once.volume, contract); }));
  Grid turned = once.volume.grid();
  const double c = std::cos(0.1), s = std::sin(0.1);
  turned.affine = Affine{{{{c, -s, 0, 0}, {s, c, 0, 0}, {0, 0, 1, 0}}}} * turned.affine;
  std::printf("%-46s %8.1f ms\n", "resampling to a rotated grid, same spacing",
              median_ms([&] { (void)resample(ctx, once.volume, turned); }, 5));
  std::printf("%-46s %8.1f ms\n", "writing .nii.gz",
              median_ms(
                  [&] {
                    NiftiWriteOptions o;
                    o.file.overwrite = true, o.file.durable = false;
                    write_nifti(ctx, folder / "out.nii.gz", once.volume, o);
                  },
                  3));

  // A cohort on disk; the "training step" keeps all threads of a context busy. The loader's own thread shares the cores, as
  // it does in training.
  std::vector<std::filesystem::path> paths;
  std::vector<std::string> ids;
  for (std::uint32_t i = 0; i < 4; ++i) {
    paths.push_back(folder / concat(i, ".nii.gz"));
    ids.push_back(concat(i));
    NiftiWriteOptions o;
    o.type = NiftiType::int16;
    write_nifti(ctx, paths.back(), made_up(10 + i), o);
  }
  contract = PreprocessingContract::paper();
  write_packed_cache(folder / "cohort.cache", ids, contract, scan_source(paths, contract));
  const auto cache = std::make_shared<const PackedCache>(folder / "cohort.cache");
  std::vector<float> sink(static_cast<std::size_t>(threads));
  const auto step = [&](double seconds) {
    ctx.parallel(threads, [&](Index t) {
      const auto begin = Clock::now();
      float x = 1.0f;
      while (since(begin) < seconds)
        for (int i = 0; i < 20000; ++i) x = x * 1.0000001f + 1e-7f;
      sink[static_cast<std::size_t>(t)] += x;
    });
  };
  for (const bool cached : {false, true})
    for (const double seconds : {0.25, 1.0}) {
      VolumeLoader loader(ctx, cached ? cache_source(cache) : scan_source(paths, contract), {0, 1, 2, 3}, {.batch = 1});
      (void)loader.next();
      const double before = loader.seconds_waited();
      const auto begin = Clock::now();
      for (int i = 0; i < (seconds < 0.5 ? 12 : 5); ++i) {
        step(seconds);
        (void)loader.next();
      }
      const double all = since(begin), waited = loader.seconds_waited() - before;
      std::printf("loader, %s, steps of %.2f s: waited %.1f ms of %.2f s (%.2f %%)\n",
                  cached ? "packed cache" : ".nii.gz", seconds, 1e3 * waited, all, 100 * waited / all);
    }
  std::filesystem::remove_all(folder);
  return sink[0] == 42.0f;  // keeps the work from being optimised away
}
