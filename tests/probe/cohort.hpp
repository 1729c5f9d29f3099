// A small cohort with something to find, for the tests of panels and saved probes.
#pragma once

#include <string>
#include <vector>

#include "braing3n/probe/panel.hpp"
#include "tests/support/check.hpp"

namespace braing3n::test {

/// 240 scans of 120 people at 3 sites; sex and age can be read from the features, "random" cannot.
struct Cohort {
  Context<Cpu>& ctx;
  Index n = 240, d = 20;
  Tensor<float, Cpu> x;
  std::vector<std::string> ids;
  std::vector<std::int32_t> subject, site;
  explicit Cohort(Context<Cpu>& c) : ctx(c), x(random<float>(c, {240, 20}, 40)) {
    for (Index i = 0; i < n; ++i) {
      ids.push_back(concat("v", i));
      subject.push_back(static_cast<std::int32_t>(i / 2));
      site.push_back(static_cast<std::int32_t>(i / 2 % 3));
    }
  }
  FeatureView<float> view() const { return {x.data(), n, d}; }
  ResolvedTask binary(const std::string& name, const std::vector<std::int32_t>& label) const {
    ResolvedTask t;
    t.task.text = t.task.column = name;
    t.classification = true;
    t.classes = {"a", "b"};
    t.label = label;
    return t;
  }
  /// One value per person, from feature 0 of the first scan.
  std::vector<std::int32_t> readable() const {
    std::vector<std::int32_t> y;
    for (Index i = 0; i < n; ++i) y.push_back(x.data()[i / 2 * 2 * d] > 0);
    return y;
  }
};

inline PanelOptions quick() {
  PanelOptions o;
  o.uncertainty = {.replicates = 100, .permutations = 99};
  return o;
}

}  // namespace braing3n::test
