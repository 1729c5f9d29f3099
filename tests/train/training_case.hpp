// People, a tiny masked autoencoder and a tiny tokenizer for the tests of train/.
#pragma once

#include "tests/support/check.hpp"
#include "tests/support/scratch_folder.hpp"

#include <filesystem>
#include <fstream>
#include <sstream>

#include "braing3n/nn/initialize.hpp"
#include "braing3n/table/embedding_file.hpp"
#include "braing3n/train/mae_training.hpp"
#include "braing3n/train/tokenizer_training.hpp"

namespace braing3n::test {

inline std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return std::move(text).str();
}

inline PreprocessingContract tiny_contract() {
  PreprocessingContract c = PreprocessingContract::small();
  c.shape = {8, 12, 8};
  return c;
}

/// A file of latents without rows, of the tokenizer 0123abcd on scans of tiny_contract().
inline EmbeddingFile latent_file(const Extent3& grid, Index channels) {
  EmbeddingFile e;
  e.tensor = "latents";
  e.shape = {grid[0], grid[1], grid[2], channels};
  e.contract = Json{{"preprocessing", json_from(tiny_contract())},
                    {"model", "tokenizer"},
                    {"model_hash", "0123abcd"},
                    {"representation", "projected"},
                    {"pooling", "none"}}
                   .dump();
  return e;
}

/// A ball whose size, place and brightness differ from person to person; 0 outside.
inline Tensor<float, Cpu> person(Context<Cpu>& ctx, Index row) {
  const Extent3 n = tiny_contract().shape;
  const Philox rng(5, Purpose::test, 0, static_cast<std::uint32_t>(row));
  Tensor<float, Cpu> t(ctx, {n[0], n[1], n[2]});
  const double r = 2.5 + 1.5 * rng.uniform(0), shift = 2.0 * rng.uniform(1) - 1.0, level = 0.5 + rng.uniform(2);
  Index at = 0;
  for (Index i = 0; i < n[0]; ++i)
    for (Index j = 0; j < n[1]; ++j)
      for (Index k = 0; k < n[2]; ++k) {
        const double x = static_cast<double>(i) - 3.5, y = static_cast<double>(j) - 5.5 - shift,
                     z = static_cast<double>(k) - 3.5;
        const double d = std::sqrt(x * x + y * y + z * z);
        t.data()[at++] = d < r ? static_cast<float>(level * (1.2 - d / r) * (1.0 + 0.2 * x)) : 0.0f;
      }
  return t;
}

inline TrainingData people(Index train = 7, Index validation = 2) {
  TrainingData d;
  d.contract = tiny_contract();
  d.source = person;
  d.hash = "a test";
  for (Index i = 0; i < train + validation; ++i) {
    (i < train ? d.train : d.validation).push_back(i);
    d.ids.push_back(concat("person-", i));
  }
  return d;
}

inline MaeTrainingConfig tiny_mae() {
  MaeTrainingConfig c;
  c.contract = tiny_contract();
  c.model.encoder = {.image = {8, 12, 8}, .patch = {4, 4, 4}, .width = 24, .depth = 1, .heads = 2, .mlp = 32};
  c.model.decoder_width = 12, c.model.decoder_depth = 1, c.model.decoder_heads = 2, c.model.decoder_mlp = 16;
  c.model.masking_ratio = 0.5;
  c.training = {.steps = 12,
                .batch = 2,
                .accumulate = 2,
                .lr = 3e-3,
                .ema = EmaOptions{.decay = 0.9, .warmup = true},
                .validate_every = 4,
                .augment = {.flip = true, .shift = 1, .intensity = 0.1}};
  return c;
}

inline TokenizerTrainingConfig tiny_tokenizer() {
  TokenizerTrainingConfig c;
  c.bottleneck = 6;
  c.decoder = {.mid = 8, .widths = {8, 4}, .groups = 4};
  c.training = {.steps = 12, .batch = 2, .lr = 3e-3, .validate_every = 4, .augment = {.flip = true}};
  return c;
}

}  // namespace braing3n::test
