// Preprocessed volumes of a cohort in one memory-mapped file: reading one costs a copy.
//
// A safetensors file with the tensors volumes [n, X, Y, Z] (F16 or F32), checksums [n] (CRC-32 of each volume's bytes) and
// usable [n] (0: the scan could not be read; its volume is zeros), scans [n, 3] (I64; size, time of change and CRC-32 of each scan's file,
// -1 where unknown; older caches have none), indices [n] (I64; which volume of its file each is, -1 where the file has one; only in caches
// of files with several), and the metadata braing3n.ids, braing3n.contract (JSON) and braing3n.source (what it was made from). Every volume is checked against its checksum when it is first read. F16 rounds to
// 11 significant bits: for z-scored volumes at most 0.002 at 4 standard deviations.
#pragma once

#include <atomic>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "braing3n/data/file_stamp.hpp"
#include "braing3n/data/prefetch.hpp"
#include "braing3n/format/dtype.hpp"
#include "braing3n/format/json.hpp"
#include "braing3n/format/safetensors.hpp"
#include "braing3n/volume/preprocess.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Nearest half, ties to even; beyond 65504 infinity, NaN stays NaN.
constexpr float16 to_half(float x) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x), sign = bits >> 16 & 0x8000u,
                      magnitude = bits & 0x7fffffffu;
  std::uint32_t half;
  if (magnitude > 0x7f800000u) half = 0x7e00u;
  else if (magnitude >= 0x477ff000u) half = 0x7c00u;  // rounds to 65536 or more
  else if (magnitude >= 0x38800000u) half = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
  else {
    // Subnormal halves are multiples of 2^-24: adding 0.5 puts that place at the end of a float, which rounds there.
    half = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
  }
  return float16{static_cast<std::uint16_t>(sign | half)};
}

struct PackedCacheOptions {
  DType dtype = DType::f16;  // or f32
  bool skip_failed = false;  // a scan that cannot be read becomes an unusable row instead of an error
  std::string source{};      // what the cache was made from, for example a hash of the manifest
  std::vector<std::filesystem::path>
      scans{};  // the files that the volumes are made from, n or none: the cache then notices when they change
  std::vector<Index> indices{};  // which volume of its file each is, n or none; -1: the file has one
  PrefetchOptions prefetch{};    // threads that read
  WriteOptions file{};
};

struct PackedCacheReport {
  std::vector<std::string> failures;  // what was wrong, one sentence each
};

/// Writes n volumes; make(context, row) gives each as a tensor (X, Y, Z) of the contract. done(row) is called after each.
template <std::same_as<PreprocessingContract> Contract = PreprocessingContract>
PackedCacheReport write_packed_cache(const std::filesystem::path& path, const std::vector<std::string>& ids,
                                     const Contract& contract,
                                     const std::function<Tensor<float, Cpu>(Context<Cpu>&, Index)>& make,
                                     const PackedCacheOptions& options = {},
                                     const std::function<void(Index)>& done = {}) {
  const Index n = static_cast<Index>(ids.size());
  if (n == 0) fail(ErrorKind::argument, "cache.empty", "cache: expected at least one volume, got none");
  if (options.dtype != DType::f16 && options.dtype != DType::f32)
    fail(ErrorKind::dtype, "cache.dtype", "cache: element type ", to_string(options.dtype), ", expected F16 or F32");
  require_valid(contract);
  if (!options.scans.empty() && static_cast<Index>(options.scans.size()) != n)
    fail(ErrorKind::argument, "cache.scans", "cache: ", options.scans.size(), " scan files for ", n,
         " volumes, expected one each or none");
  if (!options.indices.empty() && std::ssize(options.indices) != n)
    fail(ErrorKind::argument, "cache.scans", "cache: ", options.indices.size(), " numbers of volumes of files for ", n,
         " volumes, expected one each or none");
  const bool indexed = std::any_of(options.indices.begin(), options.indices.end(), [](Index i) { return i >= 0; });
  if (const std::set<std::string> different(ids.begin(), ids.end()); static_cast<Index>(different.size()) != n)
    fail(ErrorKind::argument, "cache.ids", "cache: ", n, " volumes have ", different.size(),
         " different ids, expected one each");
  const Shape shape{contract.shape[0], contract.shape[1], contract.shape[2]};
  std::vector<NamedTensor> tensors{{"volumes", options.dtype, {n, shape[0], shape[1], shape[2]}, {}, {}},
                                   {"checksums", DType::u32, {n}, {}, {}},
                                   {"usable", DType::u8, {n}, {}, {}},
                                   {"scans", DType::i64, {n, 3}, {}, {}}};
  if (indexed) tensors.push_back({"indices", DType::i64, {n}, {}, {}});
  SafetensorsWriter out(path, tensors,
                        {{"braing3n.kind", "packed cache"},
                         {"braing3n.ids", Json(ids).dump()},
                         {"braing3n.contract", json_text(contract)},
                         {"braing3n.source", options.source}},
                        options.file);
  PackedCacheReport report;
  std::vector<std::uint32_t> checksums;
  std::vector<std::uint8_t> usable;
  std::vector<FileStamp> stamps(static_cast<std::size_t>(n));  // each written by the one thread that makes its volume
  const std::size_t bytes = static_cast<std::size_t>(shape.size()) * size_of(options.dtype);
  Prefetcher<std::vector<std::byte>> packed(
      [&](Context<Cpu>& ctx, Index row) {
        const auto at = static_cast<std::size_t>(row);
        if (!options.scans.empty())
          stamps[at] = file_stamp(options.scans[at]);  // before the scan is read: a change in between is noticed later
        const Tensor<float, Cpu> t = make(ctx, row);
        if (!(t.shape() == shape))
          fail(ErrorKind::shape, "cache.shape", "cache: ", ids[static_cast<std::size_t>(row)], ": expected ", shape,
               ", as the contract says, got ", t.shape());
        std::vector<std::byte> raw(bytes);
        if (options.dtype == DType::f32) {
          std::memcpy(raw.data(), t.data(), bytes);
        } else {
          for (Index i = 0; i < t.size(); ++i) {
            const float16 h = to_half(t.data()[i]);
            if ((h.bits & 0x7fffu) == 0x7c00u && std::isfinite(t.data()[i]))
              fail(ErrorKind::format, "cache.range", "the value ", t.data()[i],
                   " is beyond the largest half, 65504; normalise, or store F32");
            std::memcpy(raw.data() + 2 * i, &h, 2);
          }
        }
        return raw;
      },
      0, n, options.prefetch);
  for (Index row = 0; row < n; ++row) {
    std::vector<std::byte> raw;
    try {
      raw = packed.next();
      usable.push_back(1);
    } catch (const Error& e) {
      if (!options.skip_failed || e.kind() == ErrorKind::environment) throw;
      report.failures.push_back(concat(ids[static_cast<std::size_t>(row)], ": ", e.what()));
      usable.push_back(0);
      if (static_cast<Index>(report.failures.size()) == n)
        fail(ErrorKind::format, "cache.empty", "cache: none of the ", n,
             " scans could be read; the first: ", report.failures.front());
      raw.assign(bytes, std::byte{0});
    }
    checksums.push_back(crc32_of(raw));
    out.append(raw);
    if (done) done(row);
  }
  out.append(std::as_bytes(std::span<const std::uint32_t>(checksums)));
  out.append(std::as_bytes(std::span<const std::uint8_t>(usable)));
  std::vector<std::int64_t> scans;
  for (const FileStamp& s : stamps) scans.insert(scans.end(), {s.bytes, s.time_ns, s.checksum});
  out.append(std::as_bytes(std::span<const std::int64_t>(scans)));
  const std::vector<std::int64_t> indices(options.indices.begin(), options.indices.end());
  if (indexed) out.append(std::as_bytes(std::span<const std::int64_t>(indices)));
  out.finish();
  return report;
}

class PackedCache {
 public:
  /// Throws Error (format) for a file that is not a whole packed cache.
  explicit PackedCache(const std::filesystem::path& path) : file_(path) {
    const auto require = [&](bool good, const char* what) {
      if (!good) throw Error(ErrorKind::format, "cache.format", concat("not a packed cache: ", what), path.string());
    };
    const auto text = [&](const char* key) {
      const auto found = file_.metadata().find(key);
      return found == file_.metadata().end() ? std::string() : found->second;
    };
    require(text("braing3n.kind") == "packed cache", "its metadata does not say so");
    require(file_.contains("volumes") && file_.contains("checksums") && file_.contains("usable"),
            "a tensor is missing");
    volumes_ = &file_.info("volumes");
    require(volumes_->shape.size() == 4 && (volumes_->dtype == DType::f16 || volumes_->dtype == DType::f32),
            "volumes are not [n, X, Y, Z] of F16 or F32");
    checksums_ = file_.read<std::uint32_t>("checksums");
    usable_ = file_.read<std::uint8_t>("usable");
    if (file_.contains("scans")) {
      const std::vector<std::int64_t> scans = file_.read<std::int64_t>("scans");
      require(scans.size() == 3 * usable_.size(), "scans are not [n, 3]");
      for (std::size_t i = 0; i < scans.size(); i += 3) stamps_.push_back({scans[i], scans[i + 1], scans[i + 2]});
    }
    if (file_.contains("indices")) {
      indices_ = file_.read<std::int64_t>("indices");
      require(indices_.size() == usable_.size(), "indices are not [n]");
    }
    source_ = text("braing3n.source");
    contract_ = config_from_text<PreprocessingContract>(text("braing3n.contract"), path.string());
    const Json ids = parse_json(text("braing3n.ids"), path.string());
    require(ids.is_array(), "the ids are no list");
    for (const Json& id : ids) {
      require(id.is_string(), "an id is no text");
      ids_.push_back(id.get<std::string>());
    }
    const std::size_t n = static_cast<std::size_t>(volumes_->shape[0]);
    require(ids_.size() == n && checksums_.size() == n && usable_.size() == n,
            "ids, checksums and volumes differ in number");
    for (std::size_t a = 0; a < 3; ++a)
      require(volumes_->shape[a + 1] == contract_.shape[a], "volumes and contract differ in shape");
    for (std::size_t r = 0; r < n; ++r)
      require(rows_.emplace(ids_[r], static_cast<Index>(r)).second, "an id stands for two volumes");
    checked_ = std::vector<std::atomic<bool>>(n);
  }

  Index size() const { return static_cast<Index>(ids_.size()); }
  const std::vector<std::string>& ids() const { return ids_; }
  const PreprocessingContract& contract() const { return contract_; }
  const std::string& source() const { return source_; }
  bool usable(Index row) const { return usable_.at(static_cast<std::size_t>(row)) != 0; }
  /// The row of a volume: manifests are sorted, filtered and extended after a cache was made, so rows are found by id. Throws Error
  /// (argument) when it is not in the cache.
  Index row_of(const std::string& id) const {
    const auto found = rows_.find(id);
    if (found == rows_.end())
      throw Error(ErrorKind::argument, "cache.id",
                  concat("holds no volume ", in_quotes(id), "; make the cache again from the present manifest"),
                  file_.path());
    return found->second;
  }

  /// Whether the scan at `path` still has the content that row was made from; nothing in caches that do not know (older versions).
  std::optional<FileChange> change(Index row, const std::filesystem::path& path) const {
    if (stamps_.empty() || !stamps_.at(static_cast<std::size_t>(row)).known()) return std::nullopt;
    return file_change(path, stamps_[static_cast<std::size_t>(row)]);
  }

  /// Which volume of its file row was made from; -1: the file had one, or an older version did not say.
  Index volume_index(Index row) const { return indices_.empty() ? -1 : indices_.at(static_cast<std::size_t>(row)); }

  /// Volume `row` as float32 (X, Y, Z) into `to`. From several threads at once if need be. Throws Error (format) when its
  /// bytes do not match their checksum, Error (argument) for an unusable row.
  void read(Index row, std::span<float> to) const {
    const Index each = contract_.shape[0] * contract_.shape[1] * contract_.shape[2];
    if (row < 0 || row >= size() || static_cast<Index>(to.size()) != each)
      fail(ErrorKind::argument, "cache.row", "cache: expected a row of ", size(), " and room for its values, got row ",
           row, " and ", to.size(), " values");
    const std::size_t r = static_cast<std::size_t>(row),
                      bytes = static_cast<std::size_t>(each) * size_of(volumes_->dtype);
    if (!usable(row))
      fail(ErrorKind::argument, "cache.unusable", "cache: ", ids_[r], " could not be read when the cache was made");
    const std::span<const std::byte> raw = volumes_->bytes.subspan(r * bytes, bytes);
    if (!checked_[r].load(std::memory_order_relaxed)) {
      if (crc32_of(raw) != checksums_[r])
        throw Error(ErrorKind::format, "cache.checksum",
                    concat("volume ", ids_[r], " does not match its checksum: the cache is damaged, make it again"),
                    file_.path());
      checked_[r].store(true, std::memory_order_relaxed);
    }
    if (volumes_->dtype == DType::f32) {
      std::memcpy(to.data(), raw.data(), bytes);
      return;
    }
    for (std::size_t i = 0; i < to.size(); ++i) {
      float16 h;
      std::memcpy(&h, raw.data() + 2 * i, 2);
      to[i] = to_float(h);
    }
  }

 private:
  SafetensorsFile file_;
  const NamedTensor* volumes_ = nullptr;
  PreprocessingContract contract_;
  std::string source_;
  std::vector<std::string> ids_;
  std::map<std::string, Index> rows_;
  std::vector<std::uint32_t> checksums_;
  std::vector<std::uint8_t> usable_;
  std::vector<FileStamp> stamps_;
  std::vector<std::int64_t> indices_;
  mutable std::vector<std::atomic<bool>> checked_;
};

}  // namespace braing3n::inline BRAING3N_ABI
