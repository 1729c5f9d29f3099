// The scans of a run: the training and validation subjects, the source of volumes, batches of them.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/data/augment.hpp"
#include "braing3n/data/loader.hpp"
#include "braing3n/data/split.hpp"
#include "braing3n/format/checksum.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Keeps volumes in memory after their first use, as long as there is room: later epochs read nothing.
inline VolumeSource kept_in_memory(VolumeSource source, std::size_t bytes) {
  struct Store {
    std::mutex mutex;
    std::map<Index, std::vector<float>> volumes;
    std::size_t room;
  };
  auto store = std::make_shared<Store>();
  store->room = bytes;
  return [store, source = std::move(source)](Context<Cpu>& ctx, Index row) {
    {
      const std::lock_guard<std::mutex> lock(store->mutex);
      if (const auto found = store->volumes.find(row); found != store->volumes.end()) {
        const std::vector<float>& kept = found->second;  // three extents, then the voxels
        Tensor<float, Cpu> t(ctx,
                             {static_cast<Index>(kept[0]), static_cast<Index>(kept[1]), static_cast<Index>(kept[2])});
        std::memcpy(t.data(), kept.data() + 3, t.bytes());
        return t;
      }
    }
    Tensor<float, Cpu> t = source(ctx, row);
    const std::lock_guard<std::mutex> lock(store->mutex);
    if (t.rank() == 3 && t.bytes() <= store->room) {
      std::vector<float> kept = {static_cast<float>(t.dim(0)), static_cast<float>(t.dim(1)),
                                 static_cast<float>(t.dim(2))};
      kept.insert(kept.end(), t.data(), t.data() + t.size());
      if (store->volumes.emplace(row, std::move(kept)).second) store->room -= t.bytes();
    }
    return t;
  };
}

struct TrainingDataOptions {
  std::filesystem::path manifest{};
  ManifestOptions read{};
  std::filesystem::path
      split{};  // subject_id,split with the sets train and validation (others are left out); empty: drawn from the seed
  double validation = 0.1;                    // share of the subjects
  std::filesystem::path cache{};              // a packed cache of the same scans, instead of reading them
  std::size_t memory = std::size_t{2} << 30;  // bytes in which preprocessed volumes are kept
  bool strict = false;
};

struct TrainingData {
  std::vector<std::string> ids;
  PreprocessingContract contract;
  VolumeSource source;
  std::vector<Index> train, validation;  // rows
  Split split;
  std::string hash;   // of the scans' ids, their subjects and sets
  std::string files;  // of the sizes of the scans' files, empty where one is not there
  std::vector<std::string> warnings;
  std::shared_ptr<FindingLog> findings = std::make_shared<FindingLog>();  // of the scans read so far; a cache has none
};

/// A hash of ids, file sizes and volumes of files: another one shows that scans were made again (the times of files do not count, copies have others).
inline std::string hash_of_sizes(const Manifest& m) {
  Crc32 crc;
  for (const ScanRow& s : m.scans) {
    const auto stamp = detail::size_and_time(s.path);
    if (!stamp) return {};
    std::string line = concat(s.volume_id, '\n', stamp->bytes, '\n');
    if (s.volume_index >= 0) line += concat("volume ", s.volume_index, '\n');
    crc.update(std::as_bytes(std::span<const char>(line.data(), line.size())));
  }
  return crc.hex();
}

/// The row of each scan in the cache. Throws Error: argument (a scan that it does not hold), format (scans that have changed since).
inline std::vector<Index> cache_rows(const PackedCache& cache, const Manifest& m, const std::filesystem::path& path,
                                     std::vector<std::string>& warnings) {
  std::vector<Index> rows;
  std::vector<std::string> changed, unknown, gone, others;
  for (const ScanRow& s : m.scans) {
    const Index row = rows.emplace_back(cache.row_of(s.volume_id));
    if (!cache.usable(row)) continue;
    // A scan without a number in the table may come from a cache that was made with one number for all.
    if (s.volume_index >= 0 && std::max<Index>(0, cache.volume_index(row)) != s.volume_index)
      others.push_back(s.volume_id);
    const auto change = cache.change(row, s.path);
    if (!change) unknown.push_back(s.volume_id);
    else if (*change == FileChange::changed) changed.push_back(s.volume_id);
    else if (*change == FileChange::gone) gone.push_back(s.volume_id);
  }
  if (!changed.empty())
    throw Error(ErrorKind::format, "cache.stale",
                concat("older than ", changed.size(), changed.size() == 1 ? " scan" : " scans",
                       " whose file has changed since: ", detail::some_of(changed), "; make the cache again"),
                path.string());
  if (!others.empty())
    throw Error(ErrorKind::format, "cache.stale",
                concat("made from other volumes of the files than the table names: ", detail::some_of(others),
                       "; make the cache again"),
                path.string());
  if (!unknown.empty())
    warnings.push_back(concat(path.string(),
                              ": made by an older version, which did not record the scans' files: whether they have "
                              "changed since cannot be checked"));
  if (!gone.empty())
    warnings.push_back(concat(path.string(), ": ", gone.size(), gone.size() == 1 ? " scan is" : " scans are",
                              " no longer there, the cache cannot be held against them: ", detail::some_of(gone)));
  return rows;
}

/// Throws Error: format (the table, the split: a subject in two sets, an empty set; a cache that is older than a scan), config (a cache of
/// another contract).
inline TrainingData open_training_data(const TrainingDataOptions& o, const PreprocessingContract& contract,
                                       std::uint64_t seed) {
  const Manifest m = read_manifest(o.manifest, o.read);
  if (o.strict) m.findings.require_usable(true, o.manifest.string());
  if (!(o.validation > 0 && o.validation < 1))
    fail(ErrorKind::argument, "training.validation", "training: a share of ", o.validation,
         " for validation, expected a number in (0, 1)");
  TrainingData d;
  d.contract = contract;
  d.split = o.split.empty() ? split_subjects(m, {{"train", 1 - o.validation}, {"validation", o.validation}}, seed)
                            : read_split(o.split);
  d.train = rows_of(m, d.split, "train");
  d.validation = rows_of(m, d.split, "validation");
  std::string described;
  for (const ScanRow& s : m.scans) {
    d.ids.push_back(s.volume_id);
    described += concat(s.volume_id, '\n', s.subject_id, '\n', d.split.at(s.subject_id), '\n');
  }
  Crc32 crc;
  crc.update(std::as_bytes(std::span<const char>(described.data(), described.size())));
  d.hash = crc.hex();
  d.files = hash_of_sizes(m);
  if (o.cache.empty()) {
    d.source = scan_source(m, contract, {.strict = o.strict, .findings = d.findings});
  } else {
    auto cache = std::make_shared<const PackedCache>(o.cache);
    if (!(cache->contract() == contract))
      throw Error(ErrorKind::config, "cache.contract",
                  "the cache was made with another contract: " + describe(cache->contract()), o.cache.string());
    std::vector<Index> rows = cache_rows(*cache, m, o.cache, d.warnings);
    d.source = [rows = std::move(rows), source = cache_source(std::move(cache))](Context<Cpu>& ctx, Index row) {
      return source(ctx, rows.at(static_cast<std::size_t>(row)));
    };
  }
  if (o.memory > 0) d.source = kept_in_memory(std::move(d.source), o.memory);
  return d;
}

/// Why scans were left out, by row.
using ScanFailures = std::map<Index, std::string>;

/// f(row, volume (1, X, Y, Z, 1)) for each row in order, read ahead in threads of their own. A scan that cannot be read goes to
/// `failures`; running out of memory ends the loop, as does a loop in which every scan fails.
template <class F>
void for_each_volume(Context<Cpu>& ctx, const VolumeSource& source, const std::vector<Index>& rows,
                     ScanFailures& failures, F&& f, const PrefetchOptions& options = {}) {
  const Index n = static_cast<Index>(rows.size());
  Index failed = 0;
  Prefetcher<Tensor<float, Cpu>> ahead(
      [&](Context<Cpu>& c, Index i) { return source(c, rows[static_cast<std::size_t>(i)]); }, 0, n, options);
  for (Index i = 0; i < n; ++i) {
    const Index row = rows[static_cast<std::size_t>(i)];
    Tensor<float, Cpu> copy;
    try {
      const Tensor<float, Cpu> volume = ahead.next();
      copy = Tensor<float, Cpu>(ctx, {1, volume.dim(0), volume.dim(1), volume.dim(2), 1});
      std::memcpy(copy.data(), volume.data(), volume.bytes());
    } catch (const Error& e) {
      if (e.kind() == ErrorKind::environment || ++failed == n) throw;
      failures.emplace(row, e.what());
      continue;
    }
    f(row, copy);
  }
}

/// At most `most` of the rows, spread evenly.
inline std::vector<Index> some_rows(const std::vector<Index>& rows, Index most) {
  const Index n = static_cast<Index>(rows.size());
  if (n <= most) return rows;
  std::vector<Index> some;
  for (Index i = 0; i < most; ++i) some.push_back(rows[static_cast<std::size_t>(i * n / most)]);
  return some;
}

struct VolumeBatch {
  Tensor<float, Cpu> volumes;          // (N, X, Y, Z, 1)
  std::vector<std::uint32_t> samples;  // (N) places in the stream
};

/// The endless stream of shuffled, augmented training batches, from any sample on.
class VolumeStream {
 public:
  VolumeStream(Context<Cpu>& context, const TrainingData& data, Index batch, const AugmentOptions& augment,
               std::uint64_t seed, Index start, const PrefetchOptions& prefetch = {})
      : context_(&context), contract_(data.contract), augment_(augment), seed_(seed),
        loader_(context, data.source, data.train,
                {.batch = batch, .seed = seed, .start = start, .prefetch = prefetch}) {}

  VolumeBatch next() {
    LoadedBatch loaded = loader_.next();
    VolumeBatch batch{std::move(loaded.volumes), {}};
    for (const Index s : loaded.samples) batch.samples.push_back(static_cast<std::uint32_t>(s));
    augment(*context_, batch.volumes, batch.samples, augment_, contract_, seed_);
    return batch;
  }
  Index position() const { return loader_.position(); }
  Index scans() const { return loader_.scans(); }
  const ScanFailures& failures() const { return loader_.failures(); }
  double seconds_waited() const { return loader_.seconds_waited(); }

 private:
  Context<Cpu>* context_;
  PreprocessingContract contract_;
  AugmentOptions augment_;
  std::uint64_t seed_;
  VolumeLoader loader_;
};

}  // namespace braing3n::inline BRAING3N_ABI
