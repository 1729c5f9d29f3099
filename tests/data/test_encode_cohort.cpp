#include "tests/support/check.hpp"

#include "braing3n/data/encode_cohort.hpp"
#include "tests/support/scratch_folder.hpp"

using namespace braing3n;

TEST_CASE("a file of features is continued, also one that does not say who trained the encoder") {
  const test::ScratchFolder folder;
  const auto path = folder / "f.safetensors";
  EmbeddingFile made;
  made.shape = {2};
  made.contract = "{}";
  EmbeddingFile old = made;
  old.add("a", "hash-a", std::vector<float>{1, 2});
  old.add("b", "hash-b", std::vector<float>{3, 4});
  write_embeddings(path, old);
  made.metadata[EmbeddingFile::people_key] = R"(["0123"])";
  EmbeddingOutput output(path, made, false);
  CHECK(output.has({"a", {}, "hash-a"}));
  CHECK_FALSE(output.has({"a", {}, "another"}));
  CHECK_FALSE(output.has({"a", {}, ""}));
  CHECK_FALSE(output.has({"c", {}, "hash-c"}));
  output.keep({"a", {}, "hash-a"});
  output.keep_others({"a"});
  output.write();
  const FeatureTable table = read_feature_file(path);
  CHECK(table.ids == std::vector<std::string>{"a", "b"});
  CHECK(table.values == xt::xtensor<float, 2>{{1, 2}, {3, 4}});
  CHECK(table.encoder_people == std::vector<std::string>{"0123"});
  made.contract = R"({"model": "another"})";
  test::check_error("encode.exists", {"another model"}, [&] { EmbeddingOutput(path, made, false); });
  EmbeddingOutput(path, made, true);
  for (const bool replace : {false, true})
    test::check_error("encode.folder", {"is a folder", "expected the name of a file"},
                      [&] { EmbeddingOutput(folder.path, made, replace); });
}
