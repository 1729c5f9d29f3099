// The result of the study of forecasts as tables, CSV, JSON and a picture.
#pragma once

#include <algorithm>
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
#include "braing3n/study/forecasting_result.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

/// The rows of forecasting.csv: a row for each score that is defined.
class ForecastingCsv {
 public:
  /// Throws Error (file).
  ForecastingCsv(const std::filesystem::path& path, const WriteOptions& write)
      : csv_(path,
             {"forecaster", "kind", "quantity", "unit", "band", "pairs", "subjects", "missing", "score", "value", "low",
              "high"},
             write) {}

  void forecaster(const ForecasterResult& f, const std::vector<ForecastQuantity>& quantities) {
    forecaster_ = &f;
    for (const auto& [name, scores] : f.quantities) {
      place(name, "");
      for (const ForecastQuantity& q : quantities)
        if (q.name == name) unit_ = q.unit;
      quantity(scores);
    }
    place("image", "");
    if (f.images) {
      means("psnr", f.images->psnr);
      means("psnr_over_locf", f.images->over_locf);
      means("ssim", f.images->ssim);
    }
    place("latents", "");
    if (f.checks)
      ConsistencyChecks::visit(*f.checks, [&](const char* name, double value) { put("all", {}, name, {value}); });
  }
  void finish() { csv_.finish(); }

 private:
  struct Counts {
    std::optional<Index> pairs{}, subjects{}, missing{};
  };

  void place(const std::string& quantity, const std::string& unit) { quantity_ = quantity, unit_ = unit; }
  void quantity(const QuantityScores& s) {
    for (const BandScores& b : s.bands)
      BandScores::visit_scores(
          b, [&](const char* name, const Estimate& e) { put(b.band, {b.pairs, b.subjects, b.missing}, name, e); });
    if (s.intervals)
      put("all", {s.intervals->pairs, s.intervals->subjects, {}}, "interval_factor", {s.intervals->factor});
    if (s.growth) {
      const GrowthRatio& g = *s.growth;
      put("all", {g.over.pairs, g.over.subjects, {}}, "growth_over", g.over.yearly);
      put("all", {g.under.pairs, g.under.subjects, {}}, "growth_under", g.under.yearly);
      put("all", {g.over.pairs + g.under.pairs, g.over.subjects + g.under.subjects, g.missing}, "growth_ratio",
          g.ratio);
    }
    if (s.asked) {
      put("all", {s.asked->pairs, s.asked->subjects, s.asked->missing}, "asked_growth", s.asked->yearly);
      put("all", {s.asked->pairs, s.asked->subjects, s.asked->missing}, "asked_share", s.asked->share);
    }
  }
  void means(const char* score, const std::vector<BandMean>& bands) {
    for (const BandMean& b : bands) put(b.band, {b.pairs, b.subjects, b.missing}, score, b.mean);
  }
  void put(const std::string& band, const Counts& n, const char* score, const Estimate& e) {
    if (!std::isfinite(e.value)) return;
    const auto known = [](double v) { return std::isfinite(v) ? std::optional<double>(v) : std::nullopt; };
    csv_.row(forecaster_->name, enum_name(forecaster_->kind), quantity_, unit_, band, n.pairs, n.subjects, n.missing,
             score, e.value, known(e.low), known(e.high));
  }

  CsvWriter csv_;
  const ForecasterResult* forecaster_ = nullptr;
  std::string quantity_, unit_;
};

inline void print_run(std::ostream& out, const ForecastingResult& r) {
  out << r.pairs << " pairs of visits of " << r.subjects << " unseen subjects of the set " << in_quotes(r.options.test)
      << "; rules fitted on " << r.training_pairs << " pairs of the set " << in_quotes(r.options.train)
      << ", intervals for " << decimals(100 * r.options.coverage, 0) << " % scaled on " << r.validation_subjects
      << " subjects of the set " << in_quotes(r.options.validation);
  if (!r.distribution.empty()) out << "; phantoms of the distribution " << r.distribution;
  out << '\n';
  for (const std::string& note : r.notes) out << note << '\n';
  out << '\n';
  Table table({"forecaster", "kind", ""});
  for (const ForecasterResult& f : r.forecasters) table.row(f.name, enum_name(f.kind), f.text);
  table.print(out);
  out << "\nHorizons of a band: above the first limit, up to the second. true on forecast: slope of the true change on "
         "the forecast one, 1 for forecasts of the right size. on years: slope of the\nforecast change on the "
         "horizon, with its share of that of the ceiling (second visits after a round trip). skill: 1 - squared "
         "error over that of the last value (LOCF), of the mean rate; relative error:\nsum of errors over sum of "
         "changes; each with its share of that of the oracle, which knows all that a baseline could tell. In brackets: "
      << decimals(100 * r.options.scores.bootstrap.coverage, 0) << " % intervals over subjects.\n";
}

/// All forecasters on one quantity in one band.
inline void print_band(std::ostream& out, const ForecastingResult& r, const ForecastQuantity& quantity,
                       const std::string& band) {
  const BandScores *oracle = band_of(r, ForecasterKind::oracle, quantity.name, band),
                   *ceiling = band_of(r, ForecasterKind::ceiling, quantity.name, band);
  Table table({"", "pairs", "MAE", "bias", "true on forecast", "on years", "of ceiling", "r", "of oracle", "r, years",
               "skill: LOCF", "of oracle", "skill: mean rate", "of oracle", "relative error", "of oracle", "coverage",
               "width"});
  std::vector<std::pair<std::string, std::string>> notes;  // forecaster, sentence
  for (const ForecasterResult& f : r.forecasters) {
    const BandScores* s = band_of(f, quantity.name, band);
    if (s == nullptr) continue;
    if (!s->note.empty()) notes.emplace_back(f.name, s->note);
    if (s->missing > 0) notes.emplace_back(f.name, concat(s->missing, " pairs without a value"));
    if (!s->note.empty()) continue;
    const auto share = [&](Estimate BandScores::* field, const BandScores* of) {
      return decimals(share_of((s->*field).value, of, field), 2);
    };
    using B = BandScores;
    table.row(f.name, s->pairs, decimals(s->mae.value, 2), decimals(s->bias.value, 2),
              estimate_text(s->slope_true_on_forecast), decimals(s->slope_on_years.value, 3),
              share(&B::slope_on_years, ceiling), decimals(s->r.value, 3), share(&B::r, oracle),
              decimals(s->r_years.value, 3), decimals(s->skill_locf.value, 3), share(&B::skill_locf, oracle),
              estimate_text(s->skill_reference, 3), share(&B::skill_reference, oracle),
              decimals(s->relative_error.value, 3), share(&B::relative_error, oracle), estimate_text(s->coverage, 3),
              decimals(s->width.value, 2));
  }
  if (table.empty() && notes.empty()) return;
  out << '\n'
      << quantity.name << " (" << quantity.unit << "), " << (band == "all" ? "all horizons" : band + " years")
      << "\n\n";
  if (!table.empty()) table.print(out);
  const bool same = std::all_of(notes.begin(), notes.end(), [&](const auto& n) { return n.second == notes[0].second; });
  if (table.empty() && same) notes = {{"no scores", notes[0].second}};
  for (const auto& [name, sentence] : notes) out << name << ": " << sentence << '\n';
}

/// How fast each forecaster makes the two diagnoses grow.
inline void print_growth(std::ostream& out, const ForecastingResult& r) {
  const std::string &over = r.options.over, &under = r.options.under;
  Table table({"", "", over + " a year", under + " a year", over + " : " + under, "asked for " + over,
               "of the true difference", ""});
  for (const ForecastQuantity& q : r.quantities)
    for (const ForecasterResult& f : r.forecasters)
      for (const auto& [name, s] : f.quantities) {
        if (name != q.name || (!s.growth && !s.asked)) continue;
        const GrowthRatio g = s.growth.value_or(GrowthRatio{});
        const AskedEffect a = s.asked.value_or(AskedEffect{});
        table.row(q.name, f.name, decimals(g.over.yearly.value, 4), decimals(g.under.yearly.value, 4),
                  estimate_text(g.ratio), s.asked ? decimals(a.yearly.value, 4) : "-",
                  s.asked ? estimate_text(a.share) : "-", g.note.empty() ? a.note : g.note);
      }
  if (table.empty()) return;
  out << "\nGrowth: " << over << " over " << under << ". asked for " << over
      << ": by how much a forecast of subjects with " << under << " grows faster when " << over << " is requested\n\n";
  table.print(out);
}

inline void print_images(std::ostream& out, const ForecastingResult& r) {
  Table table({"", "years", "pairs", "PSNR", "over LOCF", "SSIM"});
  for (const ForecasterResult& f : r.forecasters) {
    if (!f.images) continue;
    for (std::size_t b = 0; b < f.images->psnr.size(); ++b) {
      const BandMean &psnr = f.images->psnr[b], &over = f.images->over_locf[b], &ssim = f.images->ssim[b];
      if (psnr.note.empty())
        table.row(f.name, psnr.band, psnr.pairs, decimals(psnr.mean.value, 2), estimate_text(over.mean),
                  decimals(ssim.mean.value, 4));
    }
  }
  if (table.empty()) return;
  out << "\nImages against the round trips of second visits, means over pairs\n\n";
  table.print(out);
}

inline void print_checks(std::ostream& out, const ForecastingResult& r) {
  Table table({"", "difference at 0 years", "2 + 3 years against 5", "there and back"});
  const auto percent = [](double share) { return std::isfinite(share) ? decimals(100 * share, 1) + " %" : "-"; };
  for (const ForecasterResult& f : r.forecasters)
    if (f.checks)
      table.row(f.name, std::isfinite(f.checks->identity) ? significant(f.checks->identity) : "-",
                percent(f.checks->composed), percent(f.checks->returned));
  if (table.empty()) return;
  out << "\nConsistency of forecasts; shares of the change of the latents\n\n";
  table.print(out);
}

/// All tables, as a terminal shows them: quantity by quantity, all horizons first.
inline std::string tables(const ForecastingResult& r) {
  std::ostringstream out;
  print_run(out, r);
  std::vector<HorizonBand> bands = horizon_bands(r.options.scores.limits);
  std::rotate(bands.begin(), bands.end() - 1, bands.end());
  for (const ForecastQuantity& q : r.quantities)
    for (const HorizonBand& band : bands) print_band(out, r, q, band.name);
  print_growth(out, r);
  print_images(out, r);
  print_checks(out, r);
  return out.str();
}

/// forecasting.csv, forecasting.json, tables.txt, readings.json (for forecasts of scans) and, with pictures, montage.png. The folder is made where it is missing. Throws Error
/// (environment, file).
inline void write_results(const std::filesystem::path& folder, const ForecastingResult& r, const WriteOptions& write) {
  make_folder(folder);
  ForecastingCsv csv(folder / "forecasting.csv", write);
  for (const ForecasterResult& f : r.forecasters) csv.forecaster(f, r.quantities);
  csv.finish();
  write_text(folder / "forecasting.json", result_json(r).dump(2) + "\n", write);
  write_text(folder / "tables.txt", tables(r), write);
  if (r.readings) write_text(folder / "readings.json", json_text(*r.readings) + "\n", write);
  if (!r.pictures.empty()) write_png(folder / "montage.png", montage(r.pictures, 1, r.captions), write);
}

}  // namespace braing3n::inline BRAING3N_ABI::study
