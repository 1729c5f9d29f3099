#include "tests/support/check.hpp"
#include "tests/support/scratch_folder.hpp"

#include "braing3n/table/embedding_file.hpp"

using namespace braing3n;

namespace {

EmbeddingFile example() {
  EmbeddingFile e;
  e.tensor = "latents";
  e.shape = {2, 1, 2, 3};
  e.contract = R"({"model":"tokenizer"})";
  e.metadata["latent_mean"] = "[0.5,0.25,-1.0]";
  for (int row = 0; row < 3; ++row) {
    std::vector<float> values;
    for (int i = 0; i < 12; ++i) values.push_back(static_cast<float>(100 * row + i));
    e.add(concat("scan-", row), concat("hash-", row), values);
  }
  return e;
}

}  // namespace

TEST_CASE("embeddings come back with ids, sources, contract and further keys") {
  const test::ScratchFolder folder;
  const auto path = folder / "latents.safetensors";
  write_embeddings(path, example());
  const EmbeddingFile e = read_embeddings(path, "latents");
  CHECK(e.shape == std::vector<Index>{2, 1, 2, 3});
  CHECK(e.values == example().values);
  CHECK(e.ids == std::vector<std::string>{"scan-0", "scan-1", "scan-2"});
  CHECK(e.sources == std::vector<std::string>{"hash-0", "hash-1", "hash-2"});
  CHECK(e.contract == example().contract);
  CHECK(e.metadata == example().metadata);
  CHECK(e.row(2)[11] == 211.0f);
  const SafetensorsFile file(path);
  CHECK(file.metadata().at("braing3n.type") == "latents");
  CHECK(file.metadata().at("braing3n.contract_hash") == sha256_hex(example().contract));
  CHECK(file.verify_checksum());
  std::filesystem::remove_all(path.parent_path());
}

TEST_CASE("embeddings that do not fit are refused") {
  const test::ScratchFolder folder;
  const auto path = folder / "features.safetensors";
  EmbeddingFile e = example();
  const std::vector<float> few(5);
  test::check_error("embedding.row", {"5", "(2, 1, 2, 3)"}, [&] { e.add("x", "y", few); });
  e.ids.pop_back();
  test::check_error("embedding.rows", {"2 ids", "3 sources"}, [&] { write_embeddings(path, e); });
  test::check_error("embedding.rows", {"0 ids"}, [&] { write_embeddings(path, EmbeddingFile{}); });
  write_embeddings(path, example());
  test::check_error("file.exists", {}, [&] { write_embeddings(path, example()); });
  test::check_error("embedding.format", {"features"}, [&] { read_embeddings(path, "features"); });
  const std::vector<float> values(12);
  write_safetensors(path, std::vector{named_tensor<float>("latents", {3, 4}, values)}, {{"volume_ids", R"(["a","b"])"}},
                    {.overwrite = true}, true);
  test::check_error("embedding.format", {"3 rows", "2 volume ids"}, [&] { read_embeddings(path, "latents"); });
  std::filesystem::remove_all(path.parent_path());
}
