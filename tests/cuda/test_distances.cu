// Frechet distances and nearest neighbours on both backends.
#include "tests/cuda/both.hpp"

#include <limits>

#include "braing3n/cuda.cuh"
#include "braing3n/eval/frechet.hpp"
#include "braing3n/eval/memorisation.hpp"

using namespace braing3n;
using test::apart;
using test::Both;
using test::upload;

TEST_CASE_TEMPLATE("Frechet distances agree with the CPU", T, float, double) {
  Both b;
  auto x = test::random<T>(b.cpu, {70, 23}, 1), y = test::random<T>(b.cpu, {41, 23}, 2, 1.5);
  for (Index i = 0; i < x.size(); ++i) x.data()[i] += static_cast<T>(i % 23 == 4 ? 50 : 0);
  const FeatureMoments cx = feature_moments(x, "r"), cy = feature_moments(y, "r");
  const FeatureMoments gx = feature_moments(upload(b, x), "r"), gy = feature_moments(upload(b, y), "r");
  CHECK(apart(gx.mean, cx.mean) <= 1e-12);
  CHECK(apart(gx.covariance, cx.covariance) <= 1e-11);
  CHECK(gx.rows == 70);
  CHECK(gx.width == 23);
  const double cpu = frechet_distance(b.cpu, cx, cy), gpu = frechet_distance(b.cuda, gx, gy);
  CHECK(std::abs(gpu - cpu) <= 1e-9 * cpu);
  // Fewer rows than features: the covariance is singular.
  const auto few = test::random<T>(b.cpu, {9, 23}, 3);
  const double low = frechet_distance(b.cpu, feature_moments(few, "r"), cy);
  CHECK(std::abs(frechet_distance(b.cuda, feature_moments(upload(b, few), "r"), gy) - low) <= 1e-9 * low);
  test::check_error("frechet.recipe", {"r", "q"},
                    [&] { (void)frechet_distance(b.cuda, gx, feature_moments(upload(b, y), "q")); });
  test::check_error("frechet.rows", {"(1, 23)"}, [&] { (void)feature_moments(upload(b, x).slice(0, 1), "r"); });
  x.data()[5 * 23 + 2] = std::numeric_limits<T>::infinity();
  test::check_error("frechet.finite", {"feature 2 of row 5 is inf"}, [&] { (void)feature_moments(upload(b, x), "r"); });
}

TEST_CASE_TEMPLATE("nearest neighbours agree with the CPU", T, float, double) {
  Both b;
  const auto q = test::random<T>(b.cpu, {37, 11}, 1);
  auto p = test::random<T>(b.cpu, {301, 11}, 2);
  for (Index k = 0; k < 11; ++k) {
    p.data()[200 * 11 + k] = q.data()[3 * 11 + k];  // a copy, three times: the lowest row counts
    p.data()[90 * 11 + k] = q.data()[3 * 11 + k];
    p.data()[95 * 11 + k] = q.data()[3 * 11 + k];
  }
  NeighbourGroups groups;
  for (std::int32_t i = 0; i < 37; ++i) groups.query.push_back(i % 4);
  for (std::int32_t j = 0; j < 301; ++j) groups.pool.push_back(j % 5);
  for (const NeighbourGroups& given : {NeighbourGroups{}, groups}) {
    const auto cpu = nearest_of_other_groups(q, p, given),
               gpu = nearest_of_other_groups(upload(b, q), upload(b, p), given),
               in_blocks = detail::device_neighbours(upload(b, q), upload(b, p), given, 16, 100);
    REQUIRE(gpu.size() == cpu.size());
    REQUIRE(in_blocks.size() == cpu.size());
    for (std::size_t i = 0; i < cpu.size(); ++i) {
      CHECK(gpu[i].row == cpu[i].row);
      CHECK(std::abs(gpu[i].distance - cpu[i].distance) <= 1e-12);
      CHECK(in_blocks[i].row == cpu[i].row);
      CHECK(in_blocks[i].distance == gpu[i].distance);
    }
  }
  const auto found = nearest_of_other_groups(upload(b, q), upload(b, p));
  CHECK(found[3].row == 90);
  CHECK(found[3].distance == 0.0);
  // Nobody is left.
  const auto none = nearest_of_other_groups(upload(b, q), upload(b, p),
                                            {std::vector<std::int32_t>(37, 1), std::vector<std::int32_t>(301, 1)});
  CHECK(none[36].row == -1);
  CHECK(std::isinf(none[36].distance));
  test::check_error("neighbours.shape", {"(37, 11)", "(301, 5)"}, [&] {
    (void)nearest_of_other_groups(upload(b, q), upload(b, test::random<T>(b.cpu, {301, 5}, 2)));
  });
  test::check_error("neighbours.groups", {"37 queries", "got 1 and 0"},
                    [&] { (void)nearest_of_other_groups(upload(b, q), upload(b, p), {{1}, {}}); });
}

TEST_CASE("the audit of memorised scans is the CPU's") {
  Both b;
  const Index people = 30, d = 19;
  const auto faces = test::random<float>(b.cpu, {people, d}, 1),
             noise = test::random<float>(b.cpu, {2 * people, d}, 2, 0.05);
  Tensor<float, Cpu> training(b.cpu, {2 * people, d});
  std::vector<std::string> names;
  for (Index i = 0; i < 2 * people; ++i) {
    names.push_back(std::to_string(i / 2));
    for (Index k = 0; k < d; ++k) training.data()[i * d + k] = faces.data()[i / 2 * d + k] + noise.data()[i * d + k];
  }
  auto samples = test::random<float>(b.cpu, {20, d}, 3);
  for (Index k = 0; k < d; ++k) samples.data()[7 * d + k] = training.data()[33 * d + k] + 0.001f;
  const auto cpu = audit_memorisation(samples, training, names);
  const auto placed_samples = upload(b, samples), placed_training = upload(b, training);
#ifdef BRAING3N_EMULATE_CUDA
  emulation::reset_counters();
#endif
  const auto gpu = audit_memorisation(placed_samples, placed_training, names);
#ifdef BRAING3N_EMULATE_CUDA
  CHECK(emulation::counters().copies_to_host == 3);  // one per search
#endif
  CHECK(gpu.copies == cpu.copies);
  CHECK(gpu.copies == std::vector<Index>{7});
  CHECK(gpu.copies_of_subjects == cpu.copies_of_subjects);
  CHECK(std::abs(gpu.ratio - cpu.ratio) <= 1e-12 * cpu.ratio);
  for (const auto part :
       {&MemorisationAudit::real, &MemorisationAudit::real_other_subjects, &MemorisationAudit::samples}) {
    CHECK((gpu.*part).count == (cpu.*part).count);
    CHECK(std::abs((gpu.*part).mean - (cpu.*part).mean) <= 1e-12);
    CHECK(std::abs((gpu.*part).fifth - (cpu.*part).fifth) <= 1e-12);
  }
  test::check_error("memorisation.subjects", {"3 subjects"},
                    [&] { (void)audit_memorisation(placed_samples, placed_training, {"a", "b", "c"}); });
}
