#include "braing3n/format/output_guard.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include "braing3n/format/atomic_file.hpp"
#include "braing3n/format/csv.hpp"
#include "tests/format/damage.hpp"
#include "tests/support/check.hpp"

using namespace braing3n;
using namespace braing3n::test;

TEST_CASE("outputs: none is an input, by any of its names") {
  const ScratchFolder folder;
  put_file(folder / "scan.nii.gz", "scan");
  std::filesystem::create_directory(folder / "sub");
  std::filesystem::create_symlink(folder / "scan.nii.gz", folder / "link.nii.gz");
  std::filesystem::create_symlink(folder / "sub", folder / "linked");
  std::filesystem::create_hard_link(folder / "scan.nii.gz", folder / "hard.nii.gz");
  put_file(folder / "sub/other.nii.gz", "other");
  OutputGuard guard;
  guard.input(folder / "scan.nii.gz");
  guard.input(folder / "linked/other.nii.gz");
  guard.input(folder / "missing.csv");
  guard.input("");
  for (const char* name : {"scan.nii.gz", "./scan.nii.gz", "sub/../scan.nii.gz", "link.nii.gz", "hard.nii.gz",
                           "sub/other.nii.gz", "linked/other.nii.gz", "missing.csv"}) {
    CAPTURE(name);
    CHECK(error_of([&] { guard.output(folder / name); }).id() == "output.input");
  }
  const auto here = std::filesystem::current_path();
  std::filesystem::current_path(folder / "sub");
  CHECK(error_of([&] { guard.output("../scan.nii.gz"); }).id() == "output.input");
  CHECK(error_of([&] { guard.output("other.nii.gz"); }).id() == "output.input");
  std::filesystem::current_path(here);
  CHECK_NOTHROW(guard.output(folder / "new.nii.gz"));
  CHECK(error_of([&] { guard.output(folder / "sub/../new.nii.gz"); }).id() == "output.twice");
  CHECK_NOTHROW(guard.output(folder / "sub/new.nii.gz"));
  CHECK(error_of([&] { guard.output(folder / "linked/new.nii.gz"); }).id() == "output.twice");
  std::filesystem::create_symlink("new.nii.gz", folder / "early.nii.gz");  // a link to what is not there yet
  CHECK(error_of([&] { guard.output(folder / "early.nii.gz"); }).id() == "output.twice");
  CHECK_NOTHROW(guard.output(""));
  for (int i = 0; i < 2; ++i) CHECK_NOTHROW(guard.output("/dev/null"));
}

TEST_CASE("outputs: a dash is no file") {
  OutputGuard guard;
  guard.output("");
  test::check_error("output.name", {"expected the name of a file, got -"}, [&] { guard.output("-"); });
}

TEST_CASE("outputs: what is made anew holds no input") {
  const ScratchFolder folder;
  CHECK(error_of([&] { require_kept(folder.path, {"mae", "cohort"}, {"", folder / "cohort/volumes.csv"}); }).id() ==
        "output.input");
  CHECK_NOTHROW(require_kept(folder.path, {"mae", "cohort"}, {folder / "cohort2/volumes.csv", folder / "volumes.csv"}));
}

TEST_CASE("outputs: endings") {
  CHECK(file_ending("a/f.CSV") == ".csv");
  CHECK(file_ending("a.b/scan.NII.gz") == ".nii.gz");
  CHECK(file_ending("a.b/features").empty());
  CHECK(file_ending("x.tar.gz") == ".tar.gz");
  CHECK(require_ending("f.TSV", {".csv", ".tsv"}) == ".tsv");
  CHECK(require_ending("f", {".csv", ""}).empty());
  CHECK_NOTHROW(require_ending("/dev/null", {".csv"}));
  for (const char* name : {"f.npz", "f.safetensors.gz", "f.", "f"}) {
    const Error e = error_of([&] { require_ending(name, {".csv", ".npy"}); });
    CHECK(e.id() == "output.ending");
    CHECK(std::string(e.what()).find("expected a name in .csv, .npy") != std::string::npos);
  }
  CHECK(file_name_part("a/b\\c\nd") == "a_b_c_d");
  CHECK(file_name_part("../x") == "_._x");
  CHECK(file_name_part("sub 01+\xc3\xa4.b") == "sub 01+\xc3\xa4.b");
}

TEST_CASE("outputs: tables say what their name says, and quote what needs it") {
  const ScratchFolder folder;
  for (const char* name : {"a.csv", "a.CSV", "a.tsv", "a.TSV"}) {
    CsvWriter out(folder / name, {"volume_id", "f0"});
    out.row("a,b \"c\"\td", 0.5f);
    out.finish();
    const CsvTable back(folder / name);
    CHECK(back.delimiter() == (name[2] == 'c' || name[2] == 'C' ? ',' : '\t'));
    CHECK(back.cell(0, 0) == "a,b \"c\"\td");
  }
}

TEST_CASE("outputs: folders and streams fail in words of their own") {
  const ScratchFolder folder;
  put_file(folder / "file", "x");
  const auto text = [](auto&& f) { return std::string(error_of(f).what()); };
  CHECK(text([&] { make_folder(folder / "file/sub"); }).find("a file is in the way") != std::string::npos);
  CHECK(text([&] { make_folder(folder / "file"); }).find("a file is in the way") != std::string::npos);
  CHECK(text([&] { make_folder(""); }).find("empty") != std::string::npos);
  CHECK(text([&] { AtomicFile(""); }).find("empty") != std::string::npos);
  CHECK(text([&] { AtomicFile(folder / "no/such/x"); }).find("no such folder") != std::string::npos);

  CHECK_NOTHROW(make_folder(folder / "new/deep"));
  CHECK_NOTHROW(make_folder(folder / "new/deep/"));
  if (::geteuid() != 0) {
    std::filesystem::create_directory(folder / "locked");
    std::filesystem::permissions(folder / "locked",
                                 std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
    CHECK(text([&] { make_folder(folder / "locked/x"); }).find("Permission denied") != std::string::npos);
    CHECK(text([&] { AtomicFile(folder / "locked/x"); }).find("Permission denied") != std::string::npos);
  }
  // A pipe takes the bytes as they come; nothing is renamed, and nothing can be rewritten.
  const auto pipe = folder / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
  {
    AtomicFile file(pipe);
    file.write("hello");
    CHECK(error_of([&] { file.rewrite(0, "H"); }).id() == "file.stream");
    file.commit();
  }
  char buffer[8] = {};
  CHECK(::read(reader, buffer, sizeof buffer) == 5);
  CHECK(std::string(buffer) == "hello");
  ::close(reader);
  CHECK_NOTHROW(write_text("/dev/null", "x"));
}
