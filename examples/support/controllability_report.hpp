// How `evaluate controllability` tells its scores: JSON, CSV, tables.
#pragma once

#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/format/csv.hpp"
#include "braing3n/format/json.hpp"
#include "braing3n/report/table.hpp"
#include "examples/support/controllability_scores.hpp"

namespace braing3n::examples::detail {

inline std::string interval_of(const std::array<double, 2>& i) {
  return std::isfinite(i[0]) ? concat(decimals(i[0], 2), " to ", decimals(i[1], 2)) : "-";
}

inline Json rate_json(const Rate& r) {
  return {{"share", r.share()}, {"low", r.interval()[0]}, {"high", r.interval()[1]}, {"n", r.n}};
}
inline Json class_json(const ClassScore& s, const std::vector<std::string>& names) {
  Json json = {{"balanced_accuracy", s.balanced_accuracy()},
               {"low", s.interval()[0]},
               {"high", s.interval()[1]},
               {"recall", Json::object()}};
  for (std::size_t k = 0; k < names.size(); ++k) json["recall"][names[k]] = rate_json(s.recall[k]);
  return json;
}
inline Json number_json(const NumberScore& s) {
  return {{"n", s.n},     {"r", s.r},       {"slope", s.slope}, {"bias", s.bias},
          {"mae", s.mae}, {"mean", s.mean}, {"sd", s.deviation}};
}

/// The rows of controllability.csv: reader, contrast, of (scans, samples, ...), guidance, measure, class, n, value, interval.
class ControllabilityCsv {
 public:
  ControllabilityCsv(const std::filesystem::path& path, const WriteOptions& write)
      : csv_(path, {"reader", "contrast", "of", "cfg", "measure", "class", "n", "value", "low", "high"}, write) {}

  void classes(const std::string& reader, const Contrast& c, const std::string& of, const std::optional<double>& cfg,
               const ClassScore& s) {
    Index n = 0;
    for (const Rate& r : s.recall) n += r.n;
    put(reader, c.name, of, cfg, "balanced_accuracy", "", n, s.balanced_accuracy(), s.interval());
    for (std::size_t k = 0; k < c.classes.size(); ++k)
      put(reader, c.name, of, cfg, "recall", c.classes[k], s.recall[k].n, s.recall[k].share(), s.recall[k].interval());
  }
  void shares(const std::string& reader, const Contrast& c, const std::string& of, const std::vector<Rate>& rates) {
    for (std::size_t k = 0; k < rates.size(); ++k)
      put(reader, c.name, of, {}, "share", c.classes[k], rates[k].n, rates[k].share(), rates[k].interval());
  }
  void prior(const std::string& reader, const Contrast& c, const std::vector<double>& shares) {
    for (std::size_t k = 0; k < shares.size(); ++k)
      put(reader, c.name, "prior", {}, "share", c.classes[k], 0, shares[k], {not_a_number, not_a_number});
  }
  void number(const std::string& reader, const Contrast& c, const std::string& of, const std::optional<double>& cfg,
              const NumberScore& s) {
    for (const auto& [measure, value] :
         {std::pair{"r", s.r}, std::pair{"slope", s.slope}, std::pair{"bias", s.bias}, std::pair{"mae", s.mae},
          std::pair{"mean", s.mean}, std::pair{"sd", s.deviation}})
      if (std::isfinite(value)) put(reader, c.name, of, cfg, measure, "", s.n, value, {not_a_number, not_a_number});
  }
  void finish() { csv_.finish(); }

 private:
  void put(const std::string& reader, const std::string& contrast, const std::string& of,
           const std::optional<double>& cfg, const std::string& measure, const std::string& name, Index n, double value,
           const std::array<double, 2>& interval) {
    const auto known = [](double v) { return std::isfinite(v) ? std::optional<double>(v) : std::nullopt; };
    csv_.row(reader, contrast, of, cfg, measure, name, n > 0 ? std::optional<Index>(n) : std::nullopt, known(value),
             known(interval[0]), known(interval[1]));
  }
  CsvWriter csv_;
};

/// "M 0.48 (0.40 to 0.56)" of the second of two classes; all shares of more.
inline std::string share_text(const std::vector<Rate>& rates, const std::vector<std::string>& names) {
  if (rates.size() == 2)
    return rates[1].n > 0
               ? concat(names[1], ' ', decimals(rates[1].share(), 2), " (", interval_of(rates[1].interval()), ")")
               : "-";
  std::string all;
  for (std::size_t k = 0; k < rates.size(); ++k)
    all += concat(k > 0 ? ", " : "", names[k], ' ', decimals(rates[k].share(), 2));
  return all.empty() ? "-" : all;
}
inline std::string prior_text(const std::vector<double>& shares, const std::vector<std::string>& names) {
  if (shares.size() == 2) return concat(names[1], ' ', decimals(shares[1], 2));
  std::string all;
  for (std::size_t k = 0; k < shares.size(); ++k)
    all += concat(k > 0 ? ", " : "", names[k], ' ', decimals(shares[k], 2));
  return all;
}

inline void print_scores(std::ostream& out, const std::vector<Contrast>& contrasts,
                         const std::vector<ContrastScores>& scores, std::size_t scale, bool decoded) {
  Table classes({"", "Real", decoded ? "round trip" : "", "Cond", "95 %", "of ceiling", "each class", "Null", "Prior",
                 "everybody"});
  Table numbers({"", "r: real", decoded ? "round trip" : "", "Cond", "slope: real", decoded ? "round trip" : "", "Cond",
                 "bias: real", decoded ? "round trip" : "", "Cond", "MAE", "Null", "Prior"});
  for (std::size_t k = 0; k < contrasts.size(); ++k) {
    const Contrast& c = contrasts[k];
    const ContrastScores& s = scores[k];
    if (c.classes.empty()) {
      const NumberScore &real = s.real_number, &trip = s.ceiling_number, &asked = s.asked_number[scale];
      if (real.n == 0) continue;
      const auto trips = [&](double v, int digits) { return decoded ? decimals(v, digits) : std::string(); };
      numbers.row(c.name, decimals(real.r), trips(trip.r, 3), decimals(asked.r), decimals(real.slope, 2),
                  trips(trip.slope, 2), decimals(asked.slope, 2), decimals(real.bias, 1), trips(trip.bias, 1),
                  decimals(asked.bias, 1), decimals(asked.mae, 1),
                  concat(decimals(s.null_number.mean, 1), " +- ", decimals(s.null_number.deviation, 1)),
                  concat(decimals(s.prior_number[0], 1), " +- ", decimals(s.prior_number[1], 1)));
      continue;
    }
    const double ceiling = s.ceiling.balanced_accuracy(), asked = s.asked[scale].balanced_accuracy();
    if (!std::isfinite(asked)) continue;
    std::string each;
    for (std::size_t i = 0; i < c.classes.size(); ++i)
      each += concat(i > 0 ? ", " : "", c.classes[i], ' ', decimals(s.asked[scale].recall[i].share(), 2));
    classes.row(c.name, decimals(s.real.balanced_accuracy()), decoded ? decimals(ceiling) : "", decimals(asked),
                interval_of(s.asked[scale].interval()), decimals(asked / ceiling, 2), each,
                c.of_groups ? "-" : share_text(s.null, c.classes), prior_text(s.prior, c.classes),
                c.of_groups ? "-" : share_text(s.everybody, c.classes));
  }
  if (!classes.empty()) classes.print(out);
  if (!classes.empty() && !numbers.empty()) out << '\n';
  if (!numbers.empty()) numbers.print(out);
}

}  // namespace braing3n::examples::detail
