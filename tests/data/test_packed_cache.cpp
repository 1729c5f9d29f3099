// Packed caches that are not what they should be: every sentence of the reader, and what the writer must not pass over.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "braing3n/data/packed_cache.hpp"
#include "tests/support/check.hpp"
#include "tests/support/scratch_folder.hpp"

using namespace braing3n;

namespace {

PreprocessingContract small_contract() {
  PreprocessingContract contract;
  contract.shape = {2, 3, 4};
  return contract;
}

Tensor<float, Cpu> filled(Context<Cpu>& ctx, float value) {
  Tensor<float, Cpu> t(ctx, {2, 3, 4});
  std::fill_n(t.data(), t.size(), value);
  return t;
}

struct CacheParts {
  std::vector<NamedTensor> tensors;
  Metadata metadata;
  NamedTensor& tensor(const std::string& name) {
    return *std::find_if(tensors.begin(), tensors.end(), [&](const NamedTensor& t) { return t.name == name; });
  }
};

}  // namespace

TEST_CASE("a packed cache whose parts do not fit together is refused, in words") {
  const test::ScratchFolder folder;
  PackedCacheOptions o;
  o.indices = {2, 0};
  write_packed_cache(
      folder / "good.cache", {"a", "b"}, small_contract(),
      [](Context<Cpu>& ctx, Index row) { return filled(ctx, static_cast<float>(row)); }, o);
  const SafetensorsFile good(folder / "good.cache");
  int number = 0;
  const auto refused = [&](const char* words, const std::function<void(CacheParts&)>& change) {
    CacheParts parts{good.tensors(), good.metadata()};
    parts.metadata.erase("braing3n.crc32");
    change(parts);
    const auto path = folder / concat("changed", ++number, ".cache");
    write_safetensors(path, parts.tensors, parts.metadata);
    test::check_error("cache.format", {"not a packed cache", words}, [&] { (void)PackedCache(path); });
  };
  const auto key = [](const char* name, std::string text) {
    return [name = std::string(name), text = std::move(text)](CacheParts& p) { p.metadata[name] = text; };
  };
  refused("its metadata does not say so", key("braing3n.kind", "something else"));
  refused("its metadata does not say so", [](CacheParts& p) { p.metadata.erase("braing3n.kind"); });
  for (const char* name : {"volumes", "checksums", "usable"})
    refused("a tensor is missing",
            [&](CacheParts& p) { std::erase_if(p.tensors, [&](const NamedTensor& t) { return t.name == name; }); });
  refused("volumes are not [n, X, Y, Z] of F16 or F32", [](CacheParts& p) { p.tensor("volumes").dtype = DType::bf16; });
  refused("volumes are not [n, X, Y, Z] of F16 or F32", [](CacheParts& p) { p.tensor("volumes").shape = {2, 6, 4}; });
  refused("scans are not [n, 3]", [](CacheParts& p) {
    p.tensor("scans").shape = {2};
    p.tensor("scans").bytes = p.tensor("scans").bytes.first(16);
  });
  refused("indices are not [n]", [](CacheParts& p) {
    p.tensor("indices").shape = {1};
    p.tensor("indices").bytes = p.tensor("indices").bytes.first(8);
  });
  refused("the ids are no list", key("braing3n.ids", R"({"a": 1})"));
  refused("an id is no text", key("braing3n.ids", R"(["a", 2])"));
  refused("differ in number", key("braing3n.ids", R"(["a"])"));
  refused("differ in number", key("braing3n.ids", R"(["a", "b", "c"])"));
  refused("an id stands for two volumes", key("braing3n.ids", R"(["a", "a"])"));
  refused("differ in number", [](CacheParts& p) {
    p.tensor("checksums").shape = {1};
    p.tensor("checksums").bytes = p.tensor("checksums").bytes.first(4);
  });
  for (const std::vector<Index>& shape : {std::vector<Index>{2, 3, 2, 4}, {2, 2, 4, 3}, {2, 4, 3, 2}, {2, 1, 6, 4}})
    refused("volumes and contract differ in shape", [&](CacheParts& p) { p.tensor("volumes").shape = shape; });
  for (const std::vector<Index>& shape : {std::vector<Index>{2, 1, 3, 4}, {2, 2, 2, 4}, {2, 2, 3, 3}})  // one axis each
    refused("volumes and contract differ in shape", [&](CacheParts& p) {
      p.tensor("volumes").shape = shape;
      p.tensor("volumes").bytes =
          p.tensor("volumes").bytes.first(static_cast<std::size_t>(2 * shape[0] * shape[1] * shape[2] * shape[3]));
    });
  // The parts as they are make a cache again.
  CacheParts whole{good.tensors(), good.metadata()};
  write_safetensors(folder / "again.cache", whole.tensors, whole.metadata);
  CHECK(PackedCache(folder / "again.cache").volume_index(0) == 2);
}

TEST_CASE("a packed cache does not store what a half cannot hold, of either sign, and stores infinities as they are") {
  const test::ScratchFolder folder;
  for (const float value : {70000.0f, -70000.0f, 65520.0f, -65520.0f})
    test::check_error("cache.range", {"beyond the largest half"}, [&] {
      write_packed_cache(folder / "large.cache", {"a"}, small_contract(),
                         [&](Context<Cpu>& ctx, Index) { return filled(ctx, value); });
    });
  CHECK_FALSE(std::filesystem::exists(folder / "large.cache"));
  for (const float value : {65519.0f, -65519.0f, std::numeric_limits<float>::infinity()}) {
    write_packed_cache(folder / "fits.cache", {"a"}, small_contract(),
                       [&](Context<Cpu>& ctx, Index) { return filled(ctx, value); }, {.file = {.overwrite = true}});
    std::vector<float> v(24);
    PackedCache(folder / "fits.cache").read(0, v);
    CHECK(v[5] == (std::isfinite(value) ? std::copysign(65504.0f, value) : value));
  }
}

TEST_CASE("a full disk or no memory ends the writing of a cache, also where scans that fail are left out") {
  const test::ScratchFolder folder;
  PackedCacheOptions skip;
  skip.skip_failed = true;
  test::check_error("test.disk", {"no space"}, [&] {
    write_packed_cache(
        folder / "x.cache", {"a", "b"}, small_contract(),
        [](Context<Cpu>& ctx, Index row) {
          if (row == 1) fail(ErrorKind::environment, "test.disk", "no space");
          return filled(ctx, 1);
        },
        skip);
  });
  CHECK_FALSE(std::filesystem::exists(folder / "x.cache"));
}
