// The options of a run: all that shapes the result, in one struct that is stored with it.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>

#include "braing3n/data/augment.hpp"
#include "braing3n/optim/adamw.hpp"
#include "braing3n/optim/ema.hpp"
#include "braing3n/optim/schedule.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct TrainingOptions {
  Index steps = 0;  // optimiser steps; 0: `epochs` passes over the training scans
  Index epochs = 100;
  Index batch = 1;       // scans that go through the model together
  Index accumulate = 1;  // batches whose gradients are averaged in one step
  double lr = 1e-4, min_lr = 0;
  double warmup = 0.05;  // share of the steps
  AdamWOptions adamw{};
  std::optional<double> clip = 1.0;  // largest norm of the whole gradient
  std::optional<EmaOptions> ema{};   // the model that is validated and kept is then the average
  bool recompute_blocks = false;     // activation checkpointing: less memory, a third more time
  Index validate_every = 0;          // steps; 0: once per epoch
  Index patience = 0;                // validations without a better one after which the training ends; 0: never
  AugmentOptions augment{};

  static void visit(auto& self, auto&& v) {
    v("steps", self.steps);
    v("epochs", self.epochs);
    v("batch", self.batch);
    v("accumulate", self.accumulate);
    v("lr", self.lr);
    v("min_lr", self.min_lr);
    v("warmup", self.warmup);
    v("adamw", self.adamw);
    v("clip", self.clip);
    v("ema", self.ema);
    v("recompute_blocks", self.recompute_blocks);
    v("validate_every", self.validate_every);
    v("patience", self.patience);
    v("augment", self.augment);
  }

  /// The paper's training of a transformer on latents.
  static TrainingOptions paper_latents() {
    return {.epochs = 1100,
            .batch = 28,
            .lr = 5e-5,
            .clip = 0.5,
            .ema = EmaOptions{.decay = 0.9999, .warmup = true},
            .recompute_blocks = true};
  }
  /// For transformers on latents of 80 to 200 tokens, in minutes.
  static TrainingOptions small_latents() {
    return {.steps = 2000,
            .batch = 32,
            .lr = 1e-3,
            .clip = 1.0,
            .ema = EmaOptions{.decay = 0.9999, .warmup = true},
            .validate_every = 100};
  }

  /// Steps and validations as numbers of steps, for so many training scans. Throws Error (config) for values out of range.
  TrainingOptions resolved(Index scans) const {
    const auto require = [](bool good, const char* field, double value) {
      if (!good)
        fail(ErrorKind::config, "training.options", "training: ", field, " is ", value, ", which is out of range");
    };
    require(steps >= 0, "steps", static_cast<double>(steps));
    require(steps > 0 || epochs >= 1, "epochs", static_cast<double>(epochs));
    require(batch >= 1, "batch", static_cast<double>(batch));
    require(accumulate >= 1, "accumulate", static_cast<double>(accumulate));
    require(warmup >= 0 && warmup <= 1, "warmup", warmup);
    require(validate_every >= 0, "validate_every", static_cast<double>(validate_every));
    require(patience >= 0, "patience", static_cast<double>(patience));
    require(augment.shift >= 0, "augment.shift", static_cast<double>(augment.shift));
    require(augment.intensity >= 0 && augment.intensity < 1, "augment.intensity", augment.intensity);
    TrainingOptions o = *this;
    const Index epoch = std::max<Index>(1, scans / (batch * accumulate));
    if (o.steps == 0) o.steps = epochs * epoch;
    if (o.validate_every == 0) o.validate_every = epoch;
    (void)Schedule(o.schedule());
    return o;
  }

  /// Of resolved options.
  ScheduleOptions schedule() const {
    return {.lr = lr,
            .min_lr = min_lr,
            .warmup_steps = static_cast<std::int64_t>(std::llround(warmup * static_cast<double>(steps))),
            .steps = steps};
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
