// Task grammar, labels, pairing of rows.
#include <doctest/doctest.h>

#include <cstring>
#include <filesystem>

#include "braing3n/probe/task.hpp"
#include "braing3n/table/row_pairing.hpp"
#include "tests/support/scratch_folder.hpp"

using namespace braing3n;

namespace {

using Folder = test::ScratchFolder;

}  // namespace

TEST_CASE("task grammar") {
  const Task t = parse_task(" disease:HC|AD=class@modality=T1c@cohort=ADNI ");
  CHECK(t.column == "disease");
  CHECK(t.values == std::vector<std::string>{"HC", "AD"});
  CHECK(t.kind == Task::Kind::classification);
  CHECK(t.where == std::vector<std::pair<std::string, std::string>>{{"modality", "T1c"}, {"cohort", "ADNI"}});
  CHECK(parse_tasks("sex, age # comment, with comma\n\ncdr=class,mmse=reg").size() == 4);
  for (const char* wrong : {"", ":A|B", "a:B", "a:B|", "a:B|B", "a=what", "a:B|C=reg", "a@b", "a@b=", "a@=c"})
    CHECK_THROWS_AS(parse_task(wrong), Error);
  CHECK_THROWS_AS(parse_tasks("sex,sex"), Error);
}

TEST_CASE("labels: kinds, spellings, conditions, and what cannot be a task") {
  const CsvTable table = CsvTable::from_text(
      "volume_id,sex,age,cdr,group,constant,one,modality\na,F,30.123456789,0,HC,5,x,T1\nb,male,40,0.5,AD,5,x,T1c\nc,m,"
      "50,1,HC,5,,T1c\nd,"
      "female,n/a,1.0,AD,5,x,T1\n",
      "labels");
  const std::vector<Index> rows{0, 1, 2, 3};
  const auto resolve = [&](const char* task) { return resolve_task(parse_task(task), table, rows); };
  CHECK(resolve("sex").classes == std::vector<std::string>{"F", "M"});
  CHECK(resolve("sex").label == std::vector<std::int32_t>{0, 1, 1, 0});
  const ResolvedTask age = resolve("age");
  CHECK_FALSE(age.classification);
  CHECK(age.target[0] == 30.123456789);
  CHECK(age.rows == 3);
  CHECK_FALSE(age.has(3));
  CHECK(resolve("cdr=class").classes == std::vector<std::string>{"0", "0.5", "1"});
  CHECK(resolve("cdr=class").label == std::vector<std::int32_t>{0, 1, 2, 2});
  CHECK(resolve("group:AD|HC").label == std::vector<std::int32_t>{1, 0, 1, 0});
  CHECK(resolve("age@modality=T1c").rows == 2);
  CHECK(resolve("age@sex=M").rows == 2);
  const auto says = [&](const char* task, const char* id) {
    try {
      (void)resolve(task);
      FAIL_CHECK(task);
    } catch (const Error& e) {
      CHECK_MESSAGE(e.id() == id, task, ": ", e.what());
    }
  };
  says("agee", "task.column");
  says("sex@modalty=T1", "task.column");
  says("sex=reg", "task.type");
  says("constant=reg", "task.constant");
  says("one", "task.one_class");
  says("group:HC|XX", "task.value");
  says("age@sex=X", "task.empty");
}

TEST_CASE("cells of a task: numbers that are none, sentinels, ages, too many classes") {
  std::string text = "id,age,score,marker,band,code,months,when,constant\n";
  for (int i = 0; i < 40; ++i)
    text += concat(i, ',', i == 9 ? "89+" : std::to_string(20 + i), ",\"", i % 3, ',', i, "\",", i % 2 == 0 ? "+" : "-",
                   ',',
                   i % 3 == 0   ? "<30"
                   : i % 3 == 1 ? "30-60"
                                : ">60",
                   ",c", i, ',', i == 5 ? -999 : 100 + i, ",2019-05-", 10 + i % 20, ",1\n");
  const CsvTable table = CsvTable::from_text(text, "people.csv");
  std::vector<Index> rows;
  for (Index i = 0; i < 40; ++i) rows.push_back(i);
  const auto says = [&](const CsvTable& t, const char* task, const char* id, const char* part) {
    try {
      (void)resolve_task(parse_task(task), t, std::span<const Index>(rows).first(t.rows()));
      FAIL_CHECK(task);
    } catch (const Error& e) {
      CHECK_MESSAGE(e.id() == id, task, ": ", e.what());
      CHECK_MESSAGE(e.text().find(part) != std::string::npos, e.text());
    }
  };
  says(table, "age", "task.number", "line 11: column \"age\": expected a number, got \"89+\" (an open end");
  says(table, "age=reg", "task.type", "line 11: column \"age\": expected a number, got \"89+\"");
  says(
      table, "score", "task.number",
      "line 2: column \"score\": expected a number, got \"0,0\" (a decimal comma: write 0.0); 40 cells are no numbers");
  says(table, "when", "task.number", "(a date)");
  says(table, "months", "labels.sentinel", "line 7: column \"months\": got -999 (1 cell)");
  says(table, "code", "task.many_classes", "40 distinct values in 40 rows");
  says(table, "id=class", "task.many_classes", "ask for a regression (id=reg)");
  const auto resolve = [&](const char* task) { return resolve_task(parse_task(task), table, rows); };
  CHECK(resolve("marker").classes == std::vector<std::string>{"+", "-"});
  CHECK(resolve("marker").rows == 40);
  CHECK(resolve("band").classes.size() == 3);
  const auto ages = [&](const char* a, const char* b) {
    return CsvTable::from_text(concat("id,Age,interview_age\na,20,240\nb,64.5,774\nc,", a, ',', b, "\nd,+33,400\n"),
                               "people.csv");
  };
  const auto age = [&](const char* cell) {
    return resolve_task(parse_task("Age"), ages(cell, "500"), std::span<const Index>(rows).first(4));
  };
  for (const char* cell : {"NULL", "NA", ".", "-", "None", "?", "#N/A"}) {
    CHECK_MESSAGE(age(cell).rows == 3, cell);
    CHECK_FALSE(age(cell).classification);
  }
  CHECK(age("NULL").target[3] == 33);
  says(ages("-999", "1"), "Age", "labels.sentinel", "got -999");
  says(ages("999", "1"), "Age", "labels.sentinel", "got 999");
  says(ages("-1", "1"), "Age", "labels.age", "line 4: column \"Age\": expected an age in years from 0 to 130, got -1");
  says(ages("131", "1"), "Age", "labels.age", "got 131");
  says(ages("034Y", "1"), "Age", "task.number", "got \"034Y\" (an age with its unit: write 34)");
  CHECK(age("99").rows == 4);  // an age that a person can have
  CHECK(resolve_task(parse_task("interview_age"), ages("3", "500"), std::span<const Index>(rows).first(4)).rows == 4);
  CHECK_FALSE(find_sentinel(std::vector<double>{-3, -1, 0, 2}).has_value());
  CHECK_FALSE(find_sentinel(std::vector<double>{5000, 9999, 12000}).has_value());
  CHECK(find_sentinel(std::vector<double>{20, 25, 30, -9}) == 3);
}

TEST_CASE("features and labels find each other, or the sentence says who is missing") {
  const Folder folder;
  const std::string features = folder.write("f.csv", "id,f1,f2\nb,1,2\na,3,4\nc,5,nan\nz,0,0\n");
  const FeatureTable table = read_features(features);
  CHECK(table.rows() == 4);
  CHECK(table.column_names == std::vector<std::string>{"f1", "f2"});
  CHECK(std::isnan(table.values(2, 1)));
  const CsvTable labels = CsvTable::from_text("id,sex\na,F\nb,M\nc,F\nq,M\nb,M\n", "labels.csv");
  const Pairing pairing = pair_rows(labels, {&table, 1});
  CHECK(pairing.ids == std::vector<std::string>{"a", "b", "c"});
  CHECK(pairing.feature_row[0] == std::vector<Index>{1, 0, 2});
  REQUIRE(pairing.warnings.size() == 3);
  CHECK(pairing.warnings[0].find("\"b\" (lines 3 and 6, equal)") != std::string::npos);
  CHECK(pairing.warnings[1].find("1 row of labels has no features: \"q\"") != std::string::npos);
  CHECK(pairing.warnings[2].find("1 row has no labels: \"z\"") != std::string::npos);
  // The same identifier with two different labels cannot be believed.
  CHECK(pair_rows(CsvTable::from_text("id,sex\na,F\nb,M\na,M\n", "l"), {&table, 1}).ids ==
        std::vector<std::string>{"b"});
  // Repeated identifiers of scans are an error; rows pair in order only when asked.
  FeatureTable twice = read_features(folder.write("twice.csv", "id,f\na,1\na,2\n"));
  REQUIRE(duplicate_id(twice).has_value());
  CHECK_THROWS_AS(pair_rows(labels, {&twice, 1}), Error);
  const CsvTable visits = CsvTable::from_text("id,age\na,60\na,62\n", "l");
  CHECK_THROWS_AS(pair_rows(visits, {&twice, 1}), Error);
  twice.ids.clear();
  CHECK_THROWS_WITH_AS(
      pair_rows(visits, {&twice, 1}),
      (twice.path +
       ": the features have no identifiers, so nothing tells which row belongs to which of the 2 rows of l; "
       "expected a column (or an array, or metadata) of identifiers")
          .c_str(),
      Error);
  CHECK(pair_rows(visits, {&twice, 1}, {.by_order = true}).ids == std::vector<std::string>{"a", "a#2"});
  CHECK_THROWS_AS(read_features(folder.write("text.csv", "id,f\na,x\n")), Error);
  FeatureTable plain;
  plain.values = {{1}, {2}};
  plain.path = "plain.npy";
  CHECK_THROWS_WITH_AS(pair_rows(labels, {&plain, 1}, {.by_order = true}),
                       "plain.npy: 2 rows of features without identifiers, but 5 rows of labels in labels.csv", Error);
  CHECK_THROWS_AS(pair_rows(CsvTable::from_text("id,sex\nx,F\n", "l"), {&table, 1}), Error);
  FeatureTable wide;
  wide.values = {{1, 2, 3}, {4, 5, 6}};
  wide.column_names = {"a", "b", "c"};
  const FeatureTable chosen = select_columns(wide, {"c", "a"});
  CHECK(chosen.values == xt::xtensor<float, 2>{{3, 1}, {6, 4}});
  CHECK_THROWS_AS(select_columns(wide, {"a", "d"}), Error);
  CHECK(matches_pattern("lh_insula_thickness", "lh_*_thick*"));
  CHECK_FALSE(matches_pattern("rh_insula_thickness", "lh_*"));
}

TEST_CASE("the feature file: what is written is read, and a contract that was changed is noticed") {
  const Folder folder;
  const auto path = folder.path / "f.safetensors";
  FeatureTable table;
  table.values = {{1, 2}, {3, 4}, {5, std::nanf("")}};
  table.ids = {"sub-01_T1w", "a \"b\"", "\u00fc,1"};
  table.column_names = {"x", "y"};
  table.encoder_people = {"0123456789abcdef"};
  table.set_contract(R"({"spacing": [1, 1, 1], "encoder": "crc32 0a1b2c3d", "pooling": "mean"})");
  write_feature_file(path, table);
  const FeatureTable read = read_features(path);
  CHECK(read.encoder_people == table.encoder_people);
  CHECK(read.ids == table.ids);
  CHECK(read.column_names == table.column_names);
  CHECK(read.contract == table.contract);
  CHECK(read.contract_hash == sha256_hex(table.contract));
  CHECK(read.rows() == 3);
  CHECK(std::memcmp(read.values.data(), table.values.data(), 6 * sizeof(float)) == 0);
  const SafetensorsFile file(path);
  CHECK(file.metadata().at("volume_ids") == R"(["sub-01_T1w","a \"b\"","ü,1"])");
  CHECK(file.metadata().at("braing3n.type") == "features");
  CHECK_THROWS_AS(write_feature_file(path, table), Error);  // exists
  write_feature_file(path, table, {.overwrite = true});

  const auto refuses = [&](FeatureTable t, const char* id) {
    try {
      write_feature_file(folder.path / "no.safetensors", t);
      FAIL_CHECK(id);
    } catch (const Error& e) {
      CHECK(e.id() == id);
    }
    CHECK_FALSE(std::filesystem::exists(folder.path / "no.safetensors"));
  };
  FeatureTable wrong = table;
  wrong.ids[2] = wrong.ids[0];
  refuses(wrong, "features.duplicate");
  wrong.ids[2] = "";
  refuses(wrong, "features.id");
  wrong.ids.pop_back();
  refuses(wrong, "features.ids");
  wrong = table;
  set_size(wrong.values, 0, 2);
  refuses(wrong, "features.shape");

  const auto reads = [&](const Metadata& metadata) {
    const std::vector<NamedTensor> tensors{
        named_tensor<float>("features", {3, 2}, std::span<const float>(table.values))};
    write_safetensors(path, tensors, metadata, {.overwrite = true});
    return read_features(path);
  };
  CHECK(reads({}).ids.empty());
  CHECK(reads({}).contract_hash.empty());
  CHECK(reads({{"braing3n.contract_hash", "abc"}}).contract_hash == "abc");
  CHECK_THROWS_WITH_AS(reads({{"volume_ids", "[\"a\"]"}}),
                       (path.string() + ": metadata \"volume_ids\": 1 entries for 3 rows").c_str(), Error);
  CHECK_THROWS_AS(reads({{"volume_ids", "[1, 2, 3]"}}), Error);
  CHECK_THROWS_AS(reads({{"volume_ids", "a, b, c"}}), Error);
  CHECK_THROWS_AS(reads({{"braing3n.contract", "{}"}, {"braing3n.contract_hash", "abc"}}), Error);
}
