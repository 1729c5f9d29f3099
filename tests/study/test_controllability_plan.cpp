#include <doctest/doctest.h>

#include <fstream>

#include "braing3n/study/controllability_probes.hpp"
#include "tests/support/scratch_folder.hpp"

using namespace braing3n;
using namespace braing3n::study;

namespace {

using K = ConditionKind;

const std::vector<ConditionField> fields = {{"disease", K::categorical, {"HC", "AD", "GBM", "glioma", "SCZ"}},
                                            {"sex", K::categorical, {"F", "M"}},
                                            {"modality", K::categorical, {"T1", "T2"}, 0.0, true},
                                            {"age", K::continuous, {}, 0.1, false, 0.0, 120.0},
                                            {"idh1", K::categorical, {"wildtype", "mutant"}}};

/// 40 subjects, each with T1 and T2 (and a PD scan that the model does not know); every fourth is unseen.
struct Cohort {
  Manifest manifest;
  Split split;

  Cohort() {
    const test::ScratchFolder folder;
    {
      std::ofstream out(folder.path / "volumes.csv");
      out << "volume_id,subject_id,modality,age,sex,disease,idh1\n";
      for (int p = 0; p < 40; ++p) {
        const std::string id = "sub-" + std::to_string(10 + p);
        const char* disease[] = {"HC", "AD", "GBM", "glioma", "MCI"};
        const std::string tumour = p % 5 == 2 ? "wildtype" : p % 5 == 3 ? "mutant" : "";
        for (const char* m : {"T1", "T2", "PDw"})
          out << id << '_' << m << ',' << id << ',' << m << ',' << 20 + p << ',' << (p % 2 == 0 ? 'F' : 'M') << ','
              << disease[p % 5] << ',' << tumour << '\n';
        split[id] = p / 5 % 4 == 3 ? "test" : "train";
      }
    }
    manifest = read_manifest(folder.path / "volumes.csv", {.check_files = false, .need_paths = false});
  }
};

ControllabilityOptions asking(std::vector<std::string> contrasts, Index n = 6) {
  ControllabilityOptions a;
  a.contrasts = std::move(contrasts);
  a.n = n;
  return a;
}

const Contrast& named(const ControllabilityPlan& plan, const std::string& name) {
  for (const Contrast& c : plan.contrasts)
    if (c.name == name) return c;
  FAIL("no contrast ", name);
  return plan.contrasts[0];
}

}  // namespace

TEST_CASE("controllability: what is asked of samples is what scans are labelled with") {
  const Cohort cohort;
  const ControllabilityPlan plan(fields, cohort.manifest, cohort.split,
                                 asking({"HC-AD", "MCI-AD", "HC-PD", "sex", "modality", "tumour", "idh1", "age"}));
  CHECK(plan.train.size() == 90);
  CHECK(plan.test.size() == 30);
  CHECK(plan.group[0] == 0);
  CHECK(plan.group[1] == 1);
  CHECK(plan.group[2] == -1);

  const Contrast& ad = named(plan, "HC-AD");
  CHECK(ad.label[0] == 0);    // HC
  CHECK(ad.label[3] == 1);    // AD
  CHECK(ad.label[12] == -1);  // MCI
  REQUIRE(ad.arms.size() == 2);
  for (const auto& [arm, asked] : ad.arms)
    for (std::size_t i = 0; i < 6; ++i) {
      const ConditionRow& row = plan.arms[arm].rows[i];
      CHECK(row[0].label == asked);
      CHECK(row[2].label == static_cast<std::int32_t>(i % 2));
      CHECK(plan.arms[arm].group[i] == row[2].label);
      CHECK(row[1].missing());
      CHECK(row[3].missing());
      CHECK(row[4].missing());
    }

  const Contrast& tumour = named(plan, "tumour");
  CHECK(tumour.classes == std::vector<std::string>{"absent", "present"});
  CHECK(tumour.label[0] == 0);
  CHECK(tumour.label[6] == 1);                      // GBM
  CHECK(tumour.label[9] == 1);                      // glioma
  CHECK(tumour.label[12] == 0);                     // MCI, which the model does not know
  CHECK(tumour.arms[0].first == ad.arms[0].first);  // healthy samples are made once
  std::set<std::pair<std::int32_t, std::int32_t>> pairs;
  for (const ConditionRow& row : plan.arms[tumour.arms[1].first].rows) pairs.emplace(row[0].label, row[2].label);
  CHECK(pairs == std::set<std::pair<std::int32_t, std::int32_t>>{{2, 0}, {2, 1}, {3, 0}, {3, 1}});

  // IDH1: in each modality, each with a balanced probe, and all together.
  const Contrast &t2 = named(plan, "idh1@T2"), &all = named(plan, "idh1, balanced");
  CHECK(t2.groups == std::set<std::int32_t>{1});
  CHECK_FALSE(t2.balanced);
  CHECK(all.balanced);
  CHECK(all.arms.size() == 4);
  CHECK(named(plan, "idh1@T1, balanced").balanced);
  for (const ConditionRow& row : plan.arms[t2.arms[1].first].rows) {
    CHECK(row[4].label == 1);
    CHECK(row[2].label == 1);
    CHECK(row[0].missing());
  }
  CHECK(t2.label[6] == 0);
  CHECK(t2.label[0] == -1);

  // Ages evenly over those of the training subjects, the modalities in turn.
  const PlannedArm& ages = plan.arms[named(plan, "age").arms[0].first];
  for (std::size_t i = 0; i < 6; ++i) {
    CHECK(ages.rows[i][3].number ==
          doctest::Approx(20 + 34.0 * static_cast<double>(i) / 5));  // the oldest who trains is 54
    CHECK(ages.group[i] == static_cast<std::int32_t>(i % 2));
    CHECK(ages.rows[i][0].missing());
  }

  // The arms of the modalities know nothing else and serve as those without conditions; guidance cannot act on them.
  const Contrast& modality = named(plan, "modality");
  CHECK(modality.of_groups);
  CHECK(modality.label[2] == -1);
  for (std::size_t k = 0; k < 2; ++k) {
    CHECK(modality.arms[k].first == plan.null_arms[k]);
    CHECK_FALSE(plan.arms[plan.null_arms[k]].guided);
    for (const ConditionRow& row : plan.arms[plan.null_arms[k]].rows)
      CHECK(row[2].label == static_cast<std::int32_t>(k));
  }
  for (std::size_t k = 2; k < plan.arms.size(); ++k) CHECK(plan.arms[k].guided);
  // No noise is used twice.
  std::set<std::uint32_t> numbers;
  for (const PlannedArm& p : plan.arms)
    for (std::uint32_t i = 0; i < p.rows.size(); ++i) CHECK(numbers.insert(p.first + i).second);

  REQUIRE(plan.left_out.size() == 2);
  CHECK(plan.left_out[0].contrast == "MCI-AD");
  CHECK(plan.left_out[0].reason == "the model does not know MCI");
  CHECK(plan.left_out[1].contrast == "HC-PD");

  // The prior is that of the training subjects.
  const auto share = prior_shares(named(plan, "sex").label, plan.prior_weights(named(plan, "sex")), 2);
  CHECK(share[0] == doctest::Approx(16.0 / 30));
  double weight = 0;
  for (const double w : plan.prior_weights(named(plan, "sex"))) weight += w;
  CHECK(weight == doctest::Approx(2));  // 1 for each modality, however many scans it has
  CHECK(prior_numbers(named(plan, "age").number, plan.prior_weights(named(plan, "age")))[0] ==
        doctest::Approx(37));  // 20-34 and 40-54
}

TEST_CASE("controllability: one modality only, and too few subjects") {
  Cohort cohort;
  const ControllabilityPlan plan(fields, cohort.manifest, cohort.split, asking({"sex@T1", "HC-SCZ", "HC-glioma"}));
  for (const auto& [arm, asked] : named(plan, "sex@T1").arms)
    for (const ConditionRow& row : plan.arms[arm].rows) {
      CHECK(row[1].label == asked);
      CHECK(row[2].label == 0);
    }
  bool told = false;
  for (const auto& [contrast, reason] : plan.left_out)
    told = told || (contrast == "HC-SCZ" && reason.starts_with("0 scans of SCZ in T1"));
  CHECK(told);
  // A model without modalities: one group.
  auto plain = fields;
  plain.erase(plain.begin() + 2);
  const ControllabilityPlan one(plain, cohort.manifest, cohort.split, asking({"sex", "age"}));
  CHECK(one.group_names == std::vector<std::string>{""});
  CHECK(one.null_arms.size() == 1);
  CHECK(one.contrasts.size() == 2);

  const auto refuse = [&](const ControllabilityOptions& a, const char* text) {
    CHECK_THROWS_WITH_AS(ControllabilityPlan(fields, cohort.manifest, cohort.split, a), doctest::Contains(text), Error);
  };
  refuse(asking({"HC-XX"}), "there is no contrast \"HC-XX\"");
  refuse(asking({"planet"}), "known: tumour, disease, sex, modality, age, idh1");
  refuse(asking({"sex@CT"}), "there is no contrast \"sex@CT\"");
  refuse(asking({"sex", "sex"}), "sex twice");
  refuse(asking({"HC-MCI"}), "no contrast can be tested: HC-MCI: the model does not know MCI");
  ControllabilityOptions same = asking({"sex"});
  same.test = "train";
  refuse(same, "no probe may be fitted on it");
  for (auto& [subject, set] : cohort.split) set = "train";
  refuse(asking({"sex"}), "no scan is in the set \"test\"");
}

TEST_CASE("controllability: probes are fitted on all scans of a subject, and halves have no subject in common") {
  const Cohort cohort;
  ControllabilityOptions a = asking({"sex"});
  const ControllabilityPlan plan(fields, cohort.manifest, cohort.split, a);
  const auto subjects = [&](const std::vector<Index>& rows) {
    std::map<std::int32_t, int> count;
    for (const Index i : rows) ++count[plan.subject[static_cast<std::size_t>(i)]];
    for (const auto& [subject, scans] : count) CHECK(scans == 3);
    return count;
  };
  CHECK(probe_fit_rows(plan, a) == plan.train);
  a.half = "first";
  const auto first = subjects(probe_fit_rows(plan, a));
  a.half = "second";
  const auto second = subjects(probe_fit_rows(plan, a));
  CHECK(first.size() == 15);
  CHECK(second.size() == 15);
  for (const auto& [subject, scans] : first) CHECK_FALSE(second.contains(subject));
  a.half = "all";
  a.probe_scans = 20;
  CHECK(subjects(probe_fit_rows(plan, a)).size() == 6);
  a.probe_scans = 2;
  CHECK(probe_fit_rows(plan, a).empty());
}

namespace {

/// Two tokens of three channels per scan: sex, age, and what belongs to the scan alone.
Tensor<float, Cpu> tokens_of(Context<Cpu>& ctx, const std::vector<ConditionRow>& rows) {
  std::vector<float> values;
  for (std::size_t i = 0; i < rows.size(); ++i)
    for (int token = 0; token < 2; ++token) {
      values.push_back(rows[i][1].label == 1 ? 1.0f : -1.0f);
      values.push_back(rows[i][3].missing() ? 0.4f : static_cast<float>(rows[i][3].number / 100));
      values.push_back(0.01f * static_cast<float>(i * 7 % 5));
    }
  return Tensor<float, Cpu>::from_host(ctx, {static_cast<Index>(rows.size()), 2, 3}, values);
}

CohortFeatures features_of(Context<Cpu>& ctx, const Manifest& manifest, const std::vector<Index>& rows) {
  CohortFeatures f;
  std::vector<ConditionRow> labels;
  for (const Index i : rows) {
    labels.emplace_back(fields.size());
    labels.back()[1].label = manifest.text(i, "sex") == "M";
    labels.back()[3].number = *manifest.number(i, "age");
  }
  f.rows = rows;
  for (PooledFeatures* p : {&f.scans.encoder, &f.scans.projected, &f.round_trips}) p->add(tokens_of(ctx, labels));
  return f;
}

}  // namespace

TEST_CASE("controllability: a probe on perfect features is right about scans and samples") {
  Context<Cpu> ctx({.threads = 1});
  const Cohort cohort;
  const ControllabilityOptions options = asking({"sex", "age"});
  const ControllabilityPlan plan(fields, cohort.manifest, cohort.split, options);
  const CohortFeatures train = features_of(ctx, cohort.manifest, plan.train),
                       test = features_of(ctx, cohort.manifest, plan.test);
  ControllabilityScores scorer(ctx, plan, train, test);
  const std::vector<ProbeKind> kinds = {{.name = "round-trip", .round_trips = true}};
  auto scores = scorer.fit(kinds[0]);
  scorer.score_scans(kinds[0], nullptr, scores);

  const auto samples = [&](bool obedient) {
    std::vector<ArmSamples> all(plan.arms.size());
    for (std::size_t k = 0; k < all.size(); ++k) {
      std::vector<ConditionRow> shown = plan.arms[k].rows;
      for (ConditionRow& row : shown)
        if (!obedient && row[1].label >= 0) row[1].label = 1 - row[1].label;
      all[k].features.add(tokens_of(ctx, shown));
    }
    return all;
  };
  for (const bool obedient : {true, false}) {
    const std::vector<ArmSamples> made = samples(obedient);
    std::vector<const ArmSamples*> arms;
    for (const ArmSamples& a : made) arms.push_back(&a);
    scorer.score_samples(kinds[0], nullptr, arms, obedient, scores);
  }
  const ContrastResult sex = contrast_result(plan, plan.contrasts[0], scores[0], {1, 2});
  CHECK(sex.name == "sex");
  CHECK(sex.modalities == std::vector<std::string>{"T1", "T2"});
  CHECK(sex.of_classes.real.balanced_accuracy == 1);
  CHECK(sex.of_classes.round_trip.balanced_accuracy == 1);
  REQUIRE(sex.of_classes.cond.size() == 2);
  CHECK(sex.of_classes.cond[0].first == "1");
  CHECK(sex.of_classes.cond[0].second.balanced_accuracy == 1);  // samples have the requested labels
  CHECK(sex.of_classes.cond[1].second.balanced_accuracy == 0);  // samples are the opposite
  CHECK(sex.of_classes.prior[0].second == doctest::Approx(16.0 / 30));
  CHECK(sex.of_classes.null[0].second.share == 1);  // tokens without a sex say F
  const ContrastResult age = contrast_result(plan, plan.contrasts[1], scores[1], {1, 2});
  CHECK(age.is_number());
  CHECK(age.of_numbers.real.r == doctest::Approx(1).epsilon(0.01));
  CHECK(age.of_numbers.cond[0].second.r == doctest::Approx(1).epsilon(0.01));
  CHECK(age.of_numbers.null.mean == doctest::Approx(40).epsilon(0.05));
}
