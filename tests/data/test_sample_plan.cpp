#include "tests/support/check.hpp"

#include "braing3n/data/generate_volumes.hpp"

using namespace braing3n;

namespace {

std::vector<ConditionField> fields() {
  return {{.name = "modality", .values = {"T1", "T2"}, .drop = 0, .required = true},
          {.name = "sex", .values = {"F", "M"}},
          {.name = "age", .kind = ConditionKind::continuous, .values = {}, .minimum = 0, .maximum = 120}};
}

std::vector<std::string> names(const SamplePlan& plan) {
  std::vector<std::string> all;
  for (const PlannedSample& s : plan.samples) all.push_back(s.name);
  return all;
}

void refused(const std::string& conditions, const std::string& sweep, const char* words) {
  CHECK_THROWS_WITH_AS((void)plan_samples(fields(), conditions, sweep, 1), doctest::Contains(words), Error);
}

}  // namespace

TEST_CASE("planned samples: numbers from the first on, one file each") {
  const SamplePlan plan = plan_samples(fields(), "modality=T1,sex=female", "", 2, 7);
  CHECK(plan.variants == 1);
  CHECK(names(plan) == std::vector<std::string>{"SYNTHETIC_0007", "SYNTHETIC_0008"});
  CHECK(plan.samples[1].id == 8);
  CHECK(plan.samples[1].row[1].label == 0);
  CHECK(plan.samples[1].row[2].missing());
  CHECK(plan.samples[0].caption == describe_conditions(fields(), plan.samples[0].row));
}

TEST_CASE("planned samples: the values of a sweep stand together and share their number") {
  const SamplePlan plan = plan_samples(fields(), "modality=T2", "age=30,70.5,null", 2);
  CHECK(plan.variants == 3);
  CHECK(names(plan) == std::vector<std::string>{"SYNTHETIC_0000_age_30", "SYNTHETIC_0000_age_70.5",
                                                "SYNTHETIC_0000_age_null", "SYNTHETIC_0001_age_30",
                                                "SYNTHETIC_0001_age_70.5", "SYNTHETIC_0001_age_null"});
  CHECK(plan.samples[1].caption == "age=70.5");
  CHECK(plan.samples[1].id == 0);
  CHECK(plan.samples[5].id == 1);
  CHECK(plan.samples[2].row[2].missing());
}

TEST_CASE("planned samples: what cannot be planned") {
  refused("sex=F", "", "condition modality: expected one of T1, T2, got none");
  refused("modality=T1,age=3", "age=4,5", "expected a condition without a fixed value, got age, which has one");
  refused("modality=T1", "age=4,sex=F", "expected one condition as name=value,value,..., got 2 conditions");
  refused("modality=T1", "age=30,30.0", "twice");
  refused("modality=T1", "weight=30", "expected one of the conditions modality, sex, age");
}

TEST_CASE("planned samples: one of a sidecar is the one that was made") {
  const SamplePlan plan = plan_samples(fields(), "modality=T2", "age=30,70.5", 2);
  SampleRecord record;
  record.file = plan.samples[3].name + ".nii.gz";
  record.sample = plan.samples[3].id;
  record.conditions = conditions_json(fields(), plan.samples[3].row);
  const PlannedSample again = planned_again(fields(), record);
  CHECK(again.name == plan.samples[3].name);
  CHECK(again.id == plan.samples[3].id);
  CHECK(describe_conditions(fields(), again.row) == describe_conditions(fields(), plan.samples[3].row));
  record.conditions.erase("modality");
  CHECK_THROWS_AS((void)planned_again(fields(), record), Error);
}

TEST_CASE("samples that are computed together: as many as make 1,200 tokens, never more than there are") {
  Dit3dConfig model;
  model.grid = {5, 6, 5};
  CHECK(sampling_batch(model, 100) == 8);
  CHECK(sampling_batch(model, 3) == 3);
  CHECK(sampling_batch(model, 100, 20) == 20);
  CHECK(sampling_batch(model, 10, 20) == 10);
  model.grid = {20, 20, 20};
  CHECK(sampling_batch(model, 10) == 1);
}
