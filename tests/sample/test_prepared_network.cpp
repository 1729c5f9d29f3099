#include "tests/support/check.hpp"

#include "braing3n/sample/euler.hpp"
#include "braing3n/sample/prepared_network.hpp"

using namespace braing3n;

namespace {

/// Says how it was called: the velocity is t, or 100 + t where that was prepared.
struct Recorder {
  using T = double;
  struct Step {
    double t;
  };
  struct Steps {
    std::vector<double> times;
    Step step(Index i) const { return {times.at(static_cast<std::size_t>(i))}; }
  };
  std::vector<std::vector<double>>* prepared;
  Index most = 3;

  Steps prepare(const Pass<Cpu>&, const std::vector<double>& times, Index, const ConditionBatch&) const {
    prepared->push_back(times);
    return {times};
  }
  Index steps_at_once(Index) const { return most; }
  Var<double, Cpu> operator()(Pass<Cpu>& pass, const Var<double, Cpu>&, const Step& step) const {
    return full<double>(pass.context(), Shape{1}, 100 + step.t);
  }
  Var<double, Cpu> operator()(Pass<Cpu>& pass, const Var<double, Cpu>&, const std::vector<double>& t,
                              const ConditionBatch&) const {
    return full<double>(pass.context(), Shape{1}, t[0]);
  }
};

}  // namespace

TEST_CASE("evaluations are prepared in chunks, once per time, while the conditions stay the same") {
  Context<Cpu> ctx({.threads = 1});
  Pass<Cpu> pass(ctx);
  std::vector<std::vector<double>> prepared;
  const Recorder model{&prepared};
  const ConditionBatch plain, guided;
  PreparedNetwork<Recorder, Cpu> network(pass, model);
  const std::vector<double> times = evaluation_times(Sampler::heun, TimeGrid(4));
  CHECK(times == std::vector<double>{1, 0.75, 0.75, 0.5, 0.5, 0.25, 0.25, 0});
  const auto conditions = [&](double t) -> const ConditionBatch& { return t > 0.3 ? guided : plain; };
  for (const double t : times) network.expect(t, conditions(t));
  const auto x = Tensor<double, Cpu>::zeros(ctx, {1, 1});
  for (const double t : times) CHECK(network(x, {t}, conditions(t)).data()[0] == 100 + t);
  CHECK(prepared == std::vector<std::vector<double>>{{1, 0.75, 0.5}, {0.25, 0}});
  CHECK(network(x, {0.0}, plain).data()[0] == 0);  // not expected any more
}

TEST_CASE("a chunk ends where memory does; what was not expected runs unprepared") {
  Context<Cpu> ctx({.threads = 1});
  Pass<Cpu> pass(ctx);
  std::vector<std::vector<double>> prepared;
  const Recorder model{&prepared, 2};
  const ConditionBatch conditions, others;
  PreparedNetwork<Recorder, Cpu> network(pass, model);
  CHECK(evaluation_times(Sampler::euler, TimeGrid(5)).size() == 5);
  for (const double t : evaluation_times(Sampler::euler, TimeGrid(5))) network.expect(t, conditions);
  const auto x = Tensor<double, Cpu>::zeros(ctx, {2, 1});
  const auto at = [&](double t, const ConditionBatch& c) { return network(x, {t, t}, c).data()[0]; };
  CHECK(at(1, conditions) == 101);
  CHECK(at(0.8, others) == 0.8);  // other conditions
  CHECK(at(0.7, conditions) == 0.7);
  CHECK(network(x, {0.8, 0.7}, conditions).data()[0] == 0.8);  // samples at different times
  const TimeGrid grid(5);
  for (int i = 1; i < 5; ++i) CHECK(at(grid.at(i), conditions) == 100 + grid.at(i));
  REQUIRE(prepared.size() == 3);
  CHECK(prepared[0].size() == 2);
  CHECK(prepared[2] == std::vector<double>{grid.at(4)});
}
