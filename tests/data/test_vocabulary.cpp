// The values of labels: one spelling in tables, conditions and phantoms.
#include "braing3n/base/vocabulary.hpp"

#include <doctest/doctest.h>

#include "braing3n/data/condition_labels.hpp"

using namespace braing3n;

namespace {

enum class Plain { first, second_word };

}  // namespace

TEST_CASE("vocabulary: names, any case, aliases") {
  CHECK(enum_names<Sex>() == std::vector<std::string>{"F", "M"});
  CHECK(enum_name(Disease::ADHD) == "ADHD");
  CHECK(enum_from_name<Modality>("FLAIR") == Modality::FLAIR);
  CHECK_FALSE(enum_from_name<Modality>("flair"));
  CHECK(find_enum<Modality>("flair") == Modality::FLAIR);
  CHECK(find_enum<Modality>("T2-FLAIR") == Modality::FLAIR);
  CHECK(find_enum<Sex>("Woman") == Sex::female);
  CHECK(find_enum<Disease>("GLIOMA") == Disease::glioma);
  CHECK(find_enum<Idh1>("IDH1-mutant") == Idh1::mutant);
  CHECK_FALSE(find_enum<Sex>(""));
  CHECK(find_enum<Plain>("SECOND_WORD") == Plain::second_word);
  CHECK(enum_name(static_cast<Sex>(2)).empty());
}

TEST_CASE("vocabulary: what is not in it is refused with all that is") {
  CHECK_THROWS_WITH_AS(parse_enum<Modality>("modality", "CT"),
                       "modality: expected one of T1, T2, FLAIR, T1c, got \"CT\"", Error);
  CHECK_THROWS_WITH_AS(parse_enum<Idh1>("idh1", ""), "idh1: expected one of wildtype, mutant, got \"\"", Error);
  CHECK(parse_enum<Modality>("modality", "t1ce") == Modality::T1c);
}

TEST_CASE("vocabulary: tables and conditions take it, in an order that files keep") {
  const LabelSchema schema = LabelSchema::standard();
  CHECK(schema.find("modality")->values == enum_names<Modality>());
  CHECK(schema.find("disease")->values == enum_names<Disease>());
  CHECK(schema.find("sex")->closed);
  CHECK_FALSE(schema.find("disease")->closed);
  for (const EnumAlias& alias : EnumText<Idh1>::aliases)
    CHECK(standard_spelling(*schema.find("idh1"), alias.text) == EnumText<Idh1>::names[alias.index]);
  const std::vector<ConditionField> fields = paper_conditions();
  const auto values = [&](const char* name) { return fields[find_condition(fields, name)].values; };
  CHECK(values("disease") == std::vector<std::string>{"HC", "MCI", "AD", "PD", "GBM", "glioma", "SCZ", "ASD"});
  CHECK(values("sex") == std::vector<std::string>{"F", "M"});
  CHECK(values("modality") == std::vector<std::string>{"T1", "T2", "FLAIR", "T1c"});
  CHECK(values("idh1") == std::vector<std::string>{"wildtype", "mutant"});
}
