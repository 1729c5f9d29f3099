// Cached latents: the file that `encode --latents` writes, read row by row from the mapped file.
//
// A safetensors file with the tensor "latents" [n, X', Y', Z', C] of any floating type, the metadata volume_ids, and in braing3n.contract
// which model made them (model_hash) from which preprocessing (table/embedding_file.hpp writes it). Nothing is read before it is asked for.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <ranges>
#include <span>
#include <string>
#include <vector>

#include "braing3n/backend/cpu/context/context.hpp"
#include "braing3n/base/moments.hpp"
#include "braing3n/format/json.hpp"
#include "braing3n/format/safetensors.hpp"
#include "braing3n/models/tokenizer.hpp"

namespace braing3n::inline BRAING3N_ABI {

class LatentFile {
 public:
  /// verify: read the whole file once for its checksum. Throws Error (format, file): no latents, no ids, ids that repeat or do not match
  /// in number, encoder tokens in place of projected ones.
  explicit LatentFile(const std::filesystem::path& path, bool verify = true) : file_(path) {
    const auto refuse = [&](const std::string& text) {
      throw Error(ErrorKind::format, "latents.format", text, path.string());
    };
    const auto text = [&](const char* key) {
      const auto found = file_.metadata().find(key);
      return found == file_.metadata().end() ? std::string() : found->second;
    };
    if (!file_.contains("latents")) refuse("no tensor \"latents\"; encode --latents writes such files");
    if (verify) (void)file_.verify_checksum();
    tensor_ = &file_.info("latents");
    const std::vector<Index>& s = tensor_->shape;
    if (s.size() != 5 || tensor_->elements() < 1)
      refuse(concat("latents have shape ", shape_text(s), ", expected (rows, X, Y, Z, channels)"));
    grid_ = {s[1], s[2], s[3]};
    if (text("volume_ids").empty()) refuse("the latents have no volume_ids");
    json_into(parse_json(text("volume_ids"), path.string()), ids_, path.string() + ": volume_ids");
    if (rows() != s[0]) refuse(concat(s[0], " rows of latents, but ", rows(), " volume ids"));
    for (Index i = 0; i < rows(); ++i)
      if (!row_of_.emplace(ids_[static_cast<std::size_t>(i)], i).second)
        refuse(concat("two rows are called ", in_quotes(ids_[static_cast<std::size_t>(i)])));
    checksum_ = text("braing3n.crc32");
    if (const std::string contract = text("braing3n.contract"); !contract.empty()) {
      const Json json = parse_json(contract, path.string());
      model_hash_ = json.value("model_hash", std::string());
      if (json.contains("preprocessing")) preprocessing_ = json["preprocessing"].dump();
      if (json.value("representation", std::string("projected")) != "projected")
        refuse("these are tokens of the encoder, expected projected latents");
    }
  }

  /// (rows, X', Y', Z', channels) as the file holds it, mapped.
  const NamedTensor& tensor() const { return *tensor_; }
  Index rows() const { return static_cast<Index>(ids_.size()); }
  const Extent3& grid() const { return grid_; }
  Index tokens() const { return grid_[0] * grid_[1] * grid_[2]; }
  Index channels() const { return tensor_->shape[4]; }
  Index row_size() const { return tokens() * channels(); }
  const std::vector<std::string>& ids() const { return ids_; }
  std::optional<Index> find(const std::string& id) const {
    const auto found = row_of_.find(id);
    return found == row_of_.end() ? std::nullopt : std::optional(found->second);
  }
  const std::string& path() const { return file_.path(); }
  const std::string& checksum() const { return checksum_; }            // empty when the file has none
  const std::string& model_hash() const { return model_hash_; }        // of the tokenizer; empty when unknown
  const std::string& preprocessing() const { return preprocessing_; }  // JSON of its contract; empty when unknown

  /// One row as (X' Y' Z' C) floats. Safe from several threads. Throws Error (numeric) for a value that is not finite.
  void read(Index row, std::span<float> to) const {
    const std::size_t bytes = tensor_->bytes.size() / static_cast<std::size_t>(rows());
    if (row < 0 || row >= rows() || static_cast<Index>(to.size()) != row_size())
      throw Error(ErrorKind::argument, "latents.row",
                  concat("row ", row, " of ", rows(), ", ", to.size(), " values for ", row_size()), path());
    convert_elements(tensor_->dtype, tensor_->bytes.subspan(static_cast<std::size_t>(row) * bytes, bytes), to);
    for (const float v : to)
      if (!std::isfinite(v))
        throw Error(ErrorKind::numeric, "latents.finite",
                    concat("the latents of ", ids_[static_cast<std::size_t>(row)], " have a value that is not finite"),
                    path());
  }

 private:
  SafetensorsFile file_;
  const NamedTensor* tensor_ = nullptr;
  Extent3 grid_{};
  std::vector<std::string> ids_;
  std::map<std::string, Index> row_of_;
  std::string checksum_, model_hash_, preprocessing_;
};

/// Mean and standard deviation of every channel over some rows, in double, the same for any number of threads. A channel without any
/// spread gets the sd 1.
inline LatentStatistics measure_latents(Context<Cpu>& ctx, const LatentFile& file, std::span<const Index> rows) {
  if (rows.empty()) fail(ErrorKind::argument, "latents.rows", "latents: expected at least one row, got none");
  const auto channels = static_cast<std::size_t>(file.channels()), n = rows.size();
  std::vector<Moments> parts(n * channels);  // of each row
  ctx.host_parallel_range(static_cast<Index>(n), 1, [&](Index begin, Index end) {
    std::vector<float> values(static_cast<std::size_t>(file.row_size()));
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
      file.read(rows[i], values);
      for (std::size_t c = 0; c < channels; ++c)
        parts[i * channels + c] = moments(std::views::iota(std::size_t{0}, values.size() / channels),
                                          [&](std::size_t token) { return values[token * channels + c]; });
    }
  });
  LatentStatistics s{std::vector<double>(channels, 0.0), std::vector<double>(channels, 0.0)};
  for (std::size_t c = 0; c < channels; ++c) {
    Moments m;
    for (std::size_t i = 0; i < n; ++i) m.add(parts[i * channels + c]);
    s.mean[c] = m.mean;
    // Relative to the mean: the resolution of the floats that the latents are read as.
    s.sd[c] = m.variance() > 1e-12 + 1e-14 * m.mean * m.mean ? m.standard_deviation() : 1.0;
  }
  return s;
}

}  // namespace braing3n::inline BRAING3N_ABI
