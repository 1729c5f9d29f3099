// A field of rates on both backends: its loss, gradients and forecasts.
#include "tests/cuda/both.hpp"

#include "braing3n/autograd/ops_loss.hpp"
#include "braing3n/cuda.cuh"
#include "braing3n/models/rate_field.hpp"
#include "braing3n/nn/initialize.hpp"
#include "braing3n/nn/state_dict.hpp"
#include "braing3n/objective/rate_points.hpp"
#include "braing3n/sample/years.hpp"

using namespace braing3n;
using test::apart;
using test::Both;
using test::upload;

namespace {

RateFieldConfig tiny() {
  RateFieldConfig c;
  c.network.channels = c.network.context_channels = 4;
  c.network.grid = {2, 2, 1};
  c.network.width = 24, c.network.depth = 1, c.network.heads = 2, c.network.mlp = 32;
  c.network.conditions.resize(2);
  c.network.conditions[0].name = "disease", c.network.conditions[0].values = {"HC", "AD"};
  c.network.conditions[1].name = "sex", c.network.conditions[1].values = {"F", "M"};
  c.rank = 3;
  return c;
}

template <Backend B>
RateField3d<B, F32> field_of(Context<B>& context) {
  RateField3d<B, F32> field(context, tiny());
  initialize(field, 1);
  std::uint32_t id = 100;
  Context<Cpu> host({.threads = 1});
  for_each_parameter(field, [&](const std::string&, auto& p) {
    const auto values = test::random<float>(host, p.shape(), id++, 0.3).to_host();
    p.adopt(Tensor<float, B>::from_host(context, p.shape(), values));
  });
  return field;
}

ConditionBatch given() {
  std::vector<ConditionRow> rows(2, ConditionRow(2));
  rows[0][0].label = 1, rows[1][1].label = 1;
  return condition_batch(tiny().network.conditions, rows);
}

}  // namespace

TEST_CASE("a field of rates agrees with the CPU") {
  Both b;
  const auto cpu = field_of(b.cpu);
  const auto gpu = field_of(b.cuda);
  const auto z0 = test::random<float>(b.cpu, {2, 4, 4}, 1), z1 = test::random<float>(b.cpu, {2, 4, 4}, 2),
             noise = test::random<float>(b.cpu, {2, 4, 4}, 3);
  const std::vector<double> u = {0.2, 0.7}, years = {2, -3}, ages = {61, 74};
  const std::vector<float> w = {1.0f, 0.5f};
  const auto points = rate_points(z0, z1, noise, u, years, {});
  const auto gpu_points = rate_points(upload(b, z0), upload(b, z1), upload(b, noise), u, years, {});
  CHECK(apart(b, gpu_points.z, points.z) <= test::tolerance<float>(4));
  CHECK(apart(b, gpu_points.target, points.target) <= test::tolerance<float>(4, 10.0));
  const auto run = [&](const auto& field, auto& context, const auto& at, const auto& first) {
    using Bk = typename std::remove_cvref_t<decltype(first)>::backend;
    Tape<Bk> tape;
    Pass<Bk> pass(context, tape);
    const auto loss = weighted_mse_loss(field(pass, Var<float, Bk>(at.z), ages, given(), Var<float, Bk>(first)),
                                        at.target, Tensor<float, Bk>::from_host(context, Shape{2}, w));
    tape.backward(loss, scalar(context, 1.0));
    return item(loss);
  };
  const double loss = run(cpu, b.cpu, points, z0), gpu_loss = run(gpu, b.cuda, gpu_points, upload(b, z0));
  CHECK(std::abs(gpu_loss - loss) <= 1e-5 * loss);
  const auto gradient = cpu.network.context_embedder.weight.gradient();
  CHECK(apart(b, gpu.network.context_embedder.weight.gradient(), gradient) <=
        test::tolerance<float>(100, 4 * max_abs(gradient)));
  const std::vector<ConditionRow> rows(2, ConditionRow(2));
  const std::vector<double> horizons = {2, 5};
  const std::vector<std::vector<double>> stops(1, horizons);
  const auto far = forecast_latents(b.cpu, cpu, z0, ages, rows, stops);
  const auto gpu_far = forecast_latents(b.cuda, gpu, upload(b, z0), ages, rows, stops);
  CHECK(apart(b, gpu_far[0], far[0]) <= 1e-4);
}
