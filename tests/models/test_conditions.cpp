// The test of what training hides; parsing and tables are in tests/data/test_condition_labels.cpp.
#include "tests/support/check.hpp"

#include "braing3n/models/conditions.hpp"

using namespace braing3n;

namespace {

ConditionRow full_row() {
  ConditionRow row;
  for (const ConditionField& f : paper_conditions())
    row.push_back(f.kind == ConditionKind::categorical ? ConditionValue{.label = 1} : ConditionValue{.number = 70});
  return row;
}

/// How often each field stays over `n` samples.
std::vector<double> kept_share(const std::vector<ConditionField>& fields, const DropOptions& options, Index n) {
  std::vector<double> kept(fields.size(), 0);
  for (Index i = 0; i < n; ++i) {
    const ConditionRow row = drop_conditions(fields, full_row(), options, 7, i);
    for (std::size_t f = 0; f < fields.size(); ++f) kept[f] += row[f].missing() ? 0 : 1;
  }
  for (double& k : kept) k /= static_cast<double>(n);
  return kept;
}

}  // namespace

TEST_CASE("each field is dropped with its own probability, and independently") {
  auto fields = paper_conditions();
  fields[1].drop = 0.4;  // sex
  const Index n = 20000;
  const std::vector<double> kept = kept_share(fields, {}, n);
  for (std::size_t f = 0; f < fields.size(); ++f) {
    CAPTURE(fields[f].name);
    const double p = 1 - fields[f].drop;
    CHECK(std::abs(kept[f] - p) <= 4 * std::sqrt(p * (1 - p) / static_cast<double>(n)));
  }
  CHECK(kept[2] == 1.0);  // modality is required
  double both = 0;
  for (Index i = 0; i < n; ++i) {
    const ConditionRow row = drop_conditions(fields, full_row(), {}, 7, i);
    both += row[0].missing() && row[1].missing() ? 1.0 / static_cast<double>(n) : 0.0;
  }
  CHECK(std::abs(both - 0.04) <= 4 * std::sqrt(0.04 * 0.96 / static_cast<double>(n)));
}

TEST_CASE("all fields together, and all but one") {
  const auto fields = paper_conditions();
  const Index n = 20000;
  Index none = 0, single = 0;
  std::vector<Index> which(fields.size(), 0);
  for (Index i = 0; i < n; ++i) {
    const ConditionRow row = drop_conditions(fields, full_row(), {.all = 0.2, .all_but_one = 0.3}, 7, i);
    std::size_t known = 0, last = 0;
    for (std::size_t f = 0; f < fields.size(); ++f)
      if (!fields[f].required && !row[f].missing()) ++known, last = f;
    none += known == 0;
    single += known == 1;
    if (known == 1) ++which[last];
    CHECK(!row[2].missing());
  }
  CHECK(std::abs(static_cast<double>(none) / n - 0.2) < 0.012);
  CHECK(std::abs(static_cast<double>(single) / n - 0.3) < 0.014);
  for (std::size_t f = 0; f < fields.size(); ++f)
    if (!fields[f].required) CHECK(std::abs(static_cast<double>(which[f]) / static_cast<double>(single) - 0.2) < 0.03);
  // The one that stays is among the known ones.
  ConditionRow sparse(fields.size());
  sparse[2].label = 0, sparse[4].number = 30;
  for (Index i = 0; i < 50; ++i) CHECK(drop_conditions(fields, sparse, {.all_but_one = 1}, 7, i)[4].number == 30);
}

TEST_CASE("what is hidden depends on seed and position alone, also beyond 32 bits") {
  const auto fields = paper_conditions();
  const auto pattern = [&](std::uint64_t seed, Index begin) {
    std::vector<bool> hidden;
    for (Index i = begin; i < begin + 64; ++i)
      for (const ConditionValue& v : drop_conditions(fields, full_row(), {.all = 0.1}, seed, i))
        hidden.push_back(v.missing());
    return hidden;
  };
  CHECK(pattern(1, 100) == pattern(1, 100));
  CHECK(pattern(1, 100) != pattern(2, 100));
  CHECK(pattern(1, 100) != pattern(1, 164));
  CHECK(pattern(1, 100) != pattern(1, 100 + (Index{1} << 32)));
  // A field more does not change the others.
  auto more = fields;
  more.push_back({"extra", ConditionKind::categorical, {"a", "b"}});
  for (Index i = 0; i < 64; ++i) {
    ConditionRow longer = full_row();
    longer.push_back({.label = 0});
    const ConditionRow a = drop_conditions(fields, full_row(), {}, 3, i), b = drop_conditions(more, longer, {}, 3, i);
    for (std::size_t f = 0; f < fields.size(); ++f) CHECK(a[f].missing() == b[f].missing());
  }
}

TEST_CASE("fields that make no sense are refused") {
  const auto with = [](auto change) {
    auto fields = paper_conditions();
    change(fields);
    return fields;
  };
  const auto refused = [&](const char* part, auto change) {
    test::check_error("conditions.field", {part}, [&] { validate_conditions(with(change)); });
  };
  CHECK_NOTHROW(validate_conditions(paper_conditions()));
  CHECK_NOTHROW(validate_conditions({}));
  refused("sex: is there twice", [](auto& f) { f[0].name = "sex"; });
  refused("letters, digits", [](auto& f) { f[0].name = "a.b"; });
  refused("without a name", [](auto& f) { f[0].name = ""; });
  refused("no values", [](auto& f) { f[0].values.clear(); });
  refused("a value twice: F", [](auto& f) { f[1].values = {"F", "F"}; });
  refused("[0, 1)", [](auto& f) { f[1].drop = 1.0; });
  refused("[0, 1)", [](auto& f) { f[1].drop = std::nan(""); });
  refused("must be 0", [](auto& f) { f[2].drop = 0.1; });
  refused("a range from 0 to 0", [](auto& f) { f[4].maximum = 0; });
  refused("lists values", [](auto& f) { f[4].values = {"old"}; });
  test::check_error("conditions.count", {"1 values for 6 fields"}, [] {
    const std::vector<ConditionRow> rows = {ConditionRow(1)};
    condition_batch(paper_conditions(), rows);
  });
}

TEST_CASE("of a follow-up, diagnosis and years are never hidden; sex, age and dementia rating are") {
  const auto fields = longitudinal_conditions();
  validate_conditions(fields);
  CHECK(fields[0].values == std::vector<std::string>{"HC", "MCI", "AD"});
  std::vector<std::string> required, others;
  for (const ConditionField& f : fields) (f.required ? required : others).push_back(f.name);
  CHECK(required == std::vector<std::string>{"disease", "years"});
  CHECK(others == std::vector<std::string>{"sex", "age", "cdr"});
  const ConditionRow row = {{.label = 2}, {.number = 5}, {.label = 1}, {.number = 70}, {.number = 0.5}};
  std::vector<Index> hidden(5, 0);
  for (Index i = 0; i < 2000; ++i) {
    const ConditionRow seen = drop_conditions(fields, row, {}, 7, i);
    for (std::size_t f = 0; f < 5; ++f) hidden[f] += seen[f].missing() ? 1 : 0;
  }
  CHECK(hidden[0] == 0);
  CHECK(hidden[1] == 0);
  for (const std::size_t f : {std::size_t{2}, std::size_t{3}, std::size_t{4}})
    CHECK(std::abs(static_cast<double>(hidden[f]) - 200) <= 4 * std::sqrt(2000 * 0.09));
}
