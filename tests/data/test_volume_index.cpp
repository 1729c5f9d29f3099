// A manifest that says which volume of a file with several each row means: its column volume_index.
#include <doctest/doctest.h>

#include <cstring>

#include "braing3n/data/volumes.hpp"
#include "braing3n/volume/nifti/write.hpp"
#include "tests/support/nifti_bytes.hpp"

using namespace braing3n;
using test::ScratchFolder;

namespace {

Manifest from(const std::string& text, const std::vector<std::string>& missing = {}) {
  CsvTable table = CsvTable::from_text(text, "folder/volumes.csv");
  clear_stated_missing(table, missing);
  return read_manifest(table, {.check_files = false});
}
std::vector<Index> indices_of(const Manifest& m) {
  std::vector<Index> indices;
  for (const ScanRow& s : m.scans) indices.push_back(s.volume_index);
  return indices;
}

/// A file with three volumes of the contract's shape, each with its own pattern.
void write_three(const std::filesystem::path& path) {
  test::NiftiBytes f;
  f.dim = {4, 12, 14, 10, 3, 1, 1, 1};
  f.sform_code = 1;
  f.srow = {{{-1, 0, 0, 6}, {0, 1, 0, -7}, {0, 0, 1, -5}}};
  test::write_bytes(path, test::gzip(f.header() + f.voxels([](auto i, auto j, auto k, auto t) {
                      return static_cast<double>((i + 5 * j + 3 * k) % (7 + 2 * t));
                    })));
}

PreprocessingContract small_contract() {
  PreprocessingContract contract;
  contract.shape = {12, 14, 10};
  return contract;
}

}  // namespace

TEST_CASE("volume_index of a manifest: under any spelling, whole numbers from 0, missing where nothing is said") {
  for (const char* name : {"volume_index", "Volume_Index", "volume index", "VolumeIndex"}) {
    const Manifest m =
        from(concat("subject_id,path,", name, ",age\na,x.nii,0,60\nb,x.nii,2,61\nc,y.nii,,62\nd,y.nii,3.0,63\n"));
    CHECK(indices_of(m) == std::vector<Index>{0, 2, -1, 3});
    CHECK(m.fields.size() == 1);  // no label
    CHECK(m.findings.empty());
  }
  for (const char* cell : {"-1", "1.5", "first", "1e300", "nan(0)", "0x1"}) {
    try {
      (void)from(concat("subject_id,path,volume_index\na,x.nii,0\nb,x.nii,", cell, "\n"));
      FAIL("was read: ", cell);
    } catch (const Error& e) {
      CHECK(e.id() == "manifest.volume_index");
      CHECK(std::string(e.what()).find("line 3") != std::string::npos);
      CHECK(std::string(e.what()).find("from 0, got") != std::string::npos);
    }
  }
  // 0 may stand for a missing value elsewhere, here it is the first volume.
  const Manifest stated = from("subject_id,path,age,volume_index\na,x.nii,0,0\n", {"0"});
  CHECK(stated.label(0, "age").missing());
  CHECK(stated.scans[0].volume_index == 0);
}

TEST_CASE("ids that are made of subject, session and modality tell the volumes of a file apart") {
  const Manifest m = from("subject_id,path,modality,volume_index\na,x.nii,T1,0\na,x.nii,T1,1\nb,y.nii,T1,\n");
  CHECK(m.scans[0].volume_id == "a_T1_volume0");
  CHECK(m.scans[1].volume_id == "a_T1_volume1");
  CHECK(m.scans[2].volume_id == "b_T1");
  CHECK_THROWS_WITH_AS((void)from("subject_id,path,volume_index\na,x.nii,1\na,y.nii,1\n"),
                       doctest::Contains("\"a_volume1\" was used in line 2"), Error);
}

TEST_CASE("a column \"index\" chooses nothing: it is a label, and where rows share a file a warning says so") {
  const Manifest counted = from("index,subject_id,path\n0,a,x.nii\n1,b,y.nii\n");  // as pandas writes it
  CHECK(indices_of(counted) == std::vector<Index>{-1, -1});
  CHECK(counted.findings.empty());
  const Manifest meant = from("volume_id,subject_id,path,Index\np,a,x.nii,0\nq,b,x.nii,1\n");
  CHECK(indices_of(meant) == std::vector<Index>{-1, -1});
  REQUIRE(meant.findings.has("manifest.volume_index"));
  CHECK(meant.findings.list()[0].sentence.find("a column \"volume_index\"") != std::string::npos);
  CHECK(from("volume_id,subject_id,path,index,volume_index\np,a,x.nii,0,0\nq,b,x.nii,1,1\n").findings.empty());
}

TEST_CASE("scans of a manifest are the volumes that it names; without a number a file with several is refused") {
  Context<Cpu> ctx({.threads = 1});
  const ScratchFolder folder;
  write_three(folder / "three.nii.gz");
  const PreprocessingContract contract = small_contract();
  test::write_bytes(
      folder / "volumes.csv",
      "subject_id,path,volume_index\na,three.nii.gz,2\nb,three.nii.gz,0\nc,three.nii.gz,\nd,three.nii.gz,3\n");
  const Manifest m = read_manifest(folder / "volumes.csv");
  const VolumeSource source = scan_source(m, contract);
  for (const Index row : {0, 1}) {
    const Tensor<float, Cpu> t = source(ctx, row);
    const Preprocessed p =
        preprocess(ctx, read_nifti(ctx, folder / "three.nii.gz", {.volume = row == 0 ? 2 : 0}).volume, contract);
    CHECK(std::memcmp(t.data(), p.data.data(), p.data.bytes()) == 0);
  }
  CHECK_THROWS_WITH_AS((void)source(ctx, 2), doctest::Contains("got none; a column volume_index of the table"), Error);
  CHECK_THROWS_WITH_AS((void)source(ctx, 3), doctest::Contains("0 to 2, got 3"), Error);
  // A number for all serves the rows without one.
  const VolumeSource filled = scan_source(m, contract, {.volume = 1});
  const Preprocessed second = preprocess(ctx, read_nifti(ctx, folder / "three.nii.gz", {.volume = 1}).volume, contract);
  const Tensor<float, Cpu> third = filled(ctx, 2);
  CHECK(std::memcmp(third.data(), second.data.data(), second.data.bytes()) == 0);
  CHECK(std::memcmp(filled(ctx, 1).data(), source(ctx, 1).data(), second.data.bytes()) == 0);
}

TEST_CASE("a cache knows which volumes it was made from, and a training notices that another is named now") {
  Context<Cpu> ctx({.threads = 1});
  const ScratchFolder folder;
  write_three(folder / "three.nii.gz");
  const PreprocessingContract contract = small_contract();
  const auto table = [&](const char* name, const char* first, const char* second) {
    test::write_bytes(folder / name, concat("volume_id,subject_id,path,volume_index\np,a,three.nii.gz,", first,
                                            "\nq,b,three.nii.gz,", second, "\n"));
    return read_manifest(folder / name);
  };
  const Manifest m = table("volumes.csv", "2", "0");
  PackedCacheOptions o;
  for (const ScanRow& s : m.scans) {
    o.scans.push_back(s.path);
    o.indices.push_back(s.volume_index);
  }
  write_packed_cache(folder / "new.cache", {"p", "q"}, contract, scan_source(m, contract), o);
  const PackedCache cache(folder / "new.cache");
  CHECK(cache.volume_index(0) == 2);
  CHECK(cache.volume_index(1) == 0);
  std::vector<std::string> warnings;
  CHECK(cache_rows(cache, m, folder / "new.cache", warnings) == std::vector<Index>{0, 1});
  CHECK(warnings.empty());
  const Manifest other = table("other.csv", "2", "1");
  CHECK_THROWS_WITH_AS((void)cache_rows(cache, other, folder / "new.cache", warnings),
                       doctest::Contains("than the table names: q"), Error);
  CHECK(hash_of_sizes(m) != hash_of_sizes(other));
  // No number in the table: the cache may have been made with one for all.
  CHECK(cache_rows(cache, table("none.csv", "", ""), folder / "new.cache", warnings).size() == 2);
  // Files with one volume: nothing is recorded, the bytes are those of earlier versions, and volume 0 is that one.
  o.indices = {-1, -1};
  write_packed_cache(folder / "single.cache", {"p", "q"}, contract, scan_source(m, contract), o);
  CHECK_FALSE(SafetensorsFile(folder / "single.cache").contains("indices"));
  const PackedCache single(folder / "single.cache");
  CHECK(single.volume_index(1) == -1);
  CHECK(cache_rows(single, table("zero.csv", "0", "0"), folder / "single.cache", warnings).size() == 2);
  CHECK_THROWS_AS((void)cache_rows(single, other, folder / "single.cache", warnings), Error);
  o.indices.pop_back();
  CHECK_THROWS_AS(write_packed_cache(folder / "few.cache", {"p", "q"}, contract, scan_source(m, contract), o), Error);
}
