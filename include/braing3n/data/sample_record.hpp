// The sidecar of a synthetic volume: everything that made it, enough to make it again.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>

#include "braing3n/base/config.hpp"
#include "braing3n/checkpoint/saved_model.hpp"
#include "braing3n/data/condition_labels.hpp"
#include "braing3n/format/checksum.hpp"
#include "braing3n/format/mapped_file.hpp"
#include "braing3n/sample/generate.hpp"
#include "braing3n/volume/nifti/write.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct WeightsRecord {
  std::string file, hash;

  static void visit(auto& self, auto&& v) {
    v("file", self.file);
    v("hash", self.hash);
  }

  /// Throws Error (file, config) when the weights are gone or are others by now.
  void require(const char* what) const {
    std::error_code ignored;
    if (!std::filesystem::exists(file, ignored))
      throw Error(ErrorKind::file, "sidecar.gone", concat("the ", what, " (hash ", hash, ") is gone"), file);
    const std::string now = model_hash(ModelFile(file));
    if (now != hash)
      throw Error(ErrorKind::config, "sidecar.changed",
                  concat("the ", what, " is not the one that made the sample: hash ", hash, " then, ", now, " now"),
                  file);
  }
};

/// "a.json" of "a.nii.gz".
inline std::filesystem::path sidecar_of(const std::string& volume) {
  return volume.substr(0, volume.size() - std::string(".nii.gz").size()) + ".json";
}

/// Whether a record names a volume beside its sidecar, and conditions by name.
template <class Record>
bool names_volume(const Record& r) {
  const std::filesystem::path name = r.file;
  return r.file.ends_with(".nii.gz") && name.filename() == name && r.conditions.is_object();
}

struct SampleRecord {
  std::string kind = "SYNTHETIC braing3n sample", version = BRAING3N_VERSION_STRING;
  std::string file;  // name of the volume beside the sidecar
  std::uint64_t seed = 0;
  std::uint32_t sample = 0;  // its number: noise belongs to (seed, number)
  Json conditions = Json::object();
  SamplingOptions sampling;
  std::string precision = "f32", provider;
  WeightsRecord model, tokenizer;
  std::string crc32;  // of the volume's file

  static void visit(auto& self, auto&& v) {
    v("kind", self.kind);
    v("version", self.version);
    v("file", self.file);
    v("seed", self.seed);
    v("sample", self.sample);
    v("conditions", self.conditions);
    v("sampling", self.sampling);
    v("precision", self.precision);
    v("provider", self.provider);
    v("model", self.model);
    v("tokenizer", self.tokenizer);
    v("crc32", self.crc32);
  }

  std::filesystem::path sidecar() const { return sidecar_of(file); }
};

/// Throws Error: file, format (no JSON), config (not such a sidecar, an option out of range).
inline SampleRecord read_sample_record(const std::filesystem::path& path) {
  const auto refuse = [&] {
    throw Error(ErrorKind::config, "sidecar.kind", "this is not the sidecar of a synthetic volume", path.string());
  };
  const Json json = read_json(path);
  SampleRecord r;
  if (!json.is_object() || !json.contains("kind") || json["kind"] != Json(r.kind)) refuse();
  json_into(json, r, path.string());
  if (!names_volume(r)) refuse();
  return r;
}

inline std::string file_crc32(const std::filesystem::path& path) {
  const MappedFile file(path);
  Crc32 crc;
  crc.update(file.bytes());
  return crc.hex();
}

/// What a synthetic volume says about itself in its header: the mark, the hashes of the weights, seed and number.
inline std::string synthetic_description(const SampleRecord& record) {
  return concat("SYNTHETIC braing3n ", record.model.hash, ' ', record.tokenizer.hash, " seed ", record.seed, " sample ",
                record.sample)
      .substr(0, 79);
}

/// How the name of every file of a synthetic volume begins.
inline constexpr std::string_view synthetic_prefix = "SYNTHETIC_";

/// "SYNTHETIC_0003" for sample 3.
inline std::string synthetic_name(std::uint32_t sample) {
  const std::string digits = std::to_string(sample);
  return concat(synthetic_prefix, std::string(digits.size() < 4 ? 4 - digits.size() : 0, '0'), digits);
}

/// Writes folder/record.file, marked SYNTHETIC in its header by the record's synthetic_description(), and returns the record with the checksum
/// of that file. The caller writes the sidecar. Throws Error (file), also when the file exists and may not be overwritten.
template <class Record>
Record write_synthetic_volume(Context<Cpu>& ctx, const std::filesystem::path& folder, const Volume& volume,
                              Record record, const WriteOptions& write = {}) {
  NiftiWriteOptions options;
  options.description = synthetic_description(record);
  options.file = write;
  write_nifti(ctx, folder / record.file, volume, options);
  record.crc32 = file_crc32(folder / record.file);
  return record;
}

/// write_synthetic_volume() and the sidecar beside it, which says how the volume was made. The folder must exist. Throws Error (file),
/// also when one of the two files exists and may not be overwritten.
template <class Record>
Record write_sample(Context<Cpu>& ctx, const std::filesystem::path& folder, const Volume& volume, Record record,
                    const WriteOptions& write = {}) {
  const std::filesystem::path sidecar = folder / record.sidecar();
  std::error_code ignored;
  if (!write.overwrite && std::filesystem::exists(sidecar, ignored))
    throw Error(ErrorKind::file, "file.exists", "exists already and may not be overwritten", sidecar.string());
  record = write_synthetic_volume(ctx, folder, volume, std::move(record), write);
  write_json(sidecar, record, write);
  return record;
}

}  // namespace braing3n::inline BRAING3N_ABI
