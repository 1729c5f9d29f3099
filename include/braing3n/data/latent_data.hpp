// The latents of a run with their conditions: the training and validation subjects, and the stream of samples.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/base/stream.hpp"
#include "braing3n/data/condition_labels.hpp"
#include "braing3n/data/latents.hpp"
#include "braing3n/data/volumes.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct LatentDataOptions {
  std::filesystem::path latents{}, labels{};
  std::filesystem::path
      split{};  // subject_id,split with the two sets below (others are left out); empty: drawn from the seed
  std::string train = "train", validation_set = "validation";  // names of the sets
  double validation = 0.1;                                     // share of the subjects
  std::vector<std::string> missing{};                          // values of labels that stand for missing ones
  bool strict = false;  // latents without labels and labels without latents are errors
  bool measure = true;  // fill the statistics, which takes a pass over the training latents
};

struct LatentData {
  std::shared_ptr<const LatentFile> file;
  Manifest labels;                       // of the scans that have latents
  std::vector<Index> file_row;           // per scan
  std::vector<ConditionRow> conditions;  // per scan, once conditions are known; of scans in neither set: all null
  LatentStatistics statistics;           // over the training scans
  TrainingData scans;                    // ids, sets and hash; it has no volumes

  /// The scans of both sets, in order.
  std::vector<Index> used() const {
    std::vector<Index> all = scans.train;
    all.insert(all.end(), scans.validation.begin(), scans.validation.end());
    std::sort(all.begin(), all.end());
    return all;
  }
};

/// Pairs latents with labels by volume_id. `tell` gets sentences about rows without a partner. Throws Error: format (no row in common;
/// with strict, any without a partner), argument (a share that is none), and what the split throws.
inline LatentData open_latent_data(Context<Cpu>& ctx, const LatentDataOptions& o, std::uint64_t seed,
                                   const std::function<void(const std::string&)>& tell) {
  LatentData d;
  d.file = std::make_shared<const LatentFile>(o.latents);
  Manifest m = read_manifest(o.labels, {.check_files = false, .need_paths = false, .missing = o.missing});
  for (const Finding& f : m.findings)
    if (f.severity != Severity::note) tell(concat(o.labels.string(), ": ", f.sentence));
  if (!(o.validation > 0 && o.validation < 1))
    fail(ErrorKind::argument, "training.validation", "training: a share of ", o.validation,
         " for validation, expected a number in (0, 1)");
  std::vector<std::string> no_latents, no_labels;
  std::set<std::string> labelled;
  std::vector<ScanRow> paired;
  for (ScanRow& scan : m.scans) {
    labelled.insert(scan.volume_id);
    if (const auto row = d.file->find(scan.volume_id)) {
      d.file_row.push_back(*row);
      paired.push_back(std::move(scan));
    } else {
      no_latents.push_back(scan.volume_id);
    }
  }
  for (const std::string& id : d.file->ids())
    if (!labelled.contains(id)) no_labels.push_back(id);
  if (paired.empty())
    throw Error(ErrorKind::format, "latents.labels",
                concat("no label belongs to a row of the latents: the latents have ", in_quotes(d.file->ids().front()),
                       ", the labels ", in_quotes(no_latents.front())),
                o.labels.string());
  const auto report = [&](const std::vector<std::string>& lost, const char* what, const std::filesystem::path& where) {
    if (lost.empty()) return;
    const std::string text =
        concat(lost.size(), lost.size() == 1 ? " row has " : " rows have ", what, ": ", detail::some_of(lost));
    if (o.strict) throw Error(ErrorKind::format, "latents.labels", text, where.string());
    tell(where.string() + ": " + text);
  };
  report(no_labels, "no labels", o.latents);
  report(no_latents, "no latents", o.labels);
  m.scans = std::move(paired);
  d.labels = std::move(m);

  TrainingData& s = d.scans;
  s.split = o.split.empty()
                ? split_subjects(d.labels, {{o.train, 1 - o.validation}, {o.validation_set, o.validation}}, seed)
                : read_split(o.split);
  s.train = rows_of(d.labels, s.split, o.train);
  s.validation = rows_of(d.labels, s.split, o.validation_set);
  if (!d.file->preprocessing().empty())
    s.contract = config_from_text<PreprocessingContract>(d.file->preprocessing(), d.file->path());
  if (!o.measure) return d;
  std::vector<Index> measured;
  for (const Index i : s.train) measured.push_back(d.file_row[static_cast<std::size_t>(i)]);
  std::sort(measured.begin(), measured.end());
  d.statistics = measure_latents(ctx, *d.file, measured);
  return d;
}

/// Takes the conditions from the labels; to be called once the fields are complete. The hash then covers latents, subjects, sets, conditions.
inline void take_conditions(LatentData& d, const std::vector<ConditionField>& fields) {
  const std::vector<Index> used = d.used();
  std::vector<ConditionRow> rows = condition_rows(fields, d.labels, used);
  d.conditions.assign(d.labels.scans.size(), ConditionRow(fields.size()));
  for (std::size_t i = 0; i < used.size(); ++i) d.conditions[static_cast<std::size_t>(used[i])] = std::move(rows[i]);
  std::string described = d.file->checksum() + '\n';
  d.scans.ids.clear();
  for (std::size_t i = 0; i < d.conditions.size(); ++i) {
    const ScanRow& s = d.labels.scans[i];
    d.scans.ids.push_back(s.volume_id);
    described += concat(s.volume_id, '\n', s.subject_id, '\n', d.scans.split.at(s.subject_id), '\n',
                        describe_conditions(fields, d.conditions[i]), '\n');
  }
  Crc32 crc;
  crc.update(std::as_bytes(std::span<const char>(described.data(), described.size())));
  d.scans.hash = crc.hex();
}

/// Rows (scans) -> standardised latents (N, L, C).
inline Tensor<float, Cpu> latent_batch(Context<Cpu>& ctx, const LatentData& d, std::span<const Index> scans) {
  const LatentFile& f = *d.file;
  const auto channels = static_cast<std::size_t>(f.channels());
  Tensor<float, Cpu> batch(ctx, {static_cast<Index>(scans.size()), f.tokens(), f.channels()});
  ctx.host_parallel_range(static_cast<Index>(scans.size()), 1, [&](Index begin, Index end) {
    for (Index n = begin; n < end; ++n) {
      const std::span<float> to(batch.data() + n * f.row_size(), static_cast<std::size_t>(f.row_size()));
      f.read(d.file_row[static_cast<std::size_t>(scans[static_cast<std::size_t>(n)])], to);
      for (std::size_t i = 0; i < to.size(); ++i)
        to[i] = static_cast<float>((static_cast<double>(to[i]) - d.statistics.mean[i % channels]) /
                                   d.statistics.sd[i % channels]);
    }
  });
  return batch;
}

namespace detail {

/// visit(place of the first among `rows`, standardised latents (n, D) in double) for the rows in order, 512 at a time.
template <class Visit>
void latent_blocks(Context<Cpu>& ctx, const LatentData& d, std::span<const Index> rows, Visit&& visit) {
  constexpr std::size_t block = 512;
  for (std::size_t begin = 0; begin < rows.size(); begin += block) {
    const std::span<const Index> some = rows.subspan(begin, std::min(block, rows.size() - begin));
    visit(begin, cast<double>(latent_batch(ctx, d, some)).reshape({std::ssize(some), d.file->row_size()}));
  }
}

}  // namespace detail

/// How often each training scan is drawn, so that the classes of some conditions come equally often (strength 1), or between that and as
/// they are (strength 0): weights proportional to count^-strength, multiplied over the conditions. The null counts as a class.
///
/// A condition counts only where the sample shows it. Under conditions c a model learns p(x | c), which does not change when weights
/// depend on c alone; weights by unobserved conditions would bias its samples without conditions.
struct BalanceOptions {
  std::vector<std::string> conditions{};
  double strength = 1;

  static void visit(auto& self, auto&& v) {
    v("conditions", self.conditions);
    v("strength", self.strength);
  }
};

/// Draws training scans by weights that depend on the observed conditions.
class BalancedDraw {
 public:
  /// Throws Error: config (strength, a condition that has no classes), argument (one that does not exist).
  BalancedDraw(const LatentData& data, const std::vector<ConditionField>& fields, const BalanceOptions& o)
      : data_(&data) {
    if (!(o.strength >= 0 && o.strength <= 1))
      fail(ErrorKind::config, "balance.strength", "balance: a strength of ", o.strength,
           ", expected a number from 0 to 1");
    const std::vector<Index>& train = data.scans.train;
    for (const std::string& name : o.conditions) {
      const std::size_t f = find_condition(fields, name);
      if (fields[f].kind != ConditionKind::categorical)
        fail(ErrorKind::config, "balance.condition", "balance: condition ", name,
             " is continuous, only classes can be balanced");
      std::map<std::int32_t, double> counts;
      for (const Index s : train) ++counts[value(s, f).label];
      Balanced b{.field = f, .required = fields[f].required, .weight = {}};
      for (const Index s : train) b.weight.push_back(std::pow(counts[value(s, f).label], -o.strength));
      balanced_.push_back(std::move(b));
    }
  }
  bool empty() const { return balanced_.empty(); }

  /// u in (0, 1) -> place among the training scans. Where one condition stays alone, among those that have it.
  std::size_t operator()(const ObservedConditions& observed, double u) {
    std::vector<bool> key;
    for (const Balanced& b : balanced_)
      key.push_back(b.required || (observed.alone ? b.field == *observed.alone : observed.fields[b.field]));
    std::vector<double>& cumulative = tables_[{observed.alone, key}];
    if (cumulative.empty()) fill(cumulative, observed.alone, key);
    u *= cumulative.back();
    return static_cast<std::size_t>(std::upper_bound(cumulative.begin(), cumulative.end() - 1, u) - cumulative.begin());
  }

 private:
  struct Balanced {
    std::size_t field;
    bool required;
    std::vector<double> weight;  // per training scan
  };

  const ConditionValue& value(Index scan, std::size_t field) const {
    return data_->conditions.at(static_cast<std::size_t>(scan))[field];
  }
  void fill(std::vector<double>& cumulative, std::optional<std::size_t> alone, const std::vector<bool>& key) const {
    const std::vector<Index>& train = data_->scans.train;
    const bool someone =
        alone && std::any_of(train.begin(), train.end(), [&](Index s) { return !value(s, *alone).missing(); });
    double sum = 0;
    for (std::size_t i = 0; i < train.size(); ++i) {
      double weight = someone && value(train[i], *alone).missing() ? 0.0 : 1.0;
      for (std::size_t b = 0; b < balanced_.size(); ++b)
        if (key[b]) weight *= balanced_[b].weight[i];
      cumulative.push_back(sum += weight);
    }
  }

  const LatentData* data_;
  std::vector<Balanced> balanced_;
  std::map<std::pair<std::optional<std::size_t>, std::vector<bool>>, std::vector<double>>
      tables_;  // by observed conditions
};

/// The endless stream of training samples with the conditions that training shows, from any on: each scan once per epoch in a new order
/// or, balanced, drawn by weight.
class LatentStream {
 public:
  /// Throws Error (argument) for a batch larger than the training scans.
  LatentStream(const LatentData& data, const std::vector<ConditionField>& fields, const BalanceOptions& balance,
               const DropOptions& drop, Index batch, std::uint64_t seed, Index start)
      : data_(&data), fields_(fields), balanced_(data, fields, balance), drop_(drop), batch_(batch), seed_(seed),
        next_(start) {
    if (batch < 1 || batch > scans())
      fail(ErrorKind::argument, "loader.batch", "loader: a batch of ", batch, " from ", scans(),
           " scans, expected 1 to ", scans());
  }

  struct Draw {
    std::vector<Index> scans, positions;   // (N)
    std::vector<ConditionRow> conditions;  // (N), unobserved ones null
  };
  Draw next() {
    Draw d;
    for (Index i = 0; i < batch_; ++i, ++next_) {
      const ObservedConditions observed = draw_observed(fields_, drop_, seed_, next_);
      d.positions.push_back(next_);
      d.scans.push_back(scan_of(next_, observed));
      d.conditions.push_back(
          observe_conditions(fields_, data_->conditions.at(static_cast<std::size_t>(d.scans.back())), observed));
    }
    return d;
  }

  Index position() const { return next_; }
  Index scans() const { return std::ssize(data_->scans.train); }
  const ScanFailures& failures() const { return failures_; }
  double seconds_waited() const { return 0; }

 private:
  Index scan_of(Index position, const ObservedConditions& observed) {
    if (!balanced_.empty()) {
      const StreamCounter at(position);
      const Philox rng(seed_, Purpose::shuffle, at.step, at.sample);
      return data_->scans.train[balanced_(observed, (static_cast<double>(rng.integer(0)) + 0.5) * 0x1p-32)];
    }
    if (const Index epoch = position / scans(); epoch != epoch_ || order_.empty()) {
      order_ = epoch_order(data_->scans.train, true, seed_, epoch);
      epoch_ = epoch;
    }
    return order_[static_cast<std::size_t>(position % scans())];
  }

  const LatentData* data_;
  std::vector<ConditionField> fields_;
  BalancedDraw balanced_;
  DropOptions drop_;
  std::vector<Index> order_;
  Index batch_, epoch_ = -1;
  std::uint64_t seed_;
  Index next_;
  ScanFailures failures_;
};

}  // namespace braing3n::inline BRAING3N_ABI
