// Rows find each other by identifiers of any name; what cannot be told is refused with a pointer to what would match; columns that are no
// features are left out by name; values far from 0 keep their differences.

#include "braing3n/probe/saved_probe.hpp"
#include "braing3n/table/finite_rows.hpp"
#include "braing3n/table/join_features.hpp"
#include "braing3n/table/row_pairing.hpp"
#include "tests/support/check.hpp"
#include "tests/support/scratch_folder.hpp"

using namespace braing3n;

namespace {

struct Folder : test::ScratchFolder {
  FeatureTable read(const std::string& name, const std::string& text, const FeatureOptions& options = {}) const {
    return read_features(write(name, text), options);
  }
};

CsvTable labels_of(const std::string& text) { return CsvTable::from_text(text, "labels.csv"); }

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("identifier columns of other names pair, in any order of the rows") {
  const Folder folder;
  const CsvTable labels = labels_of("Subject ID,sex\nc,F\na,M\nb,F\n");
  for (const char* name : {"ID", "SUB_ID", "eid", "PTID", "RID", "Subject", "lh.aparc.thickness", "Measure:volume", "",
                           "Unnamed: 0", " id ", "whatever"}) {
    const FeatureTable table = folder.read("f.csv", std::string(name) + ",f\na,1\nb,2\nc,3\n");
    CHECK_MESSAGE((table.column_names == std::vector<std::string>{"f"}), name);
    CHECK_MESSAGE((pair_rows(labels, {&table, 1}).feature_row[0] == std::vector<Index>{2, 0, 1}), name);
  }
  // The identifiers of a pandas index are no identifiers, so nothing tells the rows apart.
  const FeatureTable counted = folder.read("f.csv", ",f\n0,1\n1,2\n2,5\n");
  CHECK(counted.ids.empty());
  CHECK(counted.column_names == std::vector<std::string>{"f"});
  test::check_error("pair.order", {"no identifiers"}, [&] { pair_rows(labels, {&counted, 1}); });
  CHECK(pair_rows(labels, {&counted, 1}, {.by_order = true}).feature_row[0] == std::vector<Index>{0, 1, 2});
}

TEST_CASE("an identifier column that a table lacks is an error") {
  const Folder folder;
  test::check_error("csv.column", {"nope"}, [&] { folder.read("f.csv", "id,f\na,1\n", {.id_column = "nope"}); });
  const FeatureTable table = folder.read("f.csv", "id,code,f\n1,a,1\n2,b,2\n", {.id_column = "CODE"});
  CHECK(table.ids == std::vector<std::string>{"a", "b"});
  const CsvTable labels = labels_of("id,name,sex\n2,a,F\n1,b,M\n");
  test::check_error("csv.column", {"nope"}, [&] { pair_rows(labels, {&table, 1}, {.id_column = "nope"}); });
  CHECK(pair_rows(labels, {&table, 1}, {.id_column = "name"}).feature_row[0] == std::vector<Index>{0, 1});
}

TEST_CASE("identifiers of another form are pointed at and never matched") {
  const Folder folder;
  const FeatureTable table = folder.read("f.csv", "id,f\nsub-001,1\nsub-002,2\nsub-010,3\n");
  const auto refuses = [&](const std::string& labels, const char* words) {
    test::check_error("pair.column", {"sub-001", words}, [&] { pair_rows(labels_of(labels), {&table, 1}); });
  };
  refuses("id,s\n1,F\n2,M\n10,F\n", "without prefix, separators and leading zeros (3 rows)");
  refuses("id,s\nSUB-001,F\nSUB-002,M\n", "if capitals did not count (2 rows)");
  refuses("id,s\n001,F\n002,M\n", "without prefix");
  refuses("id,s\n1.0,F\n2.0,M\n", "without prefix");
  refuses("id,s\nsub-001_T1w,F\nsub-002_T1w,M\n", "session or modality");
  refuses("id,s\nIXI0001,F\nIXI0002,M\n", "digits");
  refuses("id,Codename,s\nx,sub-001,F\ny,sub-002,M\n", "column \"Codename\"");
  CHECK(identifier_hint(table.ids, std::vector<std::string>{"alpha", "beta"}).empty());
  // Where some rows meet, the others are pointed at in a warning.
  const Pairing some = pair_rows(labels_of("id,s\nsub-001,F\n2,M\n"), {&table, 1});
  CHECK(some.ids == std::vector<std::string>{"sub-001"});
  CHECK(has(some.warnings.back(), "without prefix"));
}

TEST_CASE("one row of labels serves all scans of a subject, and sessions tell visits apart") {
  const Folder folder;
  const FeatureTable scans = folder.read("f.csv", "volume_id,subject_id,f\nv1,a,1\nv2,a,2\nv3,b,3\n");
  const Pairing p = pair_rows(labels_of("participant_id,age\nb,40\na,30\n"), {&scans, 1});
  CHECK(p.ids == std::vector<std::string>{"b", "v1", "v2"});
  CHECK(p.feature_row[0] == std::vector<Index>{2, 0, 1});
  CHECK(p.label_row == std::vector<Index>{0, 1, 1});
  const FeatureTable visits = folder.read("g.csv", "Subject,ses,f\na,1,1\na,2,2\nb,1,3\nb,2,4\n");
  CHECK(pair_rows(labels_of("eid,age\na,30\nb,40\n"), {&visits, 1}).label_row == std::vector<Index>{0, 0, 1, 1});
  const Pairing by_session =
      pair_rows(labels_of("subject_id,session,age\na,2,31\na,1,30\nb,1,40\nb,3,50\n"), {&visits, 1});
  CHECK(by_session.feature_row[0] == std::vector<Index>{1, 0, 2});
  test::check_error("features.duplicate", {"session column"},
                    [&] { pair_rows(labels_of("subject_id,age\na,31\na,30\nb,40\nb,41\n"), {&visits, 1}); });
  // A scan identifier that repeats is no second scan of a subject.
  const FeatureTable twice = folder.read("h.csv", "volume_id,f\na,1\na,2\n");
  test::check_error("features.duplicate", {"\"a\""},
                    [&] { pair_rows(labels_of("volume_id,age\na,31\n"), {&twice, 1}); });
}

TEST_CASE("columns that are no features are left out by name, with the first bad cell") {
  const Folder folder;
  const FeatureTable t =
      folder.read("f.csv",
                  "id,f,Age,SITE_ID,row,scan_date,empty,partly,small,AD_score\n"
                  "a,1.5,30,1,1,2020-05-12,,0.5,1e-50,7\nb,2,31,1,2,2020-05-13,,\"1,5\",1e-400,7\nc,3,32,1,3,2020-05-"
                  "12,4,2,-2e3,8\n"
                  "d,1,30,1,4,2020-05-12,,0.5,1,7\ne,1,30,1,5,2020-05-12,,0.5,1,7\ng,1,30,1,6,2020-05-12,2,0.5,1,7\n"
                  "h,1,30,1,7,2020-05-12,,0.5,1,7\ni,1,30,1,8,2020-05-12,1,0.5,1,7\n",
                  {.not_features = {"ad score"}});
  CHECK(t.column_names == std::vector<std::string>{"f", "small"});
  CHECK(t.values(0, 1) == 0.0f);
  REQUIRE(t.notes.size() == 1);
  for (const char* part :
       {"\"Age\"", "\"SITE_ID\"", "\"row\" (it counts the rows)", "\"scan_date\"",
        "\"empty\" (5 of 8 cells are missing, more than half)",
        "\"partly\" (line 3: expected a number, got \"1,5\"; 7 of 8 cells are numbers)", "\"AD_score\" (a label)"})
    CHECK_MESSAGE(has(t.notes[0], part), part);
  CHECK_FALSE(feature_number("1e400"));
  CHECK_FALSE(feature_number("1e60"));
  CHECK_FALSE(feature_number("2020-05-12"));
  CHECK_FALSE(feature_number("12,5"));
  CHECK(feature_number("+0.4") == std::optional(0.4));
  CHECK(std::isnan(*feature_number(" n/a ")));
}

TEST_CASE("values far from 0 keep their differences, in the table and in a saved probe") {
  const Folder folder;
  const FeatureTable t = folder.read("f.csv", "id,f,g,c\na,100000000.25,1,5\nb,100000001.5,2,5\nc,99999999,3,5\n");
  CHECK(t.row_values(0) == std::vector<double>{100000000.25, 1, 5});
  CHECK(t.row_values(1)[0] - t.row_values(0)[0] == 1.25);
  REQUIRE(t.offset.size() == 3);
  CHECK(t.offset[1] == 0);
  CHECK(t.values(0, 1) == 1.0f);  // columns near 0 are as they were
  CHECK(folder.read("g.csv", "id,f\na,1684160\nb,1484160\n").offset.empty());
  CHECK(select_columns(t, {"g", "f"}).row_values(1) == std::vector<double>{2, 100000001.5});
  // A probe made from the centred table reads whole values.
  TaskResult result;
  result.task.task.text = result.task.task.column = "age";
  result.scores.scores.push_back({});
  LinearFit fit;
  fit.outputs = 1;
  fit.features = 3;
  fit.mean = {1, 0, 0};
  fit.scale = {1, 1, 1};
  fit.weights = matrix_of(3, std::vector<double>{2, 0, 0});
  fit.intercept = {10};
  const SavedProbe probe = make_saved_probe(t, {result}, {fit});
  double expected = 0;
  fit.evaluate(t.row(1).data(), &expected);
  CHECK(apply_probe(probe.tasks[0], t.row_values(1).data())[0] == doctest::Approx(expected).epsilon(1e-9));
}

TEST_CASE("files side by side join by identifiers; equal columns stay once") {
  const Folder folder;
  const std::vector<FeatureTable> parts{
      folder.read("lh.csv", "lh.aparc.thickness,a,eTIV,x\nq,1,9,1\nr,2,8,2\ns,3,7,3\n"),
      folder.read("rh.csv", "rh.aparc.thickness,b,eTIV,x\ns,30,7,5\nq,10,9,6\n")};
  const FeatureTable t = join_features(parts);
  CHECK(t.ids == std::vector<std::string>{"q", "s"});
  CHECK(t.column_names == std::vector<std::string>{"a", "eTIV", "x", "b", "x (2)"});
  CHECK(t.row_values(1) == std::vector<double>{3, 7, 3, 30, 5});
  CHECK(has(t.notes.back(), "\"r\""));
  CHECK(join_features(parts, {.keep_equal = true}).column_names.size() == 6);
  CHECK(original_column_name("x (2)") == "x");
  CHECK(original_column_name("x (a)") == "x (a)");
  CHECK(feature_parts("a.csv+b.csv") == std::vector<std::string>{"a.csv", "b.csv"});
  const std::vector<FeatureTable> strangers{parts[0], folder.read("z.csv", "id,b\nz,1\n")};
  test::check_error("join.none", {"\"z\""}, [&] { join_features(strangers); });
}

TEST_CASE("samples with features that are not numbers leave, and the columns that cost most are named") {
  const Folder folder;
  const FeatureTable t = folder.read("f.csv", "id,f,g\na,1,1\nb,nan,2\nc,3,3\n");
  Pairing p = pair_rows(labels_of("id,s\na,F\nb,M\nc,F\n"), {&t, 1});
  drop_non_finite(p, {&t, 1});
  CHECK(p.ids == std::vector<std::string>{"a", "c"});
  CHECK(has(p.warnings.back(), "b (column \"f\" is nan)"));
  p = pair_rows(labels_of("id,s\nb,M\n"), {&t, 1});
  test::check_error("probe.nonfinite", {"no row is left", "column \"f\" (1 rows)"},
                    [&] { drop_non_finite(p, {&t, 1}); });
}
