// How programs that sample go from noise to data.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "braing3n/data/guidance_scales.hpp"
#include "braing3n/sample/generate.hpp"
#include "examples/support/program.hpp"

namespace braing3n::examples {

struct SamplerArguments {
  Index steps = 50;
  double shift = 1;
  std::string sampler = "euler";

  void add_to(CLI::App& app) {
    app.add_option("--steps", steps, "steps from noise to data");
    app.add_option("--shift", shift, "of the steps: above 1 they are shorter near the noise");
    app.add_option("--sampler", sampler, "euler, or heun with two evaluations a step")
        ->check(CLI::IsMember({"euler", "heun"}));
  }
  /// Throws Error (argument) unless there are 1 to 100,000 steps.
  SamplingOptions options(const Guidance& guidance = {}) const {
    if (steps < 1 || steps > 100000)
      fail(ErrorKind::argument, "sample.steps", "--steps ", steps, ": expected 1 to 100000");
    SamplingOptions o;
    o.sampler = sampler == "heun" ? Sampler::heun : Sampler::euler;
    o.steps = static_cast<int>(steps);
    o.shift = shift;
    o.guidance = guidance;
    (void)TimeGrid(o.steps, o.shift);  // says what is wrong with it before anything is loaded
    return o;
  }
};

/// The guidance of `cfg` ("2", or "disease=1.5,age=2") between the times of `interval` ("LOW,HIGH"). Throws Error (argument).
inline Guidance parse_guidance(const std::string& cfg, const std::optional<std::string>& interval,
                               const std::vector<ConditionField>& fields) {
  Guidance g;
  const auto number = [](const std::string& what, const std::string& text) {
    const auto value = braing3n::detail::parse_label_number(text);
    if (!value)
      fail(ErrorKind::argument, "guidance.scale", what, ' ', in_quotes(text, 60), ": expected a finite number");
    return *value;
  };
  if (cfg.find('=') == std::string::npos) {
    g.scale = number("--cfg", cfg);
  } else {
    g.composed = parse_scales("--cfg", cfg, fields);
  }
  if (interval) {
    const std::size_t comma = interval->find(',');
    if (comma == std::string::npos)
      fail(ErrorKind::argument, "guidance.interval", "--cfg-interval ", in_quotes(*interval, 60),
           ": expected LOW,HIGH");
    g.low = number("--cfg-interval", interval->substr(0, comma));
    g.high = number("--cfg-interval", interval->substr(comma + 1));
  }
  g.validate(fields);
  return g;
}

}  // namespace braing3n::examples
