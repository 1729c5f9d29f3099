// Random numbers on both backends: equal integers, normal numbers within a unit in the last place, nothing uploaded.
#include "tests/cuda/both.hpp"

#include "braing3n/cuda.cuh"
#include "braing3n/objective/flow_matching.hpp"
#include "braing3n/ops/random.hpp"

using namespace braing3n;
using test::Both;
using test::download;

namespace {

std::vector<Philox> generators(Index n) {
  std::vector<Philox> all;
  for (Index i = 0; i < n; ++i) all.emplace_back(0x123456789abcdefu, Purpose::noise, 7, static_cast<std::uint32_t>(i));
  return all;
}

/// The largest distance in units of the last place of the expected number.
template <class T>
double units_apart(const Tensor<T, Cpu>& got, const Tensor<T, Cpu>& expected) {
  double most = 0;
  for (Index i = 0; i < got.size(); ++i) {
    const double a = static_cast<double>(got.data()[i]), e = static_cast<double>(expected.data()[i]);
    int exponent = 0;
    std::frexp(e, &exponent);
    const double d = std::abs(a - e) / std::ldexp(test::epsilon<T>(), exponent - 1);
    if (d > most || d != d) most = d;
  }
  return most;
}

}  // namespace

TEST_CASE_TEMPLATE("random numbers are the CPU's", T, float, double, bfloat16) {
  Both b;
  // Samples that are whole runs of 16 bytes, samples that are not, more samples than one launch takes.
  for (const auto& [samples, shape] :
       std::vector<std::pair<Index, Shape>>{{1, {1}}, {3, {2, 8}}, {3, {5, 7}}, {2, {4099}}, {130, {12}}, {67, {3}}}) {
    CAPTURE(samples);
    CAPTURE(shape.str());
    const auto all = generators(samples);
    const std::span<const Philox> rng(all);
    const auto normal = random_normal<T>(b.cpu, rng, shape), uniform = random_uniform<T>(b.cpu, rng, shape);
    CHECK(normal.shape() == uniform.shape());
    for (Index n = 0; n < samples; n += 5)
      for (Index i = 0; i < shape.size(); i += 3) {
        const auto number = static_cast<std::uint64_t>(i);
        const Philox& own = all[static_cast<std::size_t>(n)];
        CHECK(normal.data()[n * shape.size() + i] == static_cast<T>(own.normal(number)));
        CHECK(uniform.data()[n * shape.size() + i] == static_cast<T>(own.uniform(number)));
      }
    CHECK(test::same_bits(download(b, random_uniform<T>(b.cuda, rng, shape)), uniform));
    CHECK(units_apart(download(b, random_normal<T>(b.cuda, rng, shape)), normal) <= (sizeof(T) == 8 ? 8.0 : 1.0));
  }
}

TEST_CASE("noise is drawn on the device: nothing is uploaded, and one launch draws it") {
  Both b;
  const std::vector<std::uint32_t> ids = {3, 9, 4000000000u};
  const std::vector<Index> places = {0, 5, Index{1} << 33};
  const auto cpu = draw_noise<float>(b.cpu, 5, 2, std::span<const std::uint32_t>(ids), {6, 6});
  const auto cpu_places = draw_noise<float>(b.cpu, 5, std::span<const Index>(places), {6, 6});
#ifdef BRAING3N_EMULATE_CUDA
  emulation::reset_counters();
#endif
  const auto gpu = draw_noise<float>(b.cuda, 5, 2, std::span<const std::uint32_t>(ids), {6, 6});
  const auto gpu_places = draw_noise<float>(b.cuda, 5, std::span<const Index>(places), {6, 6});
#ifdef BRAING3N_EMULATE_CUDA
  b.cuda.synchronize();
  CHECK(emulation::counters().copies_to_device == 0);
  CHECK(emulation::counters().launches == 2);
#endif
  CHECK(units_apart(download(b, gpu), cpu) <= 1);
  CHECK(units_apart(download(b, gpu_places), cpu_places) <= 1);
}
