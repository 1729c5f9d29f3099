#include "braing3n/format/foreign_content.hpp"

#include <doctest/doctest.h>

#include "braing3n/format/csv_table.hpp"
#include "braing3n/format/json_text.hpp"
#include "braing3n/format/npz.hpp"
#include "braing3n/format/safetensors.hpp"
#include "braing3n/volume/nifti/read.hpp"
#include "tests/format/damage.hpp"

using namespace braing3n;
using namespace braing3n::test;

namespace {

const std::string lfs =
    "version https://git-lfs.github.com/spec/v1\noid "
    "sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";
const std::string annex =
    "/annex/objects/SHA256E-s1000--4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393.nii.gz\n";
const std::string page = "\n<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>";

bool says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("foreign content: what a file is") {
  const auto is = [](const std::string& bytes, bool text = true) {
    return describe_foreign_content(bytes_of(bytes), text);
  };
  CHECK(says(is(lfs), "Git LFS pointer"));
  CHECK(says(is(lfs, false), "Git LFS pointer"));
  CHECK(says(is(annex), "git-annex pointer"));
  CHECK(says(is("../.git/annex/objects/xx/yy/SHA256E-s1--ab/SHA256E-s1--ab", false), "git-annex pointer"));
  CHECK(says(is(page), "HTML"));
  CHECK(says(is("\xef\xbb\xbf<HTML>"), "HTML"));
  CHECK(says(is("<?xml version=\"1.0\"?><a/>"), "XML"));
  CHECK(is("  {\"message\": \"not found\"}") == "JSON text");
  CHECK(says(is("id,age\n1,2\n"), "plain text that begins with \"id,age\""));
  CHECK(is("id,age\n1,2\n", false).empty());
  CHECK(is("{\"a\": 1}", false).empty());
  CHECK(says(is(std::string("PK\x03\x04\x14\0", 6)), "zip archive"));
  CHECK(says(is(std::string("\x89HDF\r\n\x1a\n", 8)), "HDF5"));
  CHECK(says(is(std::string("\x80\x02}q\0", 5)), "pickle"));
  CHECK(says(is(std::string(200, '\0')), "zero bytes"));
  CHECK(says(is(std::string(257, '\1') + "ustar"), "tar"));
  CHECK(is("").empty());
  CHECK(is(std::string("\1\2\3\4", 4)).empty());
}

TEST_CASE("foreign content: every reader names it") {
  const ScratchFolder folder;
  const Context<Cpu> context({.threads = 1});
  const auto check = [&](const std::string& content, const std::string& part) {
    for (const char* name : {"a.nii.gz", "a.nii", "a.safetensors", "a.npy", "a.npz", "a.json", "a.csv"}) {
      CAPTURE(name);
      const auto path = folder / name;
      put_file(path, content);
      const std::string ending = std::filesystem::path(name).extension().string();
      const Error e = error_of([&] {
        if (ending == ".safetensors") SafetensorsFile{path};
        else if (ending == ".npy") (void)read_npy(path);
        else if (ending == ".npz") NpzFile{path};
        else if (ending == ".json") (void)read_json(path);
        else if (ending == ".csv") CsvTable{path};
        else (void)read_nifti_info(path);
      });
      CHECK(e.kind() == ErrorKind::format);
      CHECK_MESSAGE(says(e.what(), part), e.what());
      CHECK_FALSE(says(e.what(), "rename"));
    }
  };
  check(lfs, "Git LFS");
  check(annex, "git-annex");
  check(page, "HTML");
  // A plain NIfTI file under a compressed name is still told to be renamed; text in a compressed file is text.
  put_file(folder / "cut.safetensors", safetensors_text("{\"a\":{}}", "", 1000));
  CHECK(error_of([&] { SafetensorsFile{folder / "cut.safetensors"}; }).id() == "safetensors.truncated");
}

TEST_CASE("foreign content: a link that leads nowhere is named") {
  const ScratchFolder folder;
  std::filesystem::create_symlink("../.git/annex/objects/x/y/z.nii.gz", folder / "scan.nii.gz");
  std::filesystem::create_symlink("elsewhere.nii.gz", folder / "other.nii.gz");
  CHECK(says(error_of([&] { MappedFile{folder / "scan.nii.gz"}; }).what(), "git-annex link"));
  CHECK(says(error_of([&] { MappedFile{folder / "other.nii.gz"}; }).what(), "a link to elsewhere.nii.gz"));
}

TEST_CASE("json: nothing follows the value, not even behind a zero byte") {
  for (const std::string& text : {std::string("{\"a\": 1} x"), std::string("{\"a\": 1}\n{\"b\": 2}"),
                                  std::string("{\"a\": 1},"), std::string("{\"a\": 1}\0", 9),
                                  std::string("{\"a\": 1}\0{\"b\": 2}", 17), std::string("1 2"), std::string("\0", 1)})
    CHECK(error_of([&] { (void)parse_json(text, "config"); }).id() == "json.syntax");
  CHECK_NOTHROW((void)parse_json("{\"a\": 1} \r\n\t", "config"));
  const std::string header = std::string("{}\0garbage", 10);
  CHECK(error_of([&] { SafetensorsFile(bytes_of(safetensors_text(header, "")), "memory"); }).id() ==
        "safetensors.json");
}
