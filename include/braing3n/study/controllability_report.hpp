// The result of the study of controllability as tables, CSV, JSON and a picture.
#pragma once

#include <cmath>
#include <optional>
#include <ostream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/format/atomic_file.hpp"
#include "braing3n/format/csv.hpp"
#include "braing3n/report/planes.hpp"
#include "braing3n/report/png.hpp"
#include "braing3n/report/table.hpp"
#include "braing3n/study/controllability_result.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

/// The rows of controllability.csv: probe, contrast, of (scans, samples, ...), guidance, measure, class, n, value, interval.
class ControllabilityCsv {
 public:
  /// Throws Error (file).
  ControllabilityCsv(const std::filesystem::path& path, const WriteOptions& write)
      : csv_(path, {"probe", "contrast", "of", "cfg", "measure", "class", "n", "value", "low", "high"}, write) {}

  void contrast(const std::string& probe, const ContrastResult& c, const std::vector<double>& guidance) {
    place_ = {probe, c.name, {}, {}};
    if (c.is_number()) numbers(c.of_numbers, guidance);
    else classes(c.of_classes, guidance);
  }
  void finish() { csv_.finish(); }

 private:
  /// What all rows of one measurement share.
  struct Place {
    std::string probe, contrast, of;
    std::optional<double> guidance;
  };

  void classes(const ClassContrast& c, const std::vector<double>& guidance) {
    of("real"), score(c.real);
    of("round_trip"), score(c.round_trip);
    of("null"), shares("share", c.null);
    of("all_unseen"), shares("share", c.all_unseen);
    of("prior");
    for (const auto& [name, share] : c.prior) put("share", name, {}, share);
    for (std::size_t g = 0; g < guidance.size(); ++g) of("cond", guidance[g]), score(c.cond[g].second);
  }
  void numbers(const NumberContrast& c, const std::vector<double>& guidance) {
    of("real"), score(c.real);
    of("round_trip"), score(c.round_trip);
    of("null"), score(c.null);
    NumberScore prior;
    prior.mean = c.prior.mean, prior.sd = c.prior.sd;
    of("prior"), score(prior);
    for (std::size_t g = 0; g < guidance.size(); ++g) of("cond", guidance[g]), score(c.cond[g].second);
  }

  void of(const std::string& what, std::optional<double> guidance = {}) {
    place_.of = what, place_.guidance = guidance;
  }
  void score(const ClassResult& s) {
    Index n = 0;
    for (const auto& [name, share] : s.recall) n += share.n;
    put("balanced_accuracy", "", n, s.balanced_accuracy, s.low, s.high);
    shares("recall", s.recall);
  }
  void shares(const char* measure, const Shares& shares) {
    for (const auto& [name, s] : shares) put(measure, name, s.n, s.share, s.low, s.high);
  }
  void score(const NumberScore& s) {
    for (const auto& [measure, value] : {std::pair{"r", s.r}, std::pair{"slope", s.slope}, std::pair{"bias", s.bias},
                                         std::pair{"mae", s.mae}, std::pair{"mean", s.mean}, std::pair{"sd", s.sd}})
      if (std::isfinite(value)) put(measure, "", s.n, value);
  }
  void put(const char* measure, const std::string& name, Index n, double value, double low = not_a_number,
           double high = not_a_number) {
    const auto known = [](double v) { return std::isfinite(v) ? std::optional<double>(v) : std::nullopt; };
    csv_.row(place_.probe, place_.contrast, place_.of, place_.guidance, measure, name,
             n > 0 ? std::optional<Index>(n) : std::nullopt, known(value), known(low), known(high));
  }

  CsvWriter csv_;
  Place place_;
};

inline std::string interval_text(double low, double high) {
  return std::isfinite(low) ? concat(decimals(low, 2), " to ", decimals(high, 2)) : "-";
}

/// "M 0.48 (0.40 to 0.56)" of the second of two classes; all shares of more.
inline std::string shares_text(const Shares& shares) {
  if (shares.size() == 2) {
    const auto& [name, s] = shares[1];
    return s.n > 0 ? concat(name, ' ', decimals(s.share, 2), " (", interval_text(s.low, s.high), ")") : "-";
  }
  const std::string all =
      joined(shares, ", ", [](const auto& s) { return concat(s.first, ' ', decimals(s.second.share, 2)); });
  return all.empty() ? "-" : all;
}
inline std::string shares_text(const Named<double>& shares) {
  const auto text = [](const auto& s) { return concat(s.first, ' ', decimals(s.second, 2)); };
  return shares.size() == 2 ? text(shares[1]) : joined(shares, ", ", text);
}

/// Adds a line for a contrast of classes, unless no sample was scored.
inline void add_row(Table& table, const ContrastResult& c, std::size_t scale, bool decoded) {
  const ClassContrast& k = c.of_classes;
  const ClassResult& asked = k.cond[scale].second;
  if (!std::isfinite(asked.balanced_accuracy)) return;
  const double ceiling = k.round_trip.balanced_accuracy;
  const std::string each =
      joined(asked.recall, ", ", [](const auto& s) { return concat(s.first, ' ', decimals(s.second.share, 2)); });
  table.row(c.name, decimals(k.real.balanced_accuracy), decoded ? decimals(ceiling) : "",
            decimals(asked.balanced_accuracy), interval_text(asked.low, asked.high),
            decimals(asked.balanced_accuracy / ceiling, 2), each, c.of_modalities ? "-" : shares_text(k.null),
            shares_text(k.prior), c.of_modalities ? "-" : shares_text(k.all_unseen));
}
/// The same of a number.
inline void add_row(Table& table, const std::string& name, const NumberContrast& c, std::size_t scale, bool decoded) {
  const NumberScore &real = c.real, &trip = c.round_trip, &asked = c.cond[scale].second;
  if (real.n == 0) return;
  const auto trips = [&](double v, int digits) { return decoded ? decimals(v, digits) : std::string(); };
  table.row(name, decimals(real.r), trips(trip.r, 3), decimals(asked.r), decimals(real.slope, 2), trips(trip.slope, 2),
            decimals(asked.slope, 2), decimals(real.bias, 1), trips(trip.bias, 1), decimals(asked.bias, 1),
            decimals(asked.mae, 1), concat(decimals(c.null.mean, 1), " +- ", decimals(c.null.sd, 1)),
            concat(decimals(c.prior.mean, 1), " +- ", decimals(c.prior.sd, 1)));
}

/// Scores of one probe under one guidance scale.
inline void print_scores(std::ostream& out, const ProbeScores& probe, std::size_t scale) {
  const bool decoded = probe.decoded;
  const char* trip = decoded ? "round trip" : "";
  Table classes({"", "Real", trip, "Cond", "95 %", "of ceiling", "each class", "Null", "Prior", "all unseen"});
  Table numbers(
      {"", "r: real", trip, "Cond", "slope: real", trip, "Cond", "bias: real", trip, "Cond", "MAE", "Null", "Prior"});
  for (const ContrastResult& c : probe.contrasts) {
    if (c.is_number()) add_row(numbers, c.name, c.of_numbers, scale, decoded);
    else add_row(classes, c, scale, decoded);
  }
  if (!classes.empty()) classes.print(out);
  if (!classes.empty() && !numbers.empty()) out << '\n';
  if (!numbers.empty()) numbers.print(out);
}

inline void print_run(std::ostream& out, const ControllabilityResult& r) {
  const ControllabilityOptions& o = r.options;
  if (!r.distribution.empty()) out << "Phantoms of the distribution " << r.distribution << '\n';
  out << o.n << " SYNTHETIC samples per class, " << o.sampling.steps << " steps (" << enum_name(o.sampling.sampler)
      << "), seed " << o.seed << "; probes fitted on " << r.probe_scans << " scans of the set " << in_quotes(o.train)
      << ", " << r.unseen_scans << " unseen scans of the set " << in_quotes(o.test) << '\n';
  if (r.samples_without_brain > 0) out << r.samples_without_brain << " samples have no brain\n";
  for (const ContrastLeftOut& c : r.contrasts_left_out) out << "left out: " << c.contrast << ": " << c.reason << '\n';
  out << "\nReal, round trip: balanced accuracy on unseen scans and on their round trips, the ceiling of samples. "
         "Cond: on samples of the requested class. Null: share of\n"
         "samples without conditions (but the modality) that are predicted as the class named; Prior: its share among "
         "the "
         "training subjects with one of the classes; all unseen:\n"
         "share of round trips of all unseen subjects that are predicted so, whatever their label: what Null should be "
         "where "
         "most subjects have neither class.\n";
}

/// All tables, as a terminal shows them: probe by probe, scale by scale.
inline std::string tables(const ControllabilityResult& r) {
  std::ostringstream out;
  print_run(out, r);
  for (const ProbeScores& probe : r.probes)
    for (std::size_t s = 0; s < r.options.guidance.size(); ++s) {
      out << "\nProbe " << probe.name << " (" << probe.text << "), guidance " << r.options.guidance[s]
          << (r.options.own_scales.empty() ? "" : ", " + r.options.own_scales) << "\n\n";
      print_scores(out, probe, s);
    }
  return out.str();
}

/// controllability.csv, controllability.json, tables.txt, montage.png. The folder is made where it is missing. Throws Error (environment, file).
inline void write_results(const std::filesystem::path& folder, const ControllabilityResult& r,
                          const WriteOptions& write) {
  make_folder(folder);
  ControllabilityCsv csv(folder / "controllability.csv", write);
  for (const ProbeScores& probe : r.probes)
    for (const ContrastResult& c : probe.contrasts) csv.contrast(probe.name, c, r.options.guidance);
  csv.finish();
  write_text(folder / "controllability.json", result_json(r).dump(2) + "\n", write);
  write_text(folder / "tables.txt", tables(r), write);
  write_png(folder / "montage.png", montage(r.pictures, r.picture_columns, r.captions), write);
}

}  // namespace braing3n::inline BRAING3N_ABI::study
