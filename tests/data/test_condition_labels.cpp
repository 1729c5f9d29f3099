#include "tests/support/check.hpp"

#include "braing3n/data/condition_labels.hpp"

using namespace braing3n;

namespace {

Manifest table(const std::string& text) {
  return read_manifest(CsvTable::from_text(text, "labels.csv"), {.check_files = false, .need_paths = false});
}

std::vector<Index> all_of(const Manifest& m) {
  std::vector<Index> rows;
  for (Index i = 0; i < m.size(); ++i) rows.push_back(i);
  return rows;
}

const char* three =
    "subject_id,path,modality,age,sex,disease,site,idh1\n"
    "a,a.nii,T1w,70.5,female,ad,OASIS-1,\n"
    "b,b.nii,FLAIR,n/a,M,n/a,,mut\n"
    "c,c.nii,T1c,,,HC,other,wt\n";

}  // namespace

TEST_CASE("label rows become conditions; missing is the null") {
  const auto fields = paper_conditions();
  const Manifest m = table(three);
  const auto rows = condition_rows(fields, m, all_of(m));
  CHECK(describe_conditions(fields, rows[0]) == "disease=AD, sex=F, modality=T1, site=OASIS-1, age=70.5");
  CHECK(describe_conditions(fields, rows[1]) == "sex=M, modality=FLAIR, idh1=mutant");
  CHECK(describe_conditions(fields, rows[2]) == "disease=HC, modality=T1c, site=other, idh1=wildtype");
  const ConditionBatch batch = condition_batch(fields, rows);
  CHECK(batch.fields[0].labels == std::vector<std::int32_t>{2, -1, 0});
  CHECK(batch.fields[2].labels == std::vector<std::int32_t>{0, 2, 3});
  CHECK(batch.fields[4].values[0] == 70.5);
  CHECK(std::isnan(batch.fields[4].values[1]));
  CHECK(batch.fields[4].labels.empty());
  for (const ConditionRow& row : rows) {
    const ConditionRow back = conditions_from_json(fields, conditions_json(fields, row));
    CHECK(describe_conditions(fields, back) == describe_conditions(fields, row));
  }
  CHECK(describe_conditions(fields, null_conditions(fields, rows[0])) == "modality=T1");
}

TEST_CASE("labels that do not fit are errors that name the scan and list what is known") {
  const auto fields = paper_conditions();
  const auto rows_of_text = [&](const std::string& text) {
    const Manifest m = table(text);
    return condition_rows(fields, m, all_of(m));
  };
  test::check_error("condition.value",
                    {"scan a_T1", "disease", "\"ADHD\"", "HC, MCI, AD, PD, GBM, glioma, SCZ, ASD", "labels.csv"},
                    [&] { rows_of_text("subject_id,path,modality,disease\na,a.nii,T1,ADHD\n"); });
  test::check_error("condition.required", {"scan a", "modality", "T1, T2, FLAIR, T1c"},
                    [&] { rows_of_text("subject_id,path,disease\na,a.nii,AD\n"); });
  test::check_error("condition.value", {"scan b_T1", "line 3: column \"sex\"", "\"O\"", "F, M"},
                    [&] { rows_of_text("subject_id,path,modality,sex\na,a.nii,T1,F\nb,b.nii,T1,O\n"); });
  test::check_error("condition.value", {"scan a_T1", "line 2: column \"age\"", "\"034Y\"", "write 34"},
                    [&] { rows_of_text("subject_id,path,modality,age\na,a.nii,T1,034Y\n"); });
  auto wide = fields;
  for (ConditionField& f : wide)
    if (f.name == "sex") f.values.push_back("O");
  CHECK(condition_rows(wide, table("subject_id,path,modality,sex\na,a.nii,T1,O\n"), {0})[0][1].label == 2);
  test::check_error("condition.value", {"age", "250"},
                    [&] { rows_of_text("subject_id,path,modality,age\na,a.nii,T1,250\n"); });
  auto narrow = fields;
  narrow[4].maximum = 90;
  const Manifest old = table("subject_id,path,modality,age\na,a.nii,T1,91\n");
  test::check_error("condition.range", {"scan a_T1", "age is 91", "from 0 to 90"},
                    [&] { condition_rows(narrow, old, {0}); });
}

TEST_CASE("values may come from the data; numbers as classes are text") {
  std::vector<ConditionField> fields = {{"disease", ConditionKind::categorical, {}},
                                        {"scanner", ConditionKind::categorical, {}},
                                        {"idh1", ConditionKind::categorical, {}},
                                        {"sex", ConditionKind::categorical, {"F", "M"}}};
  const Manifest m =
      table("subject_id,path,disease,scanner,sex\na,a.nii,HC,2,F\nb,b.nii,AD,1,M\nc,c.nii,n/a,2,\nd,d.nii,PD,3,M\n");
  CHECK(complete_conditions(fields, m, {0, 1, 2}) == std::vector<std::string>{"idh1"});
  REQUIRE(fields.size() == 3);
  CHECK(fields[0].values == std::vector<std::string>{"AD", "HC"});
  CHECK(fields[1].values == std::vector<std::string>{"1", "2"});
  CHECK_NOTHROW(validate_conditions(fields));
  const auto rows = condition_rows(fields, m, {0, 1, 2});
  CHECK(rows[0][1].label == 1);
  CHECK(rows[1][1].label == 0);
  CHECK(rows[2][0].missing());
  test::check_error("condition.value", {"scan d", "\"PD\"", "AD, HC"}, [&] { condition_rows(fields, m, {3}); });
}

TEST_CASE("conditions without any label are refused by name, or removed") {
  using K = ConditionKind;
  const Manifest m = table("subject_id,path,disease,age,sex\na,a.nii,HC,30,\nb,b.nii,AD,,\nc,c.nii,AD,50,F\n");
  std::vector<ConditionField> fields = {{"disease", K::categorical, {"HC", "AD", "PD"}},
                                        {"sex", K::categorical, {"F", "M"}},
                                        {"age", K::continuous, {}, 0.1, false, 0, 120}};
  CHECK(absent_conditions(fields, m, {0, 1, 2}, AbsentConditions::refuse).empty());
  test::check_error(
      "condition.absent",
      {"condition sex", "no value in any of the 2 training scans", "columns with labels: ", "disease", "labels.csv"},
      [&] { absent_conditions(fields, m, {0, 1}, AbsentConditions::refuse); });
  std::vector<ConditionField> planet = {{"planet", K::continuous, {}, 0.1, false, 0, 9}};
  test::check_error("condition.absent", {"condition planet", "no such column", "columns with labels: ", "disease"},
                    [&] { absent_conditions(planet, m, {0, 1, 2}, AbsentConditions::refuse); });
  std::vector<ConditionField> required = {{"idh1", K::categorical, {"wildtype"}, 0.0, true}};
  test::check_error("condition.absent", {"condition idh1"},
                    [&] { absent_conditions(required, m, {0, 1, 2}, AbsentConditions::remove); });
  CHECK(absent_conditions(fields, m, {0, 1}, AbsentConditions::remove) == std::vector<std::string>{"sex"});
  REQUIRE(fields.size() == 2);
  CHECK(absent_values(fields, condition_rows(fields, m, {0, 1, 2}), {0, 1, 2}) ==
        std::vector<std::string>{"disease=PD"});
}

TEST_CASE("a table of labels needs no paths where none are asked for") {
  const std::string text = "subject_id,volume_id,modality,age\na,a_1,T1,3\n";
  CHECK(table(text).scans[0].path.empty());
  CHECK(table("subject_id,path,modality\na,,T1\n").scans[0].path.empty());
  test::check_error("manifest.path", {"\"path\""},
                    [&] { read_manifest(CsvTable::from_text(text, "labels.csv"), {.check_files = false}); });
}

TEST_CASE("conditions as a user types them") {
  const auto fields = paper_conditions();
  const auto parsed = [&](const char* text) { return describe_conditions(fields, parse_conditions(fields, text)); };
  CHECK(parsed("age=70,sex=F,disease=AD") == "disease=AD, sex=F, age=70");
  CHECK(parsed(" age = 70.25 , modality=t1w") == "modality=T1, age=70.25");
  CHECK(parsed("") == "no conditions");
  CHECK(parsed("age=n/a,sex=null") == "no conditions");
  CHECK(parsed("sex=woman") == "sex=F");
  test::check_error("condition.range", {"age is -3", "0 to 120"}, [&] { parsed("age=-3"); });
  test::check_error("condition.range", {"age is 250"}, [&] { parsed("age=250"); });
  test::check_error("condition.number", {"\"old\""}, [&] { parsed("age=old"); });
  test::check_error("condition.number", {"nan"}, [&] { parsed("age=nan"); });
  test::check_error("condition.value", {"\"X\"", "F, M"}, [&] { parsed("sex=X"); });
  test::check_error("condition.name", {"\"weight\"", "disease, sex, modality, site, age, idh1"},
                    [&] { parsed("weight=3"); });
  test::check_error("condition.syntax", {"2 values"}, [&] { parsed("age=30,50"); });
  test::check_error("condition.syntax", {"name=value"}, [&] { parsed("age"); });
  test::check_error("condition.syntax", {"name=value"}, [&] { parsed("age="); });
  test::check_error("condition.syntax", {"name=value"}, [&] { parsed("age=3,,sex=F"); });
  test::check_error("condition.twice", {"age"}, [&] { parsed("age=3,age=4"); });
  test::check_error("condition.required", {"modality", "T1, T2"},
                    [&] { require_conditions(fields, parse_conditions(fields, "age=3")); });
  const auto sweep = parse_assignments("age=30,50,70,sex=F,M");
  REQUIRE(sweep.size() == 2);
  CHECK(sweep[0].values == std::vector<std::string>{"30", "50", "70"});
  CHECK(sweep[1].values == std::vector<std::string>{"F", "M"});
}
