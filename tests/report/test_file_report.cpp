// Reports about files: what is found in them, and how it is printed.
#include "braing3n/report/file_report.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <sstream>

#include "braing3n/format/npy_writer.hpp"
#include "braing3n/report/config_report.hpp"
#include "braing3n/volume/nifti/write.hpp"
#include "tests/support/check.hpp"
#include "tests/support/scratch_folder.hpp"

using namespace braing3n;

namespace {

struct Folder {
  test::ScratchFolder scratch;
  Context<Cpu> ctx{{.threads = 1}};

  std::string at(const std::string& name) const { return (scratch.path / name).string(); }
  std::string text(const std::string& name, const std::string& content) const {
    write_text(at(name), content);
    return at(name);
  }
  /// A scan of 12 x 14 x 16 voxels of 2 mm; `value` is that of one voxel.
  std::string scan(const std::string& name, float value) {
    Volume v(Grid{{12, 14, 16}, scaling({2, 2, 2})});
    for (Index i = 0; i < v.size(); ++i) v.data()[i] = i % 3 == 0 ? 0.0f : static_cast<float>(10 + i % 90);
    v.data()[5] = value;
    write_nifti(ctx, at(name), v);
    return at(name);
  }
  Json inspect(const std::string& path, const FileReportOptions& options = {}) {
    return inspect_file(ctx, path, options);
  }
  static std::string printed(const Json& report) {
    std::ostringstream out;
    print_file(out, report);
    return out.str();
  }
};

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("file report: tensors, metadata and values that are not finite") {
  Folder f;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> weights{1, 2, 3, 4, 5, 6}, damaged{0, nan};
  write_safetensors(f.at("model.safetensors"), std::vector{named_tensor<float>("linear.weight", {2, 3}, weights)},
                    {{"people", R"(["0123", "4567"])"}, {"note", "two\nrows"}, {"count", "3"}});
  const Json report = f.inspect(f.at("model.safetensors"));
  CHECK(report["type"] == "safetensors");
  CHECK(report["elements"] == 6);
  CHECK(report["checksum"] == "none");
  CHECK(report["tensors"].size() == 1);
  CHECK(report["tensors"][0] ==
        Json({{"name", "linear.weight"}, {"dtype", "F32"}, {"shape", {2, 3}}, {"elements", 6}}));
  CHECK(report["metadata"]["people"] == Json({"0123", "4567"}));  // structured JSON is shown as such
  CHECK(report["metadata"]["count"] == "3");
  CHECK_FALSE(report.contains("not_finite"));
  CHECK(f.inspect(f.at("model.safetensors"), {.verify = false})["checksum"] == "not read");
  const std::string text = f.printed(report);
  CHECK(contains(text, "people: 2 trained the model, as keys\n"));
  CHECK(contains(text, "note: two?rows\n"));  // no control characters
  CHECK(contains(text, "linear.weight  F32"));
  CHECK_FALSE(contains(text, "0123"));

  write_safetensors(f.at("damaged.safetensors"), std::vector{named_tensor<float>("bias", {2}, damaged)}, {});
  CHECK(f.inspect(f.at("damaged.safetensors"))["not_finite"] == "element 1 of \"bias\" is nan");
  CHECK_FALSE(f.inspect(f.at("damaged.safetensors"), {.verify = false}).contains("not_finite"));
}

TEST_CASE("file report: a NumPy array") {
  Folder f;
  write_npy<float>(f.at("x.npy"), {2, 3}, std::vector<float>(6, 1.0f));
  const Json report = f.inspect(f.at("x.npy"));
  CHECK(report["type"] == "npy");
  CHECK(report["tensors"][0]["shape"] == Json({2, 3}));
  CHECK(report["tensors"][0]["elements"] == 6);
}

TEST_CASE("file report: columns of a table") {
  Folder f;
  std::string rows = "Subject_ID,age,sex\n";
  for (int i = 0; i < 9; ++i)
    rows += concat("s", i, ",", i == 4 ? std::string("n/a") : concat(20 + i), i < 6 ? ",F\n" : ",M\n");
  const Json report = f.inspect(f.text("subjects.csv", rows), {.subjects_note = "no paths"});
  CHECK(report["type"] == "table");
  CHECK(report["rows"] == 9);
  CHECK(report["note"] == "no paths");
  CHECK(report["columns"][0]["different"] == 9);
  CHECK_FALSE(report["columns"][0].contains("min"));
  CHECK(report["columns"][1] == Json({{"name", "age"},
                                      {"missing", 1},
                                      {"different", 8},
                                      {"values", report["columns"][1]["values"]},
                                      {"min", 20.0},
                                      {"max", 28.0}}));
  CHECK(report["columns"][2]["values"] == Json({{"F", 6}, {"M", 3}}));
  CHECK(contains(f.printed(report), "F (6), M (3)"));
  CHECK_FALSE(must_not_be_used(report, true));
}

TEST_CASE("file report: a manifest, its copies and its damaged scans") {
  Folder f;
  f.scan("a.nii", 7), f.scan("b.nii", 7), f.scan("c.nii", 8), f.scan("d.nii", 7);
  f.text("e.nii", "not a scan");
  const std::string table =
      f.text("volumes.csv",
             "volume_id,subject_id,path,age,sex,cohort\n"
             "a,s1,a.nii,20,F,one\nb,s2,b.nii,30,M,one\nc,s2,c.nii,,M,one\nd,s1,d.nii,50,F,two\n");
  FileReportOptions options;
  Index reported = 0;
  options.reading.progress = [&](Index done, Index total) { reported = done * 100 + total; };
  const Json report = f.inspect(table, options);
  CHECK(report["type"] == "manifest");
  CHECK(report["volumes"] == 4);
  CHECK(report["subjects"] == 2);
  CHECK(report["subjects_with_repeats"] == 2);
  CHECK(report["cohorts"][0] == Json({{"cohort", "one"},
                                      {"volumes", 3},
                                      {"subjects", 2},
                                      {"ages", 2},
                                      {"age_mean", 25.0},
                                      {"age_sd", std::sqrt(50.0)},
                                      {"age_min", 20.0},
                                      {"age_max", 30.0}}));
  CHECK(report["duplicates"] == Json::array({Json({"a", "b", "d"})}));
  CHECK(report["unreadable"].empty());
  CHECK(reported == 404);
  REQUIRE(report["findings"].size() == 1);
  CHECK(report["findings"][0]["id"] == "manifest.copies");
  CHECK(
      contains(report["findings"][0]["sentence"], "1 group of scans with the same voxels, 1 of them under different"));
  CHECK_FALSE(must_not_be_used(report, false));
  CHECK(must_not_be_used(report, true));
  const std::string text = f.printed(report);
  CHECK(contains(text, "4 volumes of 2 subjects, 2 of them with several"));
  CHECK(contains(text, "20 to 50, median 30"));
  CHECK(contains(text, "warning: 1 group"));

  // Copies within one subject are no sign of two.
  const Json within = f.inspect(f.text("within.csv", "volume_id,subject_id,path\na,s1,a.nii\nb,s1,b.nii\n"));
  CHECK(
      contains(within["findings"][0]["sentence"], "1 group of scans with the same voxels, 0 of them under different"));

  options.reading.read_scans = false;
  CHECK_FALSE(f.inspect(table, options).contains("duplicates"));

  const Json damaged = f.inspect(f.text("damaged.csv", "subject_id,path\ns1,a.nii\ns2,e.nii\n"));
  CHECK(damaged["unreadable"].size() == 1);
  CHECK(must_not_be_used(damaged, false));
  CHECK(contains(f.printed(damaged), "error: 1 scan cannot be read"));
}

TEST_CASE("file report: a scan against a contract, with its picture and its values") {
  Folder f;
  const std::string scan = f.scan("scan.nii.gz", 7);
  FileReportOptions options;
  options.volume.contract = PreprocessingContract{};
  options.volume.contract->shape = {12, 14, 16};
  options.volume.contract->spacing = {2, 2, 2};
  options.volume.png = f.at("scan.png");
  options.volume.npy = f.at("scan.npy");
  const Json report = f.inspect(scan, options);
  CHECK(report["type"] == "volume");
  CHECK(report["format"] == "NIfTI-1, gzip");
  CHECK(report["shape"] == Json({12, 14, 16}));
  CHECK(report["spacing_mm"] == Json({2.0, 2.0, 2.0}));
  CHECK(report["orientation"] == "RAS");
  CHECK(report["values"]["min"] == 0.0);
  CHECK(report["values"]["max"] == 99.0);
  CHECK(report["values"]["nonzero"] == 12 * 14 * 16 * 2 / 3);
  CHECK(report["fit"]["fits"] == false);  // half a litre is too little for a head
  CHECK(report["fit"]["usable"] == true);
  CHECK(std::filesystem::exists(f.at("scan.png")));
  CHECK(read_npy(f.at("scan.npy")).shape() == std::vector<Index>{12, 14, 16});
  const std::string text = f.printed(report);
  CHECK(contains(text, "12 x 14 x 16"));
  CHECK(contains(text, "orientation RAS"));
  CHECK(contains(text, "usable, with the warnings below"));
  // Pictures and values replace nothing unless they may.
  CHECK_THROWS_AS(f.inspect(scan, options), Error);
  options.volume.force = true;
  CHECK_NOTHROW(f.inspect(scan, options));
}

TEST_CASE("config report: parameters of the models that a configuration names") {
  Folder f;
  const Json paper = inspect_config("paper");
  REQUIRE(paper["parts"].size() == 4);
  Index sum = 0;
  for (const Json& part : paper["parts"])
    if (part["part"] == "encoder" || part["part"] == "MAE decoder") sum += part["parameters"].get<Index>();
  CHECK(sum == 329'582'080);
  const Json small = inspect_config(f.text("c.json", R"({"dit": {"width": 48, "depth": 1, "heads": 2, "mlp": 96}})"));
  CHECK(small["parts"][0] == paper["parts"][0]);
  CHECK(small["parts"][3]["parameters"].get<Index>() < paper["parts"][3]["parameters"].get<Index>());
  std::ostringstream out;
  print_config(out, paper);
  CHECK(contains(out.str(), "diffusion transformer"));
}
