// Whoever trained a model, or a model under it, is not unseen.
#include "braing3n/eval/unseen_subjects.hpp"

#include <fstream>
#include <limits>

#include "tests/support/check.hpp"
#include "tests/support/scratch_folder.hpp"

using namespace braing3n;

namespace {

void write_a_model(const std::filesystem::path& path, const Metadata& extra, float weight = 1.0f) {
  ModelInfo info;
  info.kind = "tokenizer";
  info.config = "{}";
  info.extra = extra;
  const std::vector<NamedTensor> tensors{
      named_tensor<float>("projection.weight", {2}, std::vector<float>{1.0f, weight})};
  write_model(path, info, tensors, {.overwrite = true});
}

std::vector<std::string> check(const std::filesystem::path& model, const std::set<std::string>& subjects) {
  const std::vector<ModelBehind> models{{"tokenizer", model}};
  return require_unseen(std::span<const ModelBehind>(models), subjects);
}

}  // namespace

TEST_CASE("a split.csv beside the model says who trained it, for the folder and for the file") {
  const test::ScratchFolder folder;
  const std::filesystem::path t = folder / "T";
  std::filesystem::create_directory(t);
  write_a_model(t / "model.safetensors", {});
  std::ofstream(t / "split.csv") << "subject_id,split\nsub-1,train\nsub-2,validation\nsub-3,train\n";
  for (const std::filesystem::path& model : {t, t / "model.safetensors"}) {
    test::check_error("evaluate.unseen", {"1 of the subjects that should be unseen trained the tokenizer: sub-1"},
                      [&] { check(model, {"sub-1", "sub-2", "sub-9"}); });
    CHECK(check(model, {"sub-2", "sub-9"}).empty());
    for (const char* other : {"3", "03", "0003", "sub-03", "SUB-3", "SUB-0003", "sub-3_MR1", "sub-003_ses-1", "3_T1"}) {
      const auto alike = check(model, {other});
      REQUIRE_MESSAGE(alike.size() == 1, other);
      CHECK(alike[0].find("with and without \"sub-\"") != std::string::npos);
      CHECK(alike[0].ends_with(concat("are the same: ", other)));
    }
    for (const char* other : {"sub-30", "sub-33", "13", "3a", "sub-x3", "sub-", "0", "_"})
      CHECK(check(model, {other}).empty());
    CHECK(subjects_not_trained(model, {"sub-1", "sub-2"}) == std::vector<std::string>{"sub-2"});
  }
  // Beside a single file any split.csv may lie; that of a training must be readable.
  std::ofstream(t / "split.csv") << "a,b\n1,2\n";
  CHECK_THROWS_AS(check(t, {"sub-1"}), Error);
  CHECK(check(t / "model.safetensors", {"sub-1"}).size() == 1);
}

TEST_CASE("other spellings of an identifier") {
  const std::set<std::string> named = other_spellings("sub-OAS1_MR2");
  for (const char* other : {"OAS1", "oas1", "sub-oas1", "OAS001", "sub-OAS1", "OAS1_MR2"})
    CHECK_MESSAGE(named.contains(other), other);
  CHECK_FALSE(named.contains("sub-OAS1_MR2"));
  CHECK_FALSE(named.contains("sub-"));
  CHECK(other_spellings("000").contains("0"));
  CHECK(other_spellings("anna") == std::set<std::string>{"ANNA", "SUB-ANNA", "SUB-anna", "sub-ANNA", "sub-anna"});
}

TEST_CASE("a model file lists its training subjects and those of the model under it") {
  const test::ScratchFolder folder;
  TrainedSubjects people = trained_subjects(Split{{"sub-1", "train"}, {"sub-2", "validation"}});
  people.add(trained_subjects(Split{{"sub-5", "train"}}));  // of its encoder
  write_a_model(folder / "t.safetensors", {{"people", subject_keys_text(people)}});
  for (const char* subject : {"sub-1", "sub-5"})
    test::check_error("evaluate.unseen", {subject}, [&] { check(folder / "t.safetensors", {subject, "sub-2"}); });
  CHECK(check(folder / "t.safetensors", {"sub-2"}).empty());
  CHECK(validation_subjects_seen(people, Split{{"sub-5", "validation"}, {"sub-2", "validation"}, {"sub-1", "train"}}) ==
        std::vector<std::string>{"sub-5"});
  // Nothing says who trained: one sentence, for all models together.
  write_a_model(folder / "a.safetensors", {});
  write_a_model(folder / "b.safetensors", {});
  const std::vector<ModelBehind> models{{"model", folder / "a.safetensors"}, {"tokenizer", folder / "b.safetensors"}};
  const auto sentences = require_unseen(std::span<const ModelBehind>(models), {"sub-1"});
  REQUIRE(sentences.size() == 1);
  CHECK(sentences[0].find("are unknown (no list in the file") != std::string::npos);
  CHECK(subjects_not_trained(folder / "a.safetensors", {"sub-1"}).empty());
}

TEST_CASE("a model with a weight that is not finite is not written") {
  const test::ScratchFolder folder;
  test::check_error("weights.finite", {"\"projection.weight\"", "element 1"},
                    [&] { write_a_model(folder / "n.safetensors", {}, std::numeric_limits<float>::quiet_NaN()); });
  CHECK_FALSE(std::filesystem::exists(folder / "n.safetensors"));
}
