// Identifier, subject, site, sex and age columns under the names that real tables give them.
#include <doctest/doctest.h>

#include "braing3n/table/column_names.hpp"

using namespace braing3n;

namespace {

CsvTable table(const std::string& header, const std::string& rows = "") {
  return CsvTable::from_text(header + "\n" + rows, "t.csv");
}

}  // namespace

TEST_CASE("identifier columns are found under their common names, in any spelling") {
  for (const char* name : {"ID", "SUB_ID", "eid", "PTID", "RID", "Subject", "Subject ID", "participant_id", "SubjID",
                           "sub-id", " ID ", "Patient_ID", "PATNO", "IXI_ID", "volume_id", "Image Data ID",
                           "src_subject_id", "subject.id", "Measure:volume"})
    CHECK_MESSAGE(find_id_column(table(std::string(name) + ",x", "1,2\n")) == std::optional<std::size_t>(0), name);
  for (const char* name : {"lh.aparc.thickness", "rh.aparc.a2009s.volume", "lh.BA_exvivo.area"})
    CHECK_MESSAGE(find_id_column(table(std::string(name) + "\tx", "1\t2\n")) == std::optional<std::size_t>(0), name);
  CHECK(find_id_column(table("x,Subject_ID,volume_id", "1,2,3\n")) == std::optional<std::size_t>(2));
  CHECK(find_id_columns(table("x,Subject_ID,volume_id", "1,2,3\n")) == std::vector<std::size_t>{2, 1});
  CHECK(find_subject_column(table("ID,x")) == std::nullopt);
  CHECK(find_subject_column(table("ID,Subject ID")) == std::optional<std::size_t>(1));
  // A first column without a name holds identifiers, unless it counts rows.
  CHECK(find_id_column(table(",x", "a,1\nb,2\n")) == std::optional<std::size_t>(0));
  CHECK(find_id_column(table("Unnamed: 0,x", "sub-1,1\nsub-2,2\n")) == std::optional<std::size_t>(0));
  CHECK(find_id_column(table(",x", "0,1\n1,2\n")) == std::nullopt);
  CHECK(find_id_column(table(",x", "1.0,1\n2.0,2\n")) == std::nullopt);
  CHECK(find_id_column(table("ID,x", "1,1\n2,2\n")) == std::optional<std::size_t>(0));
  // A first column of distinct texts under an unknown name.
  CHECK(find_id_column(table("code,x", "a1,1\na2,2\n")) == std::optional<std::size_t>(0));
  CHECK(find_id_column(table("code,x", "a1,1\na1,2\n")) == std::nullopt);
  CHECK(find_id_column(table("code,x", "1,1\n2,2\n")) == std::nullopt);
}

TEST_CASE("sex, age and site columns, and what must not be taken for them") {
  for (const char* name : {"Sex", "gender", "SEX_ID (1=m, 2=f)", "PTGENDER", "sex_at_birth", "sexMF", "M/F"})
    CHECK_MESSAGE(find_sex_column(table(std::string("x,") + name)) == std::optional<std::size_t>(1), name);
  for (const char* name :
       {"Age", "AGE_AT_SCAN", "age (years)", "AgeAtVisit", "patient_age_at_first_study", "interview_age", "Age_yrs"})
    CHECK_MESSAGE(find_age_column(table(std::string("x,") + name)) == std::optional<std::size_t>(1), name);
  for (const char* name : {"SITE_ID", "Site", "site name", "Center", "sitenum"})
    CHECK_MESSAGE(find_site_column(table(std::string("x,") + name)) == std::optional<std::size_t>(1), name);
  for (const char* name : {"age_of_onset", "average", "lh_passage_area", "age_group", "brain_age"})
    CHECK_MESSAGE(find_age_column(table(std::string("x,") + name)) == std::nullopt, name);
  CHECK(find_sex_column(table("sexuality,x")) == std::nullopt);
  CHECK(find_age_column(table("age_of_onset,AGE_AT_SCAN,x")) == std::optional<std::size_t>(1));
}

TEST_CASE("labels are told from measurements by their names") {
  for (const char* name : {"Age", "AGE_AT_SCAN", "sitenum", "Dx", "Handedness", "scan_date", "DOB", "", "Unnamed: 0",
                           "eid", "Subject", "FieldStrength", "MMSE", "SCANNER_ID", "MR Delay", "acq_time", "EXAMDATE"})
    CHECK_MESSAGE(is_label_column(name), name);
  for (const char* name : {"lh_bankssts_thickness", "eTIV", "ICV", "Left-Hippocampus", "f0",
                           "lh_G&S_subcentral_thickness", "LLatVent", "average_thickness", "image_quality"})
    CHECK_MESSAGE(!is_label_column(name), name);
  CHECK(find_named_column(table("x, Sub ID "), "SUB_ID") == std::optional<std::size_t>(1));
  CHECK(find_named_column(table("SUBID,Sub ID"), "sub_id") == std::nullopt);
  CHECK(find_named_column(table("SUBID,Sub ID"), "Sub ID") == std::optional<std::size_t>(1));
}
