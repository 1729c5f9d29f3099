// The log of a run: one JSON object per line, and the curves drawn from them.
//
//   {"event":"step","step":120,"loss":0.41,"lr":0.0009,"gradient_norm":1.3}
//   {"event":"validation","step":120,"loss":0.44,"best":true}
// A run that resumes from step s keeps the lines up to s and goes on behind them, so the file reads as if nothing had happened.
#pragma once

#include <fstream>
#include <string>
#include <vector>

#include "braing3n/format/atomic_file.hpp"
#include "braing3n/format/json.hpp"
#include "braing3n/report/curves.hpp"
#include "braing3n/train/trainer.hpp"

namespace braing3n::inline BRAING3N_ABI {

class TrainingLog {
 public:
  /// Takes over the lines of `path` up to step `resume_from` (0: begins anew). Throws Error (file, environment).
  TrainingLog(const std::filesystem::path& path, Index resume_from) : path_(path) {
    std::string kept;
    if (resume_from > 0) {
      std::ifstream in(path);
      for (std::string line; std::getline(in, line);) {
        try {
          const Json json = parse_json(line, path.string());
          if (!json.is_object() || json.value("step", Index{0}) > resume_from) continue;
          take(json);
          kept += line + "\n";
        } catch (const std::exception&) {
          continue;  // an unfinished line of a killed program, or a foreign one
        }
      }
    }
    AtomicFile file(path, {.overwrite = true});
    file.write(kept);
    file.commit();
    out_.open(path, std::ios::app);
    if (!out_) throw Error(ErrorKind::file, "training_log.open", "cannot open the log for appending", path.string());
  }

  void step(const StepReport& r) {
    write({{"event", "step"}, {"step", r.step}, {"loss", r.loss}, {"lr", r.lr}, {"gradient_norm", r.gradient_norm}});
  }
  void validation(Index step, double loss, bool best) {
    write(
        {{"event", "validation"}, {"step", step}, {"loss", std::isfinite(loss) ? Json(loss) : Json()}, {"best", best}});
  }

  const std::vector<Curve>& curves() const { return curves_; }
  /// Writes the curves as an SVG file.
  void draw(const std::filesystem::path& path, const std::string& title) const {
    AtomicFile file(path, {.overwrite = true, .durable = false});
    file.write(curve_chart(title, curves_).svg_file());
    file.commit();
  }

 private:
  void take(const Json& json) {
    const std::string event = json.value("event", std::string());
    const auto loss = json.find("loss");
    if ((event != "step" && event != "validation") || loss == json.end() || !loss->is_number()) return;
    curves_[event == "step" ? 0 : 1].points.push_back(
        {static_cast<double>(json.at("step").get<Index>()), loss->get<double>()});
  }
  void write(const Json& json) {
    take(json);
    out_ << json.dump() << std::endl;
    if (!out_) throw Error(ErrorKind::environment, "training_log.write", "cannot write the log", path_.string());
  }

  std::filesystem::path path_;
  std::ofstream out_;
  std::vector<Curve> curves_ = {{"training", series_colour(5), {}}, {"validation", series_colour(1), {}}};
};

}  // namespace braing3n::inline BRAING3N_ABI
