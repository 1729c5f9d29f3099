// The library's own feature file, written by encoders and read by probes.
//
// A safetensors file with the tensor "features" (n, d), float32 (any floating type is read), and the metadata
//   volume_ids               JSON array of n different strings: the identifier of every row
//   feature_names            JSON array of d strings; may be absent
//   encoder_people           JSON array of the person keys of those who trained the encoder; may be absent
//   braing3n.type            "features";  braing3n.format  "1";  braing3n.version;  braing3n.crc32
//   braing3n.contract        JSON: what the numbers mean: preprocessing, encoder and its checksum, pooling; may be absent
//   braing3n.contract_hash   SHA-256 of that text in hexadecimal; a saved probe reads features of the same hash only
// Files of other programs need the tensor alone; without volume_ids rows pair with the label table only in order, and only when asked.
#pragma once

#include <concepts>
#include <filesystem>
#include <string>
#include <vector>

#include "braing3n/format/json_text.hpp"
#include "braing3n/format/safetensors.hpp"
#include "braing3n/table/feature_table.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Throws Error: file, format (damaged, lists of another length, a contract that is not that of its hash), shape.
template <std::same_as<FeatureTable> Table = FeatureTable>
Table read_feature_file(const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  if (file.metadata().contains("braing3n.crc32")) (void)file.verify_checksum();
  Table out;
  out.path = path.string();
  detail::set_shape(out, file.info("features").shape);
  const DType type = file.info("features").dtype;
  const bool wide =
      type == DType::f64 || type == DType::i32 || type == DType::i64 || type == DType::u32 || type == DType::u64;
  if (!wide) file.read_into("features", elements_of(out.values));
  const auto text = [&](const char* key) {
    const auto found = file.metadata().find(key);
    return found == file.metadata().end() ? std::string() : found->second;
  };
  const auto list = [&](const char* key, Index wanted, const char* of) {
    std::vector<std::string> items;
    if (text(key).empty()) return items;
    const Json json = parse_json(text(key), concat(out.path, ": metadata ", key));
    const auto wrong = [&](const auto&... parts) {
      return Error(ErrorKind::format, "features.metadata", concat("metadata ", in_quotes(key), ": ", parts...),
                   out.path);
    };
    if (!json.is_array()) throw wrong("expected a JSON array of strings");
    for (const Json& item : json) {
      if (!item.is_string()) throw wrong("expected strings, got ", item.dump());
      items.push_back(item.get<std::string>());
    }
    if (wanted >= 0 && static_cast<Index>(items.size()) != wanted)
      throw wrong(items.size(), " entries for ", wanted, ' ', of);
    return items;
  };
  out.ids = list("volume_ids", out.rows(), "rows");
  out.column_names = list("feature_names", out.columns(), "features");
  out.encoder_people = list("encoder_people", -1, "people");
  if (wide) detail::set_values(out, file.read<double>("features"));
  out.set_contract(text("braing3n.contract"));
  const std::string hash = text("braing3n.contract_hash");
  if (!out.contract.empty() && !hash.empty() && hash != out.contract_hash)
    throw Error(ErrorKind::format, "features.contract",
                concat("the contract is not the one its hash was made from (", hash.substr(0, 12), ", it has ",
                       out.contract_hash.substr(0, 12), ")"),
                out.path);
  if (out.contract.empty()) out.contract_hash = hash;
  return out;
}

namespace detail {

/// What all files with a row per scan have in common: one tensor (rows, ...), named after what it is, with identifiers and contract in
/// the metadata. Empty texts are left out. Throws Error: argument (an empty identifier), format (one twice), file, environment.
inline void write_rows(const std::filesystem::path& path, const std::string& tensor, const std::vector<Index>& shape,
                       std::span<const float> values, const std::vector<std::string>& ids, const std::string& contract,
                       const std::string& contract_hash, Metadata metadata, const WriteOptions& options) {
  for (std::size_t i = 0; i < ids.size(); ++i)
    if (ids[i].empty())
      throw Error(ErrorKind::argument, "features.id", concat("row ", i, " has no identifier"), path.string());
  if (const auto twice = duplicate_id(ids, path.string())) throw *twice;
  metadata["braing3n.format"] = "1";
  metadata["braing3n.type"] = tensor;
  metadata["braing3n.version"] = version();
  if (!ids.empty()) metadata["volume_ids"] = Json(ids).dump();
  if (!contract.empty()) metadata["braing3n.contract"] = contract;
  if (!contract_hash.empty()) metadata["braing3n.contract_hash"] = contract_hash;
  const std::vector<NamedTensor> tensors{named_tensor<float>(tensor, shape, values)};
  write_safetensors(path, tensors, metadata, options, true);
}

}  // namespace detail

/// Throws Error: shape (values, ids or names that do not fit), argument (identifiers that are empty or repeat), file, environment.
inline void write_feature_file(const std::filesystem::path& path, const FeatureTable& table,
                               const WriteOptions& options = {}) {
  if (table.values.size() == 0)
    throw Error(ErrorKind::shape, "features.shape",
                concat("expected at least one row and one feature, got (", table.rows(), ", ", table.columns(), ')'),
                path.string());
  if (!table.ids.empty() && static_cast<Index>(table.ids.size()) != table.rows())
    throw Error(ErrorKind::shape, "features.ids",
                concat(table.rows(), " rows of features, but ", table.ids.size(), " identifiers"), path.string());
  if (!table.column_names.empty() && static_cast<Index>(table.column_names.size()) != table.columns())
    throw Error(ErrorKind::shape, "features.names",
                concat(table.columns(), " features, but ", table.column_names.size(), " names"), path.string());
  Metadata names;
  if (!table.column_names.empty()) names["feature_names"] = Json(table.column_names).dump();
  if (!table.encoder_people.empty()) names["encoder_people"] = Json(table.encoder_people).dump();
  std::vector<float> whole;  // with the offsets, which the file does not know
  if (!table.offset.empty())
    for (Index i = 0; i < table.rows(); ++i)
      for (const double v : table.row_values(i)) whole.push_back(static_cast<float>(v));
  detail::write_rows(path, "features", {table.rows(), table.columns()},
                     whole.empty() ? elements_of(table.values) : std::span<const float>(whole), table.ids,
                     table.contract, table.contract_hash, std::move(names), options);
}

}  // namespace braing3n::inline BRAING3N_ABI
