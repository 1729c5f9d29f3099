// The loader and the packed cache: order, resuming, failures, checksums, half precision.
#include <doctest/doctest.h>
#include <cstring>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <set>
#include <thread>

#include "braing3n/data/loader.hpp"
#include "braing3n/volume/nifti/write.hpp"
#include "tests/support/nifti_bytes.hpp"

using namespace braing3n;
using test::ScratchFolder;

namespace {

VolumeSource numbered(Index fail_at = -1) {
  return [fail_at](Context<Cpu>& ctx, Index row) {
    if (row == fail_at) fail(ErrorKind::format, "test.broken", "row ", row, " is broken");
    if (row % 3 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    Tensor<float, Cpu> t(ctx, {2, 3, 4});
    for (Index i = 0; i < t.size(); ++i) t.data()[i] = static_cast<float>(100 * row + i);
    return t;
  };
}
std::vector<Index> range(Index n) {
  std::vector<Index> rows;
  for (Index i = 0; i < n; ++i) rows.push_back(i);
  return rows;
}

}  // namespace

TEST_CASE("batches: the same for any number of threads, every row once per epoch, resumable") {
  Context<Cpu> ctx({.threads = 1});
  std::vector<Index> first;
  for (const int threads : {1, 2, 5}) {
    LoaderOptions o;
    o.batch = 4, o.seed = 9, o.prefetch = {threads, 3};
    VolumeLoader loader(ctx, numbered(), range(10), o);
    std::vector<Index> rows;
    for (int i = 0; i < 10; ++i) {
      const LoadedBatch b = loader.next();
      REQUIRE(b.volumes.shape() == Shape{4, 2, 3, 4, 1});
      for (std::size_t k = 0; k < 4; ++k) {
        CHECK(b.samples[k] == static_cast<Index>(rows.size()));
        CHECK(b.volumes.data()[static_cast<Index>(k) * 24 + 7] == static_cast<float>(100 * b.rows[k] + 7));
        rows.push_back(b.rows[k]);
      }
    }
    for (std::size_t epoch = 0; epoch < 4; ++epoch)
      CHECK(std::set<Index>(rows.begin() + static_cast<std::ptrdiff_t>(10 * epoch),
                            rows.begin() + static_cast<std::ptrdiff_t>(10 * epoch + 10))
                .size() == 10);
    CHECK(std::vector<Index>(rows.begin(), rows.begin() + 10) !=
          std::vector<Index>(rows.begin() + 10, rows.begin() + 20));
    if (first.empty()) first = rows;
    CHECK(rows == first);
    CHECK(loader.position() == 40);
    CHECK(loader.seconds_waited() >= 0);

    o.start = 12;
    VolumeLoader again(ctx, numbered(), range(10), o);
    CHECK(again.next().rows == std::vector<Index>(first.begin() + 12, first.begin() + 16));
  }
  LoaderOptions o;
  o.shuffle = false;
  VolumeLoader plain(ctx, numbered(), {7, 3, 5}, o);
  CHECK(plain.next().rows == std::vector<Index>{3});
  CHECK(plain.next().rows == std::vector<Index>{5});
  o.batch = 4;
  CHECK_THROWS_AS(VolumeLoader(ctx, numbered(), range(3), o), Error);
  CHECK_THROWS_AS(VolumeLoader(ctx, numbered(), {}, {}), Error);
}

TEST_CASE("a broken scan is left out and reported, or ends the run; all broken ends it always") {
  Context<Cpu> ctx({.threads = 1});
  LoaderOptions o;
  o.batch = 2, o.prefetch = {2, 4};
  VolumeLoader loader(ctx, numbered(4), range(6), o);
  for (int i = 0; i < 9; ++i)
    for (const Index row : loader.next().rows) CHECK(row != 4);
  REQUIRE(loader.failures().size() == 1);
  CHECK(loader.failures().at(4).find("broken") != std::string::npos);
  o.skip_failed = false;
  VolumeLoader strict(ctx, numbered(4), range(6), o);
  CHECK_THROWS_AS(
      [&] {
        for (int i = 0; i < 3; ++i) (void)strict.next();
      }(),
      Error);
  o.skip_failed = true, o.batch = 1;
  VolumeLoader hopeless(ctx, numbered(4), {4}, o);
  CHECK_THROWS_AS(hopeless.next(), Error);
  CHECK_THROWS_AS(VolumeLoader(ctx, numbered(), range(6), {.prefetch = {0, 3}}), Error);
}

TEST_CASE("never more items than the depth") {
  std::atomic<Index> made{0};
  Prefetcher<int> p([&](Context<Cpu>&, Index i) { return ++made, static_cast<int>(i); }, 0, 100, {3, 5});
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  CHECK(made.load() == 5);
  for (int i = 0; i < 10; ++i) CHECK(p.next() == i);
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  CHECK(made.load() == 15);
}

TEST_CASE("half precision: every half comes back, floats round to the nearest one") {
  for (std::uint32_t h = 0; h < 65536; ++h) {
    const float x = to_float(float16{static_cast<std::uint16_t>(h)});
    if (std::isnan(x)) CHECK(std::isnan(to_float(to_half(x))));
    else REQUIRE(to_half(x).bits == h);
  }
  // Between neighbours: below, above and exactly at the middle (ties to even).
  for (std::uint32_t h = 0; h < 0x7bff; ++h) {
    const float a = to_float(float16{static_cast<std::uint16_t>(h)}),
                b = to_float(float16{static_cast<std::uint16_t>(h + 1)});
    const float middle = static_cast<float>((static_cast<double>(a) + static_cast<double>(b)) / 2);
    REQUIRE(to_half(std::nextafterf(middle, 0)).bits == h);
    REQUIRE(to_half(std::nextafterf(middle, 1e9f)).bits == h + 1);
    REQUIRE(to_half(middle).bits == (h % 2 == 0 ? h : h + 1));
    REQUIRE(to_half(-middle).bits == ((h % 2 == 0 ? h : h + 1) | 0x8000u));
  }
  CHECK(to_half(65519.9f).bits == 0x7bff);
  CHECK(to_half(65520.0f).bits == 0x7c00);
  CHECK(to_half(1e30f).bits == 0x7c00);
  CHECK(to_half(-std::numeric_limits<float>::infinity()).bits == 0xfc00);
  CHECK(to_half(1e-30f).bits == 0);
}

TEST_CASE("the packed cache gives back what was put in, and notices damage") {
  const ScratchFolder folder;
  PreprocessingContract contract;
  contract.shape = {2, 3, 4};
  const std::vector<std::string> ids{"a", "b", "c"};
  for (const DType type : {DType::f16, DType::f32}) {
    const auto path = folder / (type == DType::f16 ? "half.cache" : "full.cache");
    PackedCacheOptions o;
    o.dtype = type, o.source = "manifest 123", o.prefetch = {2, 2};
    Index done = 0;
    CHECK(write_packed_cache(path, ids, contract, numbered(), o, [&](Index) { ++done; }).failures.empty());
    CHECK(done == 3);
    CHECK_THROWS_AS(write_packed_cache(path, ids, contract, numbered(), o), Error);  // exists
    const auto cache = std::make_shared<const PackedCache>(path);
    CHECK(cache->ids() == ids);
    CHECK(cache->contract() == contract);
    CHECK(cache->source() == "manifest 123");
    std::vector<float> v(24);
    for (Index row = 0; row < 3; ++row) {
      cache->read(row, v);
      for (std::size_t i = 0; i < 24; ++i)
        CHECK(v[i] == static_cast<float>(100 * row) + static_cast<float>(i));  // whole numbers below 2048 are halves
    }
    CHECK_THROWS_AS(cache->read(3, v), Error);
    Context<Cpu> ctx({.threads = 1});
    VolumeLoader loader(ctx, cache_source(cache), range(3), {.batch = 3, .shuffle = false});
    CHECK(loader.next().volumes.data()[24 + 3] == 103);

    std::string bytes = test::read_bytes(path);
    std::uint64_t header = 0;
    std::memcpy(&header, bytes.data(), sizeof header);
    const std::size_t data = sizeof header + header;  // volumes are the first tensor
    bytes[data + 24 * size_of(type) + 5] = static_cast<char>(bytes[data + 24 * size_of(type) + 5] ^ 4);
    test::write_bytes(folder / "damaged.cache", bytes);
    const PackedCache damaged(folder / "damaged.cache");
    damaged.read(0, v);
    CHECK_THROWS_WITH_AS(damaged.read(1, v), doctest::Contains("checksum"), Error);
    test::write_bytes(folder / "short.cache", bytes.substr(0, bytes.size() - 5));
    CHECK_THROWS_AS(PackedCache(folder / "short.cache"), Error);
  }
  PackedCacheOptions skip;
  skip.skip_failed = true;
  const PackedCacheReport r = write_packed_cache(folder / "holes.cache", ids, contract, numbered(1), skip);
  REQUIRE(r.failures.size() == 1);
  CHECK(r.failures[0].find("b: row 1 is broken") == 0);
  const PackedCache holes(folder / "holes.cache");
  CHECK(holes.row_of("a") == 0);
  CHECK(holes.row_of("c") == 2);
  CHECK_THROWS_WITH_AS(holes.row_of("d"), doctest::Contains("make the cache again"), Error);
  CHECK_FALSE(holes.usable(1));
  std::vector<float> v(24);
  holes.read(2, v);
  CHECK_THROWS_AS(holes.read(1, v), Error);
  CHECK_THROWS_AS(write_packed_cache(folder / "broken.cache", ids, contract, numbered(1)), Error);
  CHECK_FALSE(std::filesystem::exists(folder / "broken.cache"));
  // A cache in which nothing is usable is none; ids must tell the volumes apart; halves must hold the values.
  const auto broken = [](Context<Cpu>&, Index row) -> Tensor<float, Cpu> {
    fail(ErrorKind::format, "test.broken", "row ", row, " is broken");
  };
  CHECK_THROWS_WITH_AS(write_packed_cache(folder / "none.cache", ids, contract, broken, skip),
                       doctest::Contains("none of the 3"), Error);
  CHECK_FALSE(std::filesystem::exists(folder / "none.cache"));
  CHECK_THROWS_WITH_AS(write_packed_cache(folder / "twice.cache", {"a", "b", "a"}, contract, numbered()),
                       doctest::Contains("2 different ids"), Error);
  const auto large = [](Context<Cpu>& ctx, Index) {
    Tensor<float, Cpu> t(ctx, {2, 3, 4});
    std::fill_n(t.data(), t.size(), 70000.0f);
    return t;
  };
  CHECK_THROWS_WITH_AS(write_packed_cache(folder / "large.cache", ids, contract, large), doctest::Contains("70000"),
                       Error);
  CHECK_FALSE(std::filesystem::exists(folder / "large.cache"));
  PackedCacheOptions wide;
  wide.dtype = DType::f32;
  CHECK(write_packed_cache(folder / "large.cache", ids, contract, large, wide).failures.empty());
  contract.shape = {2, 3, 5};
  CHECK_THROWS_WITH_AS(write_packed_cache(folder / "shape.cache", ids, contract, numbered()),
                       doctest::Contains("(2, 3, 5)"), Error);
  test::write_bytes(folder / "foreign.cache", "not a cache at all");
  CHECK_THROWS_AS(PackedCache(folder / "foreign.cache"), Error);
}

TEST_CASE("scans from disk through the contract") {
  Context<Cpu> ctx({.threads = 2});
  const ScratchFolder folder;
  std::vector<std::filesystem::path> paths;
  for (int s = 0; s < 3; ++s) {
    Volume v(Grid{{12, 14, 10}, scaling({-1, 1, 1})});
    for (Index i = 0; i < v.size(); ++i) v.data()[i] = static_cast<float>((i * (s + 3)) % 17);
    paths.push_back(folder / concat(s, ".nii.gz"));
    write_nifti(ctx, paths.back(), v);
  }
  paths.push_back(folder / "gone.nii.gz");
  PreprocessingContract contract;
  contract.shape = {12, 14, 10};
  const auto findings = std::make_shared<FindingLog>();
  VolumeLoader loader(ctx, scan_source(paths, contract, {.findings = findings}), range(4),
                      {.batch = 3, .shuffle = false});
  const LoadedBatch b = loader.next();
  CHECK(b.rows == std::vector<Index>{0, 1, 2});
  const Preprocessed p = preprocess(ctx, read_nifti(ctx, paths[1]).volume, contract);
  CHECK(std::memcmp(p.data.data(), b.volumes.data() + p.data.size(), p.data.bytes()) == 0);
  (void)loader.next();
  REQUIRE(loader.failures().size() == 1);
  CHECK(loader.failures().at(3).find("gone.nii.gz") != std::string::npos);
  // What preprocess() finds in a scan is found on this way too, once per scan however often it is read.
  REQUIRE(!p.findings.empty());
  for (const Finding& f : p.findings) {
    const std::vector<FindingKind> kinds = findings->kinds();
    const auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const FindingKind& k) { return k.id == f.id; });
    REQUIRE(kind != kinds.end());
    CHECK(kind->count == 3);
    CHECK(kind->scans == 3);
    CHECK(kind->first == paths[0].string());
  }
}

TEST_CASE("packed cache: knows when the file of a scan has changed") {
  const ScratchFolder folder;
  const PreprocessingContract contract = [] {
    PreprocessingContract c;
    c.shape = {2, 3, 4};
    return c;
  }();
  const auto put = [](const std::filesystem::path& path, const std::string& text) {
    write_text(path, text, {.overwrite = true});
  };
  PackedCacheOptions o;
  for (const char* name : {"a.nii", "b.nii", "c.hdr"}) put(o.scans.emplace_back(folder / name), name);
  put(folder / "c.img", "voxels");
  write_packed_cache(folder / "new.cache", {"a", "b", "c"}, contract, numbered(), o);
  const PackedCache cache(folder / "new.cache");
  for (Index r = 0; r < 3; ++r) CHECK(cache.change(r, o.scans[static_cast<std::size_t>(r)]) == FileChange::unchanged);
  const auto later = std::filesystem::last_write_time(o.scans[0]) + std::chrono::seconds(5);
  std::filesystem::last_write_time(o.scans[0], later);
  CHECK(cache.change(0, o.scans[0]) == FileChange::unchanged);  // touched
  put(o.scans[0], "A.nii");                                     // the same size
  std::filesystem::last_write_time(o.scans[0], later);
  CHECK(cache.change(0, o.scans[0]) == FileChange::changed);
  const auto second = std::filesystem::last_write_time(o.scans[1]);
  put(o.scans[1], "longer than before");
  std::filesystem::last_write_time(o.scans[1], second);  // the size alone tells
  CHECK(cache.change(1, o.scans[1]) == FileChange::changed);
  put(folder / "c.img", "VOXELS");  // the other half of a pair
  std::filesystem::last_write_time(folder / "c.img", later);
  CHECK(cache.change(2, o.scans[2]) == FileChange::changed);
  std::filesystem::remove(o.scans[1]);
  CHECK(cache.change(1, o.scans[1]) == FileChange::gone);

  // Caches of earlier versions have no such tensor.
  const SafetensorsFile file(folder / "new.cache");
  std::vector<NamedTensor> tensors = file.tensors();
  std::erase_if(tensors, [](const NamedTensor& t) { return t.name == "scans"; });
  write_safetensors(folder / "old.cache", tensors, file.metadata());
  const PackedCache old(folder / "old.cache");
  CHECK(old.size() == 3);
  CHECK_FALSE(old.change(0, o.scans[0]).has_value());
  o.scans.pop_back();
  CHECK_THROWS_AS(write_packed_cache(folder / "few.cache", {"a", "b", "c"}, contract, numbered(), o), Error);
}
