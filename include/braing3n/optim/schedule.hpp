// Learning rate as a function of the step: constant, or linear warm-up followed by half a cosine (Loshchilov and Hutter,
// arXiv 1608.03983), per iteration.
//
// For step s = 0, 1, ..., W warm-up steps and S steps in all:
//   s < W    lr (s + 1) / W, or lr s / W with warmup_from_zero (facebookresearch/mae: the first step then does nothing)
//   s >= W   min_lr + (lr - min_lr) (1 + cos(pi (s - W) / (S - W))) / 2;  min_lr from step S on
#pragma once

#include <cmath>
#include <cstdint>

#include "braing3n/base/error.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct ScheduleOptions {
  double lr = 1e-4;
  double min_lr = 0;
  std::int64_t warmup_steps = 0;
  std::int64_t steps = 0;  // 0: constant after the warm-up
  bool warmup_from_zero = false;

  static void visit(auto& self, auto&& v) {
    v("lr", self.lr);
    v("min_lr", self.min_lr);
    v("warmup_steps", self.warmup_steps);
    v("steps", self.steps);
    v("warmup_from_zero", self.warmup_from_zero);
  }
};

class Schedule {
 public:
  /// Throws Error (config) for rates that are not finite, min_lr > lr, or a warm-up longer than the schedule.
  explicit Schedule(const ScheduleOptions& options) : o_(options) {
    if (!(std::isfinite(o_.lr) && o_.lr >= 0 && o_.min_lr >= 0 && o_.min_lr <= o_.lr))
      fail(ErrorKind::config, "schedule.lr", "schedule: expected 0 <= min_lr <= lr, got min_lr ", o_.min_lr, " and lr ",
           o_.lr);
    if (o_.warmup_steps < 0 || o_.steps < 0 || (o_.steps > 0 && o_.warmup_steps > o_.steps))
      fail(ErrorKind::config, "schedule.steps", "schedule: expected at most as many warm-up steps as steps, got ",
           o_.warmup_steps, " warm-up steps of ", o_.steps);
  }

  /// Learning rate of step `step`, counted from 0.
  double at(std::int64_t step) const {
    if (step < 0) fail(ErrorKind::argument, "schedule.step", "schedule: expected a step of at least 0, got ", step);
    const double s = static_cast<double>(step), warmup = static_cast<double>(o_.warmup_steps);
    if (step < o_.warmup_steps) return o_.lr * (o_.warmup_from_zero ? s : s + 1) / warmup;
    if (o_.steps == 0) return o_.lr;
    if (step >= o_.steps) return o_.min_lr;
    const double progress = (s - warmup) / (static_cast<double>(o_.steps) - warmup);
    return o_.min_lr + (o_.lr - o_.min_lr) * 0.5 * (1.0 + std::cos(3.14159265358979323846 * progress));
  }

  const ScheduleOptions& options() const { return o_; }

 private:
  ScheduleOptions o_;
};

}  // namespace braing3n::inline BRAING3N_ABI
