// Fuzzes the NIfTI reader: mutated files must be read or refused with an Error, never crash, hang or ask for absurd memory.
//
//   clang++-19 -std=c++20 -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all tests/tools/fuzz_nifti.cpp ...
//   fuzz_nifti SEED_FILE... [--rounds N] [--seed S]
//
// Deterministic: round r of seed s always makes the same file, so a finding is reproduced by its number.
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "braing3n/base/philox.hpp"
#include "braing3n/volume/nifti/read.hpp"
#include "tests/support/nifti_bytes.hpp"

using namespace braing3n;

namespace {

/// Bytes of the header that decide about sizes and places, hit more often than others.
constexpr std::size_t tender[] = {0,   1,   2,   3,   4,   12,  14,  16,  17,  24,  32,  39,  40,  41,
                                  42,  43,  44,  46,  48,  70,  71,  72,  76,  80,  108, 109, 110, 111,
                                  112, 116, 123, 168, 175, 252, 254, 256, 280, 344, 345, 346, 348};

std::string mutated(const std::string& seed, const Philox& rng, std::uint32_t round) {
  std::string s = seed;
  std::uint64_t next = 0;
  const auto draw = [&](std::size_t n) {
    return static_cast<std::size_t>(rng.integer(next++)) % std::max<std::size_t>(1, n);
  };
  (void)round;
  const std::size_t changes = 1 + draw(6);
  for (std::size_t c = 0; c < changes && !s.empty(); ++c) {
    switch (draw(7)) {
      case 0:
        s[tender[draw(std::size(tender))] % s.size()] = static_cast<char>(draw(256));
        break;
      case 1:
        s[draw(s.size())] = static_cast<char>(draw(256));
        break;
      case 2:
        s[draw(std::min<std::size_t>(s.size(), 544))] = static_cast<char>("\x00\xff\x7f\x80\x01"[draw(5)]);
        break;
      case 3:
        s.resize(draw(s.size() + 1));
        break;
      case 4:
        s.insert(draw(s.size()), std::string(draw(64), static_cast<char>(draw(256))));
        break;
      case 5: {
        const std::size_t at = tender[draw(std::size(tender))] % s.size();
        for (std::size_t i = at; i < std::min(s.size(), at + 1 + draw(8)); ++i) s[i] = static_cast<char>(draw(256));
        break;
      }
      default:
        s.erase(draw(s.size()), draw(16));
        break;
    }
  }
  return s;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> seeds;
  std::uint32_t rounds = 20000;
  std::uint64_t seed = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    if (a == "--rounds") rounds = static_cast<std::uint32_t>(std::atoi(argv[++i]));
    else if (a == "--seed") seed = static_cast<std::uint64_t>(std::atoll(argv[++i]));
    else seeds.push_back(test::read_bytes(a));
  }
  for (const int version : {1, 2}) {  // small files of our own: most mutations hit the header
    test::NiftiBytes f;
    f.version = version, f.sform_code = 1, f.srow = {{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}}}, f.qform_code = 1;
    f.datatype = 4, f.bitpix = 16;
    seeds.push_back(f.header() + f.voxels([](auto i, auto j, auto k, auto) { return static_cast<double>(i + j + k); }));
  }
  Context<Cpu> ctx({.threads = 1});
  const test::ScratchFolder folder;
  std::map<std::string, int> outcomes;
  double slowest = 0;
  for (std::uint32_t r = 0; r < rounds; ++r) {
    const Philox rng(seed, Purpose::test, 0, r);
    const std::string& from = seeds[r % seeds.size()];
    const bool packed = from.size() > 2 && from[0] == '\x1f' && from[1] == '\x8b';
    // Damage inside the compressed data, or in the plain bytes before they are compressed.
    const bool pack_after = !packed && r / seeds.size() % 3 == 0;
    std::string bytes = mutated(from, rng, r);
    if (pack_after) bytes = test::gzip(bytes, 1);
    const auto path = folder / (packed || pack_after ? "f.nii.gz" : "f.nii");
    test::write_bytes(path, bytes);
    const auto begin = std::chrono::steady_clock::now();
    try {
      NiftiReadOptions o;
      o.volume = 0;
      const NiftiVolume v = read_nifti(ctx, path, o);
      ++outcomes[v.volume.size() > 0 ? "read" : "empty"];
    } catch (const Error& e) {
      ++outcomes[e.id()];
    }
    slowest = std::max(slowest, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  struct rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  for (const auto& [id, n] : outcomes) std::printf("%-24s %d\n", id.c_str(), n);
  std::printf("%u files, slowest %.0f ms, peak memory %ld MiB\n", rounds, 1e3 * slowest, usage.ru_maxrss / 1024);
}
