// Options of studies are written as JSON and read again: a run can be said in a file.
#include "braing3n/study/controllability_result.hpp"
#include "braing3n/study/fidelity_result.hpp"
#include "braing3n/study/memorisation_result.hpp"
#include "braing3n/study/reconstruction_result.hpp"
#include "tests/support/check.hpp"

using namespace braing3n;

namespace {

/// The fields of `changed` that its JSON gives back to options that had none of them; how many differ from the defaults.
template <class Options>
std::size_t given_back(const Options& changed) {
  const Json json = json_from(changed), defaults = json_from(Options{});
  Options back;
  json_into(json, back, "options");
  CHECK(json_from(back) == json);
  std::size_t differ = 0;
  for (const auto& [name, value] : json.items()) differ += value != defaults[name];
  return differ;
}

}  // namespace

TEST_CASE("options of studies survive JSON") {
  study::ControllabilityOptions c;
  c.model = "dit", c.cohort.data = "volumes.csv", c.contrasts = {"sex"}, c.guidance = {1, 2},
  c.probe_kinds = {"tokens"};
  c.n = 7, c.seed = 3, c.half = "first";
  CHECK(given_back(c) == 8);
  study::FidelityOptions f;
  f.tokenizer = "tok", f.cohort.split = "split.csv", f.conditions = {"sex"}, f.samples = 5, f.frechet = 11;
  f.sampling.guidance.scale = 2.5;
  CHECK(given_back(f) == 6);
  study::MemorisationOptions m;
  m.latents = "z", m.samples = "folder", m.plant = 4, m.plant_noise = 0.5, m.sampling.steps = 9;
  CHECK(given_back(m) == 5);
  study::ReconstructionOptions r;
  r.tokenizer = "tok", r.beside = {{"other", "b"}}, r.cohort.missing = {"-999"}, r.pictures = 2;
  CHECK(given_back(r) == 4);
}
