// NIfTI files of every kind against bytes made in the test, against the C library, and against damage.
#include <doctest/doctest.h>

#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <cstring>

#include "braing3n/base/philox.hpp"
#include "braing3n/volume/nifti/write.hpp"
#include "braing3n/volume/orientation.hpp"
#include "tests/support/nifti_bytes.hpp"

using namespace braing3n;
using namespace braing3n::test;

namespace {

constexpr std::array<std::array<int, 2>, 10> types{
    {{2, 8}, {4, 16}, {8, 32}, {16, 32}, {64, 64}, {256, 8}, {512, 16}, {768, 32}, {1024, 64}, {1280, 64}}};

bool is_signed(int type) { return type != 2 && type != 512 && type != 768 && type != 1280; }

double stored(int type, std::int64_t i, std::int64_t j, std::int64_t k, std::int64_t t) {
  const double v = static_cast<double>((i + 4 * j + 20 * k + 3 * t) % 120);
  return is_signed(type) && (i + k) % 2 == 1 ? -v : v;
}

NiftiBytes some_file() {
  NiftiBytes f;
  f.sform_code = 1;
  f.srow = {{{-1, 0, 0, 10}, {0, 1, 0, -20}, {0, 0, 1, 5}}};
  return f;
}

std::string some_voxels(const NiftiBytes& f) {
  return f.voxels([&](auto i, auto j, auto k, auto t) { return stored(f.datatype, i, j, k, t); });
}

/// What reading `path` is refused with; "" when it is read.
std::string refusal(const std::filesystem::path& path, const NiftiReadOptions& options = {}) {
  Context<Cpu> ctx({.threads = 1});
  try {
    (void)read_nifti(ctx, path, options);
  } catch (const Error& e) {
    CHECK_MESSAGE(std::string(e.what()).find(path.filename().string()) != std::string::npos,
                  "the message names no file: ", e.what());
    return e.id();
  }
  return "";
}

}  // namespace

TEST_CASE(
    "every type, byte order, version, single file and pair, plain and compressed, slope; also as the C library reads "
    "it") {
  Context<Cpu> ctx({.threads = 2});
  const ScratchFolder folder;
  ::nifti_set_debug_level(0);
  for (const auto& [type, bits] : types)
    for (const bool big : {false, true})
      for (const int version : {1, 2})
        for (const bool single : {true, false})
          for (const bool compressed : {false, true})
            for (const double slope : {0.0, 1.0, -2.5}) {
              NiftiBytes f = some_file();
              f.datatype = type, f.bitpix = bits, f.big_endian = big, f.version = version, f.single = single,
              f.slope = slope;
              f.intercept = slope == 0.0   ? 5.0
                            : slope == 1.0 ? 0.0
                                           : 7.25;  // an intercept without slope does not count
              const auto put = [&](const std::string& name, const std::string& bytes) {
                write_bytes(folder / (compressed ? name + ".gz" : name), compressed ? gzip(bytes) : bytes);
                return folder / (compressed ? name + ".gz" : name);
              };
              std::filesystem::path path;
              if (single) path = put("a.nii", f.header() + some_voxels(f));
              else path = put("a.hdr", f.header()), put("a.img", some_voxels(f));
              CAPTURE(path.string());
              CAPTURE(type);
              CAPTURE(big);
              CAPTURE(slope);
              const NiftiVolume v = read_nifti(ctx, path);
              REQUIRE(v.volume.shape() == Extent3{4, 5, 6});
              bool same = v.info.header.big_endian == big && v.info.header.version == version &&
                          v.info.compressed == compressed;
              nifti_image* image = ::nifti_image_read(path.c_str(), 1);
              REQUIRE(image != nullptr);
              bool library = image->nx == 4 && image->ny == 5 && image->nz == 6;
              for (std::int64_t k = 0; k < 6; ++k)
                for (std::int64_t j = 0; j < 5; ++j)
                  for (std::int64_t i = 0; i < 4; ++i) {
                    const double raw = stored(type, i, j, k, 0);
                    const float expected = static_cast<float>(slope == 0.0 ? raw : slope * raw + f.intercept);
                    const float found = v.volume.values(static_cast<std::size_t>(i), static_cast<std::size_t>(j),
                                                        static_cast<std::size_t>(k));
                    same = same && expected == found;
                    const std::size_t at = static_cast<std::size_t>(i + 4 * (j + 5 * k));
                    double other = 0;
                    const auto take = [&]<class T>(T) {
                      other = static_cast<double>(static_cast<const T*>(image->data)[at]);
                    };
                    switch (type) {
                      case 2:
                        take(std::uint8_t{});
                        break;
                      case 4:
                        take(std::int16_t{});
                        break;
                      case 8:
                        take(std::int32_t{});
                        break;
                      case 16:
                        take(float{});
                        break;
                      case 64:
                        take(double{});
                        break;
                      case 256:
                        take(std::int8_t{});
                        break;
                      case 512:
                        take(std::uint16_t{});
                        break;
                      case 768:
                        take(std::uint32_t{});
                        break;
                      case 1024:
                        take(std::int64_t{});
                        break;
                      default:
                        take(std::uint64_t{});
                        break;
                    }
                    library = library && other == raw;
                  }
              ::nifti_image_free(image);
              CHECK(same);
              CHECK(library);
              if (!single)
                std::filesystem::remove(path), std::filesystem::remove(folder / (compressed ? "a.img.gz" : "a.img"));
            }
}

TEST_CASE("big values keep their size, small ones their digits") {
  Context<Cpu> ctx({.threads = 1});
  const ScratchFolder folder;
  NiftiBytes f = some_file();
  f.dim = {3, 2, 1, 1, 1, 1, 1, 1};
  f.datatype = 1280, f.bitpix = 64;
  std::string bytes = f.header() + std::string(16, '\xff');
  for (std::size_t i = 0; i < 8; ++i) bytes[bytes.size() - 8 + i] = '\0';
  write_bytes(folder / "u64.nii", bytes);
  CHECK(read_nifti(ctx, folder / "u64.nii").volume.values(0, 0, 0) == 18446744073709551615.0f);
  f.datatype = 4, f.bitpix = 16, f.slope = 1e-3, f.intercept = 100;
  write_bytes(folder / "i16.nii",
              f.header() + f.voxels([](auto i, auto, auto, auto) { return i == 0 ? 32767.0 : -32768.0; }));
  const NiftiVolume v = read_nifti(ctx, folder / "i16.nii");
  CHECK(v.volume.values(0, 0, 0) == static_cast<float>(static_cast<double>(1e-3f) * 32767 + 100));
  CHECK(v.volume.values(1, 0, 0) == static_cast<float>(static_cast<double>(1e-3f) * -32768 + 100));
}

TEST_CASE("several volumes, two dimensions, trailing axes of length one") {
  Context<Cpu> ctx({.threads = 2});
  const ScratchFolder folder;
  NiftiBytes f = some_file();
  f.dim = {5, 4, 5, 6, 1, 3, 1, 1};
  f.datatype = 4, f.bitpix = 16;
  for (const bool compressed : {false, true}) {
    const auto path = folder / (compressed ? "five.nii.gz" : "five.nii");
    const std::string bytes = f.header() + some_voxels(f);
    write_bytes(path, compressed ? gzip(bytes) : bytes);
    CHECK(refusal(path) == "nifti.volumes");
    try {
      (void)read_nifti(ctx, path);
    } catch (const Error& e) {
      CHECK(std::string(e.what()).find(
                "holds 3 volumes (4 x 5 x 6 x 1 x 3): expected the number of one of them, 0 to 2, got none") !=
            std::string::npos);
      CHECK(std::string(e.what()).find("--") == std::string::npos);  // a library has no options
    }
    CHECK(refusal(path, {.volume = 3}) == "nifti.volumes");
    for (Index t = 0; t < 3; ++t)
      CHECK(read_nifti(ctx, path, {.volume = t}).volume.values(3, 2, 5) == static_cast<float>(stored(4, 3, 2, 5, t)));
  }
  f.dim = {4, 4, 5, 6, 1, 1, 1, 1};
  write_bytes(folder / "four.nii", f.header() + some_voxels(f));
  CHECK(refusal(folder / "four.nii") == "");
  f.dim = {2, 4, 5, 99, 99, 1, 1, 1};  // beyond the two dimensions nothing counts
  write_bytes(folder / "flat.nii", f.header() + some_voxels(f));
  CHECK(read_nifti(ctx, folder / "flat.nii").volume.shape() == Extent3{4, 5, 1});
}

TEST_CASE("a file that ends inside a later volume is refused, whichever volume is asked for") {
  Context<Cpu> ctx({.threads = 1});
  const ScratchFolder folder;
  NiftiBytes f = some_file();
  f.dim = {4, 20, 21, 22, 3, 1, 1, 1};
  f.datatype = 4, f.bitpix = 16;
  const std::string plain = f.header() + some_voxels(f), packed = gzip(plain);
  const std::size_t each = 2 * 20 * 21 * 22;
  for (const Index chosen : {0, 1, 2}) {
    for (const std::size_t missing : {std::size_t{1}, each / 2, each, 2 * each}) {
      write_bytes(folder / "cut.nii", plain.substr(0, plain.size() - missing));
      CHECK(refusal(folder / "cut.nii", {.volume = chosen}) == "nifti.truncated");
      write_bytes(folder / "cut.nii.gz",
                  gzip(plain.substr(0, plain.size() - missing)));  // a whole stream of too little
      CHECK(refusal(folder / "cut.nii.gz", {.volume = chosen}) == "nifti.truncated");
    }
    for (const std::size_t missing : {std::size_t{1}, std::size_t{8}, std::size_t{9}, packed.size() / 3}) {
      write_bytes(folder / "cut.nii.gz", packed.substr(0, packed.size() - missing));
      CHECK(refusal(folder / "cut.nii.gz", {.volume = chosen}) == "gzip.truncated");
    }
    write_bytes(folder / "cut.nii.gz",
                gzip(plain.substr(0, 1000)) + gzip(plain.substr(1000, 20000)));  // a member is missing
    CHECK(refusal(folder / "cut.nii.gz", {.volume = chosen}) == "nifti.truncated");
  }
  // The end may look right (the length that gzip states) while the stream is cut before it.
  write_bytes(folder / "cut.nii.gz", packed.substr(0, packed.size() / 2) + packed.substr(packed.size() - 4));
  CHECK((refusal(folder / "cut.nii.gz", {.volume = 0}).starts_with("gzip.")));
  // A damaged byte is noticed by the checksum behind the last volume; what follows the voxels is told too.
  std::string wrong = packed;
  wrong[wrong.size() - 8] = static_cast<char>(wrong[wrong.size() - 8] ^ 1);
  for (const Index chosen : {0, 1, 2}) {
    write_bytes(folder / "wrong.nii.gz", wrong);
    CHECK(read_nifti(ctx, folder / "wrong.nii.gz", {.volume = chosen}).info.findings.has("gzip.checksum"));
    for (const char* name : {"long.nii", "long.nii.gz"}) {
      write_bytes(folder / name, std::string(name) == "long.nii" ? plain + "more" : gzip(plain + "more"));
      const NiftiVolume v = read_nifti(ctx, folder / name, {.volume = chosen});
      CHECK(v.info.findings.has("nifti.trailing"));
      CHECK(v.volume.values(7, 8, 21) == static_cast<float>(stored(4, 7, 8, 21, chosen)));
    }
  }
  // A pair: the voxels are cut in their own file.
  NiftiBytes pair = f;
  pair.single = false;
  const std::string header = pair.header(), voxels = some_voxels(pair);
  write_bytes(folder / "pair.hdr", header);
  write_bytes(folder / "pair.img", voxels.substr(0, 2 * each));
  CHECK(refusal(folder / "pair.hdr", {.volume = 0}) == "nifti.truncated");
  write_bytes(folder / "pair.img", voxels);
  CHECK(refusal(folder / "pair.hdr", {.volume = 0}) == "");
}

TEST_CASE("damaged and lying files are refused in words, without memory for what they promise") {
  const ScratchFolder folder;
  const auto refused = [&](const NiftiBytes& f, const std::string& voxels, const std::string& name = "bad.nii") {
    write_bytes(folder / name, f.header() + voxels);
    return refusal(folder / name);
  };
  const NiftiBytes good = some_file();
  const std::string voxels = some_voxels(good);
  CHECK(refused(good, voxels) == "");
  CHECK(refused(good, voxels.substr(1)) == "nifti.truncated");
  CHECK(refused(good, "") == "nifti.truncated");
  CHECK(refusal(folder / "absent.nii") == "file.open");
  write_bytes(folder / "empty.nii", "");
  CHECK(refusal(folder / "empty.nii") == "nifti.empty");
  write_bytes(folder / "short.nii", good.header().substr(0, 200));
  CHECK(refusal(folder / "short.nii") == "nifti.short");
  for (const std::int64_t bad : {std::int64_t{0}, std::int64_t{-5}}) {
    NiftiBytes f = good;
    f.dim[2] = bad;
    CHECK(refused(f, voxels) == "nifti.dim");
  }
  for (const std::int64_t bad : {0, 8, -1, 300}) {
    NiftiBytes f = good;
    f.dim[0] = bad;
    CHECK(refused(f, voxels) == "nifti.rank");
  }
  for (const int version : {1, 2}) {
    NiftiBytes f = good;
    f.version = version;
    f.dim = {7, 32767, 32767, 32767, 32767, 32767, 32767, 32767};
    CHECK(refused(f, voxels) == "nifti.dim");
    f.dim = {3, 32767, 32767, 900, 1, 1, 1, 1};
    CHECK(refused(f, voxels) == "nifti.truncated");
    if (version == 2) {
      f.dim = {3, std::int64_t{1} << 62, 4, 4, 1, 1, 1, 1};
      CHECK(refused(f, voxels) == "nifti.dim");
    }
    f = good;
    f.version = version;
    for (const double offset : {1e9, 100.0, -1e6, 1e30, std::nan("")}) {
      if (version == 2 && !(std::abs(offset) < 1e18)) continue;
      f.offset = offset;
      CHECK(refused(f, voxels) == (offset == 1e9 ? "nifti.truncated" : "nifti.offset"));
    }
    f = good;
    f.version = version;
    for (const int type : {0, 1, 3, 9999, -4, 255}) {
      f.datatype = type;
      CHECK(refused(f, voxels) == "nifti.datatype");
    }
    f.datatype = 32, f.bitpix = 64;
    CHECK(refused(f, voxels + voxels) == "nifti.type");
    f.datatype = 128, f.bitpix = 24;
    CHECK(refused(f, voxels) == "nifti.type");
  }
  NiftiBytes f = good;
  f.slope = 2, f.intercept = std::nan("");
  CHECK(refused(f, voxels) == "nifti.intercept");
  f = good;
  f.version = 2;
  std::string second = f.header();
  second.replace(8, 4, "\n\n\x1a\n");  // what a transfer in text mode makes of CR LF
  write_bytes(folder / "text_mode.nii", second + voxels);
  CHECK(refusal(folder / "text_mode.nii") == "nifti.line_ends");
  second.replace(8, 4, std::string(4, '\0'));
  write_bytes(folder / "no_line_ends.nii", second + voxels);
  CHECK(read_nifti_info(folder / "no_line_ends.nii").findings.has("nifti.line_ends"));
  f.intent = 3001;
  CHECK(refused(f, voxels) == "nifti.cifti");
  std::string header = good.header();
  header.replace(344, 4, std::string("\0\0\0\0", 4));
  write_bytes(folder / "analyze.hdr", header), write_bytes(folder / "analyze.img", voxels);
  CHECK(refusal(folder / "analyze.hdr") == "nifti.magic");
  header.replace(344, 4, "nix");
  write_bytes(folder / "magic.nii", header + voxels);
  CHECK(refusal(folder / "magic.nii") == "nifti.magic");
  for (const std::string& foreign :
       {std::string("\0\0\0\1\0\0\0\3", 8), std::string(128, '\0') + "DICM", std::string("NRRD0004")}) {
    write_bytes(folder / "foreign.nii", foreign + std::string(500, '\x7f'));
    CHECK(refusal(folder / "foreign.nii") == "nifti.magic");
  }
  f = good;
  f.single = false;
  write_bytes(folder / "lonely.hdr", f.header());
  CHECK(refusal(folder / "lonely.hdr") == "nifti.pair");
  write_bytes(folder / "orphan.img", voxels);
  CHECK(refusal(folder / "orphan.img") == "nifti.pair");
  write_bytes(folder / "pair.nii", f.header() + voxels);
  CHECK(refusal(folder / "pair.nii") == "nifti.pair");
  std::filesystem::create_directory(folder / "folder.nii");
  CHECK(refusal(folder / "folder.nii") == "file.kind");
}

TEST_CASE("gzip: cut off, damaged, wrong checksum, several members, misnamed, bombs") {
  Context<Cpu> ctx({.threads = 1});
  const ScratchFolder folder;
  const auto path = folder / "scan.nii.gz";
  NiftiBytes f = some_file();
  f.dim = {3, 40, 41, 42, 1, 1, 1, 1};
  f.datatype = 4, f.bitpix = 16;
  const std::string plain = f.header() + some_voxels(f), packed = gzip(plain);
  for (const double share : {0.02, 0.3, 0.9}) {
    write_bytes(path, packed.substr(0, static_cast<std::size_t>(share * static_cast<double>(packed.size()))));
    CHECK(refusal(path) == "gzip.truncated");
  }
  write_bytes(path, packed.substr(0, packed.size() - 3));  // only the checksum is cut
  CHECK(refusal(path) == "gzip.truncated");
  std::string broken = packed;
  for (std::size_t i = 1; i < 40; ++i)
    broken[broken.size() / 2 + i] = static_cast<char>(broken[broken.size() / 2 + i] ^ 0x5a);
  write_bytes(path, broken);
  const std::string id = refusal(path);
  CHECK((id == "gzip.corrupt" || id == "gzip.truncated" || id == "nifti.truncated"));
  std::string wrong = packed;
  wrong[wrong.size() - 8] = static_cast<char>(wrong[wrong.size() - 8] ^ 1);
  write_bytes(path, wrong);
  CHECK(read_nifti(ctx, path).info.findings.has("gzip.checksum"));

  write_bytes(path, gzip(plain.substr(0, 1000)) + gzip(plain.substr(1000)));
  const NiftiVolume two = read_nifti(ctx, path);
  CHECK(two.volume.values(17, 30, 41) == static_cast<float>(stored(4, 17, 30, 41, 0)));
  CHECK_FALSE(two.info.findings.has("gzip.checksum"));
  write_bytes(path, packed + "garbage");
  CHECK(read_nifti(ctx, path).info.findings.has("nifti.trailing"));
  write_bytes(path, gzip(plain + "garbage"));
  CHECK(read_nifti(ctx, path).info.findings.has("nifti.trailing"));

  write_bytes(path, plain);
  CHECK(refusal(path) == "nifti.name");
  write_bytes(folder / "scan.nii", packed);
  CHECK(refusal(folder / "scan.nii") == "nifti.name");

  // A header that promises more than gzip could ever hold; one that promises what gzip could, but does not hold.
  NiftiBytes liar = f;
  liar.dim = {3, 2000, 2000, 2000, 1, 1, 1, 1};
  write_bytes(path, gzip(liar.header() + some_voxels(f)));
  CHECK(refusal(path) == "nifti.truncated");
  liar.dim = {3, 40, 41, 43, 1, 1, 1, 1};  // one slice too many: counted, before memory is asked for
  write_bytes(path, gzip(liar.header() + some_voxels(f)));
  CHECK(refusal(path) == "nifti.truncated");
  liar.dim = {3, 200, 200, 60, 1, 1, 1, 1};
  struct rusage before{}, after{};
  ::getrusage(RUSAGE_SELF, &before);
  write_bytes(path, gzip(liar.header() + some_voxels(f)));
  CHECK(refusal(path) == "nifti.truncated");
  ::getrusage(RUSAGE_SELF, &after);
  CHECK(after.ru_maxrss - before.ru_maxrss < 4000);  // KiB; the volume it promises is 9.6 MB as float32
  // A bomb: 64 MiB of zeros for 64 KiB of file, with the limits scaled down to that.
  NiftiBytes bomb = f;
  bomb.dim = {3, 512, 512, 128, 1, 1, 1, 1};
  write_bytes(path, gzip(bomb.header() + std::string(std::size_t{64} << 20, '\0'), 9));
  CHECK(refusal(path, {.bomb_bytes = std::uint64_t{32} << 20}) == "gzip.bomb");
  CHECK(refusal(path, {.most_bytes = std::uint64_t{32} << 20}) == "nifti.large");
  CHECK(refusal(path) == "");  // an empty mask of honest size
}

TEST_CASE("repairs are reported, geometry rules are followed") {
  Context<Cpu> ctx({.threads = 1});
  const ScratchFolder folder;
  const auto path = folder / "odd.nii";
  const auto read = [&](const NiftiBytes& f) {
    write_bytes(path, f.header() + some_voxels(f));
    return read_nifti(ctx, path);
  };
  NiftiBytes f = some_file();
  f.bitpix = 8;
  CHECK(read(f).info.findings.has("nifti.bitpix"));
  f = some_file();
  f.offset = 0;
  const NiftiVolume at_zero = read(f);
  CHECK(at_zero.info.findings.has("nifti.offset"));
  CHECK(at_zero.volume.values(1, 2, 3) == static_cast<float>(stored(16, 1, 2, 3, 0)));
  f = some_file();
  f.pixdim = {1, -2, 0, std::nan(""), 1, 0, 0, 0};
  f.sform_code = 0;
  const NiftiInfo odd = read(f).info;
  CHECK(odd.findings.has("nifti.pixdim"));
  CHECK(odd.findings.has("nifti.no_orientation"));
  CHECK(odd.affine == Affine{{{{-2, 0, 0, 3}, {0, 1, 0, -2}, {0, 0, 1, -2.5}}}});
  f = some_file();
  f.units = 1;
  CHECK(read(f).info.findings.has("nifti.units"));
  f = some_file();
  f.srow = {};
  const NiftiInfo flat = read(f).info;
  CHECK(flat.findings.has("volume.singular"));
  CHECK(flat.findings.count(Severity::error) == 1);
  f = some_file();
  f.sform_code = -3;
  f.qform_code = 2;
  f.quaternion = {0, 0, 1, 1, 2, 3};  // half a turn about z
  const NiftiInfo turned = read(f).info;
  CHECK(turned.findings.has("nifti.xform"));
  CHECK(turned.affine_source == "qform");
  CHECK(to_string(orientation_of(turned.affine)) == "LPS");
  f.quaternion = {2, 0, 0, 0, 0, 0};
  CHECK(read(f).info.findings.has("nifti.quaternion"));
  f.quaternion = {std::nan(""), 0, 0, 0, 0, 0};
  CHECK(read(f).info.findings.has("volume.singular"));
  std::string bytes = some_file().header();
  bytes[0] = 17;
  write_bytes(path, bytes + some_voxels(some_file()));
  CHECK(read_nifti(ctx, path).info.findings.has("nifti.sizeof_hdr"));
  f = some_file();
  f.description = "SYNTHETIC braing3n 0.1 seed 3";
  CHECK(read(f).info.header.mark == "SYNTHETIC");
  f.description = "Dr Somebody, Ward 3";
  CHECK(read(f).info.header.mark.empty());
}

TEST_CASE("written scans read back: bits, types, both forms, versions, refusals") {
  Context<Cpu> ctx({.threads = 2});
  const ScratchFolder folder;
  Volume v(Grid{{9, 8, 21}, Affine{{{{-1.5, 0.2, 0, 30}, {0.2, 1.5, 0, -20}, {0, 0, 2.25, 5}}}}});
  const double z = std::sqrt(1.5 * 1.5 + 0.2 * 0.2);
  const Philox rng(1, Purpose::test);
  for (Index i = 0; i < v.size(); ++i)
    v.data()[i] = static_cast<float>(rng.normal(static_cast<std::uint64_t>(i))) * 100;
  for (const char* name : {"a.nii", "a.nii.gz"})
    for (const int version : {1, 2}) {
      NiftiWriteOptions o;
      o.version = version;
      o.description = "SYNTHETIC braing3n test";
      o.file.overwrite = true;
      write_nifti(ctx, folder / name, v, o);
      const NiftiVolume r = read_nifti(ctx, folder / name);
      CHECK(r.volume.values == v.values);
      CHECK(r.info.header.version == version);
      CHECK(r.info.header.mark == "SYNTHETIC");
      CHECK(r.info.header.qform_code == 1);
      CHECK(r.info.header.sform_code == 1);
      CHECK(r.info.forms_differ_mm < 1e-3);
      CHECK(r.info.findings.empty());
      CHECK(std::abs(r.info.header.pixdim[1] - z) < 1e-6);
      CHECK(detail::corner_distance(r.volume.affine, v.affine, v.shape()) < 1e-4);
    }
  // The same bytes every time, whatever the number of threads.
  Context<Cpu> one({.threads = 1});
  const std::string first = read_bytes(folder / "a.nii.gz");
  NiftiWriteOptions again;
  again.version = 2, again.description = "SYNTHETIC braing3n test", again.file.overwrite = true;
  write_nifti(one, folder / "a.nii.gz", v, again);
  CHECK(read_bytes(folder / "a.nii.gz") == first);

  // Every byte of the header and of the padding after it is set: nothing but what the standard's fields hold.
  const std::string header = read_bytes(folder / "a.nii").substr(0, 544);
  CHECK(header.substr(240 + 23, 80 - 23) == std::string(57, '\0'));  // description
  CHECK(header.substr(320, 24) == std::string(24, '\0'));            // aux_file
  CHECK(header.substr(508, 16) == std::string(16, '\0'));            // intent_name
  CHECK(header.substr(525, 19) == std::string(19, '\0'));            // unused bytes and "no extensions"

  // Sheared axes have no qform.
  Volume sheared = v;
  sheared.affine(0, 1) = 0.9;
  write_nifti(ctx, folder / "sheared.nii", sheared);
  const NiftiInfo s = read_nifti_info(folder / "sheared.nii");
  CHECK(s.header.qform_code == 0);
  CHECK(detail::corner_distance(s.affine, sheared.affine, v.shape()) < 1e-4);
  CHECK(s.findings.empty());

  // Like the input: int16 with slope, rounded and kept inside the range.
  NiftiBytes f = some_file();
  f.datatype = 4, f.bitpix = 16, f.slope = 0.5, f.intercept = 10, f.description = "Dr Somebody";
  write_bytes(folder / "in.nii", f.header() + some_voxels(f));
  NiftiVolume in = read_nifti(ctx, folder / "in.nii");
  write_nifti(ctx, folder / "out.nii", in.volume, like_input(in.info));
  const NiftiVolume out = read_nifti(ctx, folder / "out.nii");
  CHECK(out.volume.values == in.volume.values);
  CHECK(out.info.header.type.type == NiftiType::int16);
  CHECK(out.info.header.slope == 0.5);
  CHECK(read_bytes(folder / "out.nii").find("Somebody") == std::string::npos);
  in.volume.data()[0] = 1e9f, in.volume.data()[1] = -1e9f, in.volume.data()[2] = 10.3f,
  in.volume.data()[3] = std::nanf("");
  NiftiWriteOptions o = like_input(in.info);
  o.file.overwrite = true;
  write_nifti(ctx, folder / "out.nii", in.volume, o);
  const Volume limits = read_nifti(ctx, folder / "out.nii").volume;
  CHECK(limits.data()[0] == 32767 * 0.5f + 10);
  CHECK(limits.data()[1] == -32768 * 0.5f + 10);
  CHECK(limits.data()[2] == 10.5f);
  CHECK(limits.data()[3] == 10.0f);
  for (const auto& [type, bits] : types) {
    NiftiWriteOptions t;
    t.type = static_cast<NiftiType>(type), t.file.overwrite = true;
    Volume whole = v;
    for (Index i = 0; i < whole.size(); ++i) whole.data()[i] = static_cast<float>(i % 100);
    write_nifti(ctx, folder / "type.nii", whole, t);
    CHECK(read_nifti(ctx, folder / "type.nii").volume.values == whole.values);
    whole.data()[0] = 1e30f, whole.data()[1] = -1e30f;  // kept inside the range of every whole-number type
    write_nifti(ctx, folder / "type.nii", whole, t);
    const Volume r = read_nifti(ctx, folder / "type.nii").volume;
    CHECK(r.data()[0] > 100);
    CHECK((r.data()[1] <= 0 && (is_signed(type) == (r.data()[1] < 0))));
  }

  const auto refused = [&](const std::filesystem::path& path, const Volume& volume, const NiftiWriteOptions& options) {
    try {
      write_nifti(ctx, path, volume, options);
    } catch (const Error& e) {
      return e.id();
    }
    return std::string();
  };
  CHECK(refused(folder / "out.nii", v, {}) == "file.exists");
  CHECK(refused(folder / "out.mgz", v, {}) == "nifti.name");
  CHECK(refused(folder / "no/such/folder/out.nii", v, {}) == "file.create");
  NiftiWriteOptions bad;
  bad.description = std::string(80, 'x');
  CHECK(refused(folder / "b.nii", v, bad) == "nifti.description");
  bad = {};
  bad.slope = 0;
  CHECK(refused(folder / "b.nii", v, bad) == "nifti.slope");
  bad = {};
  bad.type = NiftiType::complex64;
  CHECK(refused(folder / "b.nii", v, bad) == "nifti.type");
  Volume flat = v;
  flat.affine = scaling({1, 1, 0});
  CHECK(refused(folder / "b.nii", flat, {}) == "volume.singular");
  CHECK_FALSE(std::filesystem::exists(folder / "b.nii"));
}

TEST_CASE("a full disk leaves nothing behind") {
  Context<Cpu> ctx({.threads = 1});
  const ScratchFolder folder;
  Volume v(Grid{{64, 64, 64}, Affine{}});
  for (Index i = 0; i < v.size(); ++i) v.data()[i] = static_cast<float>(i);
  // A limit on the file size stands in for the full disk: the write fails in the middle.
  struct rlimit saved{}, small{};
  ::getrlimit(RLIMIT_FSIZE, &saved);
  small = saved;
  small.rlim_cur = 100000;
  std::signal(SIGXFSZ, SIG_IGN);
  ::setrlimit(RLIMIT_FSIZE, &small);
  ErrorKind kind = ErrorKind::argument;
  try {
    write_nifti(ctx, folder / "big.nii", v);
  } catch (const Error& e) {
    kind = e.kind();
  }
  ::setrlimit(RLIMIT_FSIZE, &saved);
  CHECK(kind == ErrorKind::environment);
  CHECK(std::filesystem::is_empty(folder.path));
}

TEST_CASE("volumes that are no scans are marked in their file, whoever writes it and whatever is said about them") {
  Context<Cpu> ctx({.threads = 1});
  const ScratchFolder folder;
  for (const Provenance provenance : {Provenance::scan, Provenance::reconstruction, Provenance::synthetic})
    for (const std::string& description : {std::string(), std::string("of my study"), std::string(79, 'x')}) {
      Volume v(Grid{{4, 5, 6}, scaling({2, 2, 2})}, provenance);
      std::fill(v.data(), v.data() + v.size(), 1.0f);
      write_nifti(ctx, folder / "v.nii", v, {.description = description, .file = {.overwrite = true}});
      const NiftiVolume back = read_nifti(ctx, folder / "v.nii");
      CHECK(back.volume.provenance == provenance);
      CHECK(back.info.header.mark == mark_of(provenance));
      // Read and written again, it keeps its mark.
      write_nifti(ctx, folder / "again.nii", back.volume, [&] {
        NiftiWriteOptions o = like_input(back.info);
        o.file.overwrite = true;
        return o;
      }());
      CHECK(read_nifti_info(folder / "again.nii").header.mark == mark_of(provenance));
    }
}

TEST_CASE("sform and qform less than 0.01 mm apart are rounding") {
  Context<Cpu> ctx({.threads = 1});
  const ScratchFolder folder;
  Volume v(Grid{{40, 50, 60}, scaling({2, 2, 2})});
  std::fill(v.data(), v.data() + v.size(), 1.0f);
  write_nifti(ctx, folder / "v.nii", v);
  for (const float apart : {0.0f, 0.002f, 0.009f, 0.011f, 0.5f}) {
    CAPTURE(apart);
    std::string bytes = read_bytes(folder / "v.nii");
    std::memcpy(bytes.data() + 268, &apart, sizeof apart);  // qoffset_x
    write_bytes(folder / "moved.nii", bytes);
    const NiftiInfo info = read_nifti_info(folder / "moved.nii");
    CHECK(info.forms_differ_mm == doctest::Approx(static_cast<double>(apart)));
    CHECK(info.findings.has("nifti.forms") == (apart > 0.01f));
  }
}
