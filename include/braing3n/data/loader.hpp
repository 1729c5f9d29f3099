// Batches of volumes for training: shuffled anew in every epoch, made ahead in threads of their own, the same for any number
// of threads, and resumable at any sample.
//
// The stream of samples is endless: sample s is place s mod n of epoch s / n. The order of an epoch sorts the rows by
// Philox integers of (seed, epoch, row), so it needs no state; a run that stopped after sample s goes on with sample s.
#pragma once

#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/base/philox.hpp"
#include "braing3n/data/manifest.hpp"
#include "braing3n/data/packed_cache.hpp"
#include "braing3n/volume/finding_log.hpp"
#include "braing3n/volume/nifti/read.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Gives volume `row` as (X, Y, Z). Called from several threads at once, each with its own context.
using VolumeSource = std::function<Tensor<float, Cpu>(Context<Cpu>&, Index row)>;

/// A scan as a file holds it.
struct ScanFile {
  std::filesystem::path path;
  Index volume = -1;  // of a file with several; -1: as the options of the source say
};

struct ScanSourceOptions {
  bool strict = false;                     // refuses scans with warnings
  Index volume = -1;                       // which volume of files with several; -1: every file must have one
  std::shared_ptr<FindingLog> findings{};  // takes what is found in each usable scan; may be empty
};

/// A scan that was read on the model's grid, with the findings of its header, its geometry and its values. path: for messages. Throws Error (format): a
/// scan that cannot be used; with options.strict also one with warnings.
inline Preprocessed preprocess_read(Context<Cpu>& ctx, NiftiVolume scan, const std::filesystem::path& path,
                                    const PreprocessingContract& contract, const ScanSourceOptions& options = {}) {
  try {
    scan.info.findings.require_usable(options.strict, path.string());
    Preprocessed p = preprocess(ctx, std::move(scan.volume), contract, options.strict);
    Findings all = std::move(scan.info.findings);
    all.append(p.findings);
    p.findings = std::move(all);
    return p;
  } catch (const Error& e) {
    throw e.at(path.string());
  }
}

/// The same from a file. Throws Error too: file, argument (several volumes, none chosen).
inline Preprocessed read_preprocessed(Context<Cpu>& ctx, const std::filesystem::path& path,
                                      const PreprocessingContract& contract, const ScanSourceOptions& options = {}) {
  return preprocess_read(ctx, read_nifti(ctx, path, {.volume = options.volume}), path, contract, options);
}

/// Reads and preprocesses the scans.
inline VolumeSource scan_source(std::vector<ScanFile> scans, const PreprocessingContract& contract,
                                ScanSourceOptions options = {}) {
  return [scans = std::move(scans), contract, options = std::move(options)](Context<Cpu>& ctx, Index row) {
    const ScanFile& scan = scans.at(static_cast<std::size_t>(row));
    ScanSourceOptions own{options.strict, scan.volume >= 0 ? scan.volume : options.volume};
    Preprocessed p = read_preprocessed(ctx, scan.path, contract, own);
    if (options.findings != nullptr) options.findings->add(row, scan.path.string(), p.findings);
    return std::move(p.data);
  };
}

inline VolumeSource scan_source(const std::vector<std::filesystem::path>& paths, const PreprocessingContract& contract,
                                ScanSourceOptions options = {}) {
  std::vector<ScanFile> scans;
  for (const std::filesystem::path& path : paths) scans.push_back({path});
  return scan_source(std::move(scans), contract, std::move(options));
}

/// The scans of a manifest, each the volume of its file that the table names.
inline VolumeSource scan_source(const Manifest& manifest, const PreprocessingContract& contract,
                                ScanSourceOptions options = {}) {
  std::vector<ScanFile> scans;
  std::vector<bool> named;  // whether the volume was
  for (const ScanRow& scan : manifest.scans) {
    scans.push_back({scan.path, scan.volume_index});
    named.push_back(scan.volume_index >= 0 || options.volume >= 0);
  }
  return [source = scan_source(std::move(scans), contract, std::move(options)), named = std::move(named)](
             Context<Cpu>& ctx, Index row) {
    try {
      return source(ctx, row);
    } catch (const Error& e) {
      if (e.id() != "nifti.volumes" || named.at(static_cast<std::size_t>(row))) throw;
      throw Error(e.kind(), e.id(), e.text() + "; a column volume_index of the table can name one for each scan",
                  e.path());
    }
  };
}

/// Rows of a packed cache; the cache stays open as long as the source.
inline VolumeSource cache_source(std::shared_ptr<const PackedCache> cache) {
  return [cache = std::move(cache)](Context<Cpu>& ctx, Index row) {
    const Extent3 n = cache->contract().shape;
    Tensor<float, Cpu> t(ctx, {n[0], n[1], n[2]});
    cache->read(row, {t.data(), static_cast<std::size_t>(t.size())});
    return t;
  };
}

struct LoaderOptions {
  Index batch = 1;
  bool shuffle = true;
  std::uint64_t seed = 2025;
  Index start = 0;          // sample of the stream to begin with (resuming)
  bool skip_failed = true;  // a scan that cannot be read is left out and reported; otherwise it ends the run
  PrefetchOptions prefetch{};
};

struct LoadedBatch {
  Tensor<float, Cpu> volumes;  // (N, X, Y, Z, 1)
  std::vector<Index> rows;     // (N) as given to the loader
  std::vector<Index> samples;  // (N) places in the stream: what random numbers are keyed by
};

/// The rows of an epoch in their order.
inline std::vector<Index> epoch_order(const std::vector<Index>& rows, bool shuffle, std::uint64_t seed, Index epoch) {
  if (!shuffle) return rows;
  std::vector<std::pair<std::uint32_t, Index>> keyed;
  for (const Index row : rows)
    keyed.emplace_back(
        Philox(seed, Purpose::shuffle, static_cast<std::uint32_t>(epoch), static_cast<std::uint32_t>(row)).integer(0),
        row);
  std::sort(keyed.begin(), keyed.end());
  std::vector<Index> order;
  for (const auto& [key, row] : keyed) order.push_back(row);
  return order;
}

class VolumeLoader {
 public:
  /// rows: what the source is asked for, each once per epoch. Throws Error (argument) for no rows or a batch larger than them.
  template <std::same_as<Cpu> B>
  VolumeLoader(Context<B>& context, VolumeSource source, std::vector<Index> rows, const LoaderOptions& options = {})
      : context_(&context), rows_(std::move(rows)), options_(options), next_sample_(options.start) {
    const Index n = static_cast<Index>(rows_.size());
    if (n == 0) fail(ErrorKind::argument, "loader.empty", "loader: expected at least one scan, got none");
    if (options.batch < 1 || options.batch > n)
      fail(ErrorKind::argument, "loader.batch", "loader: a batch of ", options.batch, " from ", n,
           " scans, expected 1 to ", n);
    if (options.start < 0)
      fail(ErrorKind::argument, "loader.start", "loader: expected a first sample of at least 0, got ", options.start);
    std::sort(rows_.begin(), rows_.end());
    prefetch_ = std::make_unique<Prefetcher<Tensor<float, Cpu>>>(
        [this, source = std::move(source)](Context<Cpu>& ctx, Index sample) { return source(ctx, row_of(sample)); },
        options.start, std::numeric_limits<Index>::max() / 2, options.prefetch);
  }

  /// The row of a sample of the stream. Thread-safe.
  Index row_of(Index sample) const {
    const Index n = static_cast<Index>(rows_.size()), epoch = sample / n;
    const std::lock_guard<std::mutex> lock(order_mutex_);
    for (const auto& [e, order] : orders_)
      if (e == epoch) return order[static_cast<std::size_t>(sample % n)];
    if (orders_.size() > 3) orders_.erase(orders_.begin());
    orders_.emplace_back(epoch, epoch_order(rows_, options_.shuffle, options_.seed, epoch));
    return orders_.back().second[static_cast<std::size_t>(sample % n)];
  }

  /// The next batch. Throws what the source threw when failures are not skipped, or when a whole epoch failed.
  LoadedBatch next() {
    LoadedBatch batch;
    Index failed_in_a_row = 0;
    while (static_cast<Index>(batch.rows.size()) < options_.batch) {
      const Index sample = next_sample_++, row = row_of(sample);
      try {
        const Tensor<float, Cpu> volume = prefetch_->next();
        const Shape& s = volume.shape();
        if (batch.volumes.empty()) batch.volumes = Tensor<float, Cpu>(*context_, {options_.batch, s[0], s[1], s[2], 1});
        if (volume.size() * options_.batch != batch.volumes.size())
          fail(ErrorKind::shape, "loader.shape", "loader: row ", row, " is ", s, ", unlike the others");
        std::memcpy(batch.volumes.data() + static_cast<Index>(batch.rows.size()) * volume.size(), volume.data(),
                    volume.bytes());
        batch.rows.push_back(row);
        batch.samples.push_back(sample);
        failed_in_a_row = 0;
      } catch (const Error& e) {
        if (!options_.skip_failed || e.kind() == ErrorKind::environment ||
            ++failed_in_a_row >= static_cast<Index>(rows_.size()))
          throw;
        failures_.emplace(row, e.what());
      }
    }
    return batch;
  }

  Index scans() const { return static_cast<Index>(rows_.size()); }
  /// The sample the next batch begins with: store it to resume.
  Index position() const { return next_sample_; }
  /// Scans left out so far, and why.
  const std::map<Index, std::string>& failures() const { return failures_; }
  /// How long next() waited for scans.
  double seconds_waited() const { return prefetch_->seconds_waited(); }

 private:
  Context<Cpu>* context_;
  std::vector<Index> rows_;
  LoaderOptions options_;
  Index next_sample_;
  mutable std::mutex order_mutex_;
  mutable std::vector<std::pair<Index, std::vector<Index>>> orders_;
  std::map<Index, std::string> failures_;
  std::unique_ptr<Prefetcher<Tensor<float, Cpu>>> prefetch_;  // last: its threads use the members above
};

}  // namespace braing3n::inline BRAING3N_ABI
