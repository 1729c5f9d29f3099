// Features, latents and tokens of many scans in one file: what encode writes and probes and generative models read.
//
// The layout of table/feature_file.hpp (whose reader reads the features of such a file) with one tensor, "features" [n, d],
// "latents" [n, X', Y', Z', d'] or "tokens" [n, L, d], its name as braing3n.type, and the further metadata
//   source_hashes             JSON array of n checksums of the scans' files: an unchanged scan need not be encoded again
//   latent_mean, latent_std   of latents: per channel, over the training set
//   encoder_people            JSON array of the person keys (probe/subject_key.hpp) of those who trained the model; may be absent
#pragma once

#include <concepts>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/format/csv_writer.hpp"
#include "braing3n/format/json.hpp"
#include "braing3n/format/npy_writer.hpp"
#include "braing3n/format/output_guard.hpp"
#include "braing3n/table/feature_file.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct EmbeddingFile {
  static constexpr const char* people_key = "encoder_people";
  std::string tensor = "features";
  std::vector<Index> shape;               // of one row
  RowStore<float> values;                 // (n, elements of a row)
  std::vector<std::string> ids, sources;  // n each
  std::string contract;                   // JSON: preprocessing, model and its checksum, which tokens, pooling
  Metadata metadata;                      // further keys

  Index rows() const { return static_cast<Index>(ids.size()); }
  Index row_size() const {
    Index size = 1;
    for (const Index extent : shape) size *= extent;
    return size;
  }
  std::span<const float> row(Index i) const { return row_of(values, i); }
  /// Throws Error (shape) for another number of values.
  void add(const std::string& id, const std::string& source, std::span<const float> row_values) {
    if (static_cast<Index>(row_values.size()) != row_size())
      fail(ErrorKind::shape, "embedding.row", "embeddings: ", row_values.size(), " values for a row of ",
           shape_text(shape));
    ids.push_back(id);
    sources.push_back(source);
    append_row(values, row_values);
  }
};

inline void write_embeddings(const std::filesystem::path& path, const EmbeddingFile& e,
                             const WriteOptions& options = {}) {
  if (e.ids.empty() || e.sources.size() != e.ids.size() ||
      static_cast<Index>(e.values.size()) != e.rows() * e.row_size())
    fail(ErrorKind::shape, "embedding.rows", "embeddings: ", e.ids.size(), " ids, ", e.sources.size(), " sources and ",
         e.values.size(), " values in rows of ", shape_text(e.shape));
  std::vector<Index> shape = {e.rows()};
  shape.insert(shape.end(), e.shape.begin(), e.shape.end());
  Metadata metadata = e.metadata;
  metadata["source_hashes"] = Json(e.sources).dump();
  detail::write_rows(path, e.tensor, shape, elements_of(e.values), e.ids, e.contract,
                     e.contract.empty() ? std::string() : sha256_hex(e.contract), std::move(metadata), options);
}

/// As the name says: .npy (n, shape...), .csv or .tsv (volume_id, f0, f1, ...), otherwise safetensors.
inline void write_embeddings_as_named(const std::filesystem::path& path, const EmbeddingFile& e,
                                      const WriteOptions& options = {}) {
  const std::string ending = file_ending(path);
  if (ending == ".npy") {
    std::vector<Index> shape = {e.rows()};
    shape.insert(shape.end(), e.shape.begin(), e.shape.end());
    write_npy<float>(path, shape, elements_of(e.values), options);
  } else if (ending == ".csv" || ending == ".tsv") {
    std::vector<std::string> cells = {"volume_id"};
    for (Index i = 0; i < e.row_size(); ++i) cells.push_back(concat("f", i));
    CsvWriter table(path, cells, options);
    for (Index r = 0; r < e.rows(); ++r) {
      cells = {e.ids[static_cast<std::size_t>(r)]};
      for (const float v : e.row(r)) cells.push_back(Json(detail::shortest_double(v)).dump());
      table.cells(cells);
    }
    table.finish();
  } else {
    write_embeddings(path, e, options);
  }
}

/// Throws Error (format) for a file without this tensor, ids or matching counts; the checksum is compared where there is one.
template <std::same_as<EmbeddingFile> File = EmbeddingFile>
File read_embeddings(const std::filesystem::path& path, const std::string& tensor) {
  const SafetensorsFile file(path);
  (void)file.verify_checksum();
  File e;
  e.tensor = tensor;
  const auto refuse = [&](const std::string& text) {
    throw Error(ErrorKind::format, "embedding.format", text, path.string());
  };
  if (!file.contains(tensor) || file.info(tensor).shape.size() < 2)
    refuse(concat("no tensor ", in_quotes(tensor), " with a row per scan"));
  const std::vector<Index>& shape = file.info(tensor).shape;
  e.shape.assign(shape.begin() + 1, shape.end());
  set_size(e.values, shape[0], e.row_size());
  file.read_into(tensor, elements_of(e.values));
  e.metadata = file.metadata();
  for (const auto& [key, list] : {std::pair{"volume_ids", &e.ids}, std::pair{"source_hashes", &e.sources}}) {
    if (const auto found = e.metadata.find(key); found != e.metadata.end())
      json_into(parse_json(found->second, path.string()), *list, path.string() + ": " + key);
    e.metadata.erase(key);
  }
  if (const auto found = e.metadata.find("braing3n.contract"); found != e.metadata.end()) e.contract = found->second;
  std::erase_if(e.metadata, [](const auto& entry) { return entry.first.starts_with("braing3n."); });
  e.sources.resize(e.ids.size());
  if (e.rows() != shape[0]) refuse(concat(shape[0], " rows, but ", e.rows(), " volume ids"));
  return e;
}

}  // namespace braing3n::inline BRAING3N_ABI
