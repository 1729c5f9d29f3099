// The options of the sampler.
#pragma once

#include <string>

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
    (void)TimeGrid(o.steps, o.shift);  // checks it before anything is loaded
    return o;
  }
};

}  // namespace braing3n::examples
