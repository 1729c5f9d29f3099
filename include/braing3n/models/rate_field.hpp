// A field of rates in years: how a subject's latents change at an age, wherever the subject is.
//
//   dz/da = (linear(b, a, c) + network(z, a, c; b)) / unit
//
// a is the age, c the conditions, b the baseline from which a forecast started; unit is 5 years, so that what is learnt has the size of the
// latents' own spread. The field knows no horizon: integrated over dt from the baseline (sample/years.hpp) it gives the follow-up at any
// dt, exactly the baseline at dt = 0, and f(dt1 + dt2) = f(dt2) after f(dt1) but for what the baseline as an input changes. The linear part is a ridge
// regression of rates (models/linear_rate.hpp), fitted before the first step; the network starts at exactly 0 and adds to it. The linear part sees the
// baseline instead of z: a rate that grows with what it has changed makes errors grow exponentially.
// Velocities in real time instead of a unit interval: delta-LFM (arXiv 2512.09185).
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "braing3n/models/dit3d.hpp"
#include "braing3n/models/linear_rate.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct RateFieldConfig {
  Dit3dConfig network = free_network();  // its time is the age; context_channels = channels
  Index rank = 96;                       // directions that the linear part sees; 0: the network alone
  double unit_years = 5;

  static void visit(auto& self, auto&& v) {
    v("network", self.network);
    v("rank", self.rank);
    v("unit_years", self.unit_years);
  }

  /// Without channels and grid (those of the latents), and with diagnosis and sex.
  static Dit3dConfig free_network() {
    Dit3dConfig c;
    c.channels = 0;
    c.grid = {0, 0, 0};
    // Member by member: nvcc 13 cannot read lists of designated ones in a default argument.
    ConditionField disease;
    ConditionField sex;
    disease.name = "disease";
    sex.name = "sex";
    sex.values = enum_names<Sex>();
    c.conditions = {disease, sex};
    return c;
  }

  void validate() const {
    network.validate();
    const Index width = network.channels * volume_of(network.grid);
    if (network.context_channels != network.channels)
      fail(ErrorKind::config, "rate_field.context", "rate field: expected a context of ", network.channels,
           " channels, those of the baseline, got ", network.context_channels);
    if (network.gaussian_rank != 0 || network.outputs != 1)
      fail(ErrorKind::config, "rate_field.network",
           "rate field: expected a network without a normal distribution and with one output, got ",
           network.gaussian_rank, " directions and ", network.outputs, " outputs");
    if (rank < 0 || rank > width)
      fail(ErrorKind::config, "rate_field.rank", "rate field: expected 0 to ", width, " directions, got ", rank);
    if (!(unit_years > 0) || std::isinf(unit_years))
      fail(ErrorKind::config, "rate_field.unit", "rate field: expected a positive number of years, got ", unit_years);
    for (const ConditionField& f : network.conditions)
      if (f.name == "age" || f.name == "years")
        fail(ErrorKind::config, "rate_field.conditions", "rate field: ", f.name,
             " cannot be a condition, because the age is the field's time");
  }
};

template <Backend B, Precision P>
struct RateField3d {
  using T = typename P::Compute;
  using Act = Var<T, B>;

  RateFieldConfig config;
  Dit3d<B, P> network;
  LinearRate<B, P> linear;  // absent with rank 0
  std::string path;

  RateField3d() = default;
  RateField3d(Context<B>& context, const RateFieldConfig& c);

  /// z (N, L, C) at ages (N), in years, under the conditions, with the baseline (N, L, C) -> change in `unit_years` years (N, L, C).
  Act operator()(Pass<B>& pass, const Act& z, const std::vector<double>& ages, const ConditionBatch& conditions,
                 const Act& baseline) const;

  static void visit(auto& self, auto&& v) {
    v("network", self.network);
    if (self.linear.exists()) v("linear", self.linear);
  }
};

template <Backend B, Precision P>
RateField3d<B, P>::RateField3d(Context<B>& context, const RateFieldConfig& c) : config(c) {
  c.validate();
  network = Dit3d<B, P>(context, c.network);
  if (c.rank > 0)
    linear = LinearRate<B, P>(context, c.network.channels * volume_of(c.network.grid), c.rank,
                              rate_feature_count(c.network.conditions));
}

template <Backend B, Precision P>
auto RateField3d<B, P>::operator()(Pass<B>& pass, const Act& z, const std::vector<double>& ages,
                                   const ConditionBatch& conditions, const Act& baseline) const -> Act {
  return pass.at(path, [&] {
    std::vector<double> time(ages);
    for (double& t : time) {
      if (!std::isfinite(t))
        fail(ErrorKind::argument, "rate_field.age", "rate field: expected an age in years, got ", t);
      t /= 100;
    }
    Act change = network(pass, z, time, conditions, baseline);
    return linear.exists()
               ? add(change, linear(pass, baseline, rate_features(config.network.conditions, conditions, ages)))
               : change;
  });
}

BRAING3N_COMPILED_LAYER(RateField3d)

}  // namespace braing3n::inline BRAING3N_ABI
