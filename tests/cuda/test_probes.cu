// Linear probes on both backends: objectives, weights, predictions, errors, and what the host waits for.
#include "tests/cuda/both.hpp"

#include <functional>
#include <limits>

#include "braing3n/cuda.cuh"
#include "braing3n/probe/estimators.hpp"

using namespace braing3n;
using test::apart;
using test::Both;

namespace {

/// Rows around class centres, features of unlike scales and means, one of them constant.
template <class T>
struct Table {
  Index rows, features;
  std::vector<T> x;
  std::vector<std::int64_t> two, three;
  std::vector<double> target;  // (rows, 2)

  Table(Index n, Index d) : rows(n), features(d) {
    const Philox rng(5, Purpose::test, 0, static_cast<std::uint32_t>(n + d));
    for (Index i = 0; i < n; ++i) {
      three.push_back(i * 7 % 3 * 10 - 4);
      two.push_back(i * 5 % 7 < 3 ? 1 : 0);
      for (Index j = 0; j < d; ++j) {
        double v = static_cast<double>(rng.normal(static_cast<std::uint64_t>(i * d + j)));
        v += 0.7 * (j % 3 == i * 7 % 3) + 0.9 * (j % 4 == 0 && two.back() == 1);
        x.push_back(static_cast<T>(j == 3 ? 2.5 : 100.0 * (j == 1) + static_cast<double>(1 + 3 * (j % 5)) * v));
      }
      const double first = static_cast<double>(x[static_cast<std::size_t>(i * d)]);
      target.push_back(60 + 5 * first + static_cast<double>(rng.normal(static_cast<std::uint64_t>(1000000 + i))));
      target.push_back(-first);
    }
  }
  FeatureView<T> view() const { return {x.data(), rows, features}; }
};

double relative(double a, double b) { return std::abs(a - b) / std::max(std::abs(a), std::abs(b)); }

void check_fit(const LinearFit& gpu, const LinearFit& cpu, double weights_within) {
  CHECK(gpu.converged);
  CHECK(relative(gpu.loss, cpu.loss) <= 1e-6);
  CHECK(gpu.rows == cpu.rows);
  // A wrong Hessian or preconditioner finds the same optimum, later.
  CHECK(std::abs(gpu.iterations - cpu.iterations) <= 1);
  CHECK(std::abs(gpu.products - cpu.products) <= 3 + cpu.products / 10);
  CHECK(gpu.outputs == cpu.outputs);
  CHECK(apart(gpu.mean, cpu.mean) <= 1e-9);
  CHECK(apart(gpu.scale, cpu.scale) <= 1e-9);
  CHECK(relative(gpu.gradient_at_zero, cpu.gradient_at_zero) <= 1e-9);
  const std::vector<double> a(gpu.weights.begin(), gpu.weights.end()), b(cpu.weights.begin(), cpu.weights.end());
  CHECK(apart(a, b) <= weights_within);
  CHECK(apart(gpu.intercept, cpu.intercept) <= 100 * weights_within);
}

double matrices_apart(const xt::xtensor<double, 2>& a, const xt::xtensor<double, 2>& b) {
  return test::apart(std::vector<double>(a.begin(), a.end()), std::vector<double>(b.begin(), b.end()));
}

template <class T>
struct ReadElement {
  const T* x;
  BRAING3N_HD double operator()(Index r, Index c) const { return static_cast<double>(x[r * 700 + c]); }
};
struct StoreLargest {
  double* to;
  BRAING3N_HD void operator()(Index r, double v) const { to[r] = v; }
};

/// What f throws, as id and text; nothing for nothing.
std::string thrown(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return concat(e.id(), ": ", e.what());
  }
  return {};
}

}  // namespace

TEST_CASE_TEMPLATE("largest values of rows agree with the CPU", T, float, double) {
  Both b;
  auto x = test::random<T>(b.cpu, {5, 700}, 3);
  x.data()[699] = x.data()[4 * 700] = T(50);
  auto with_nan = x.clone();
  with_nan.data()[2 * 700 + 600] = std::numeric_limits<T>::quiet_NaN();
  for (const auto& of : {x, with_nan}) {
    Tensor<double, Cpu> cpu(b.cpu, Shape{5});
    Tensor<double, Cuda> gpu(b.cuda, Shape{5});
    const auto placed = test::upload(b, of);
    row_max(b.cpu, 5, 700, ReadElement<T>{of.data()}, StoreLargest{cpu.data()});
    row_max(b.cuda, 5, 700, ReadElement<T>{placed.data()}, StoreLargest{gpu.data()});
    const auto a = cpu.to_host(), g = gpu.to_host();
    for (std::size_t r = 0; r < 5; ++r) CHECK((a[r] == g[r] || (std::isnan(a[r]) && std::isnan(g[r]))));
    CHECK(std::isnan(g[2]) == std::isnan(of.data()[2 * 700 + 600]));
  }
}

TEST_CASE_TEMPLATE("features are standardised as on the CPU", T, float, double) {
  Both b;
  const Table<T> t(200, 21);
  const std::vector<Index> some = {7, 3, 190, 3, 150, 12, 81};
  for (const bool scale : {true, false})
    for (const auto& rows : {std::vector<Index>(), some}) {
      const Design<T, Cpu> cpu(b.cpu, t.view(), rows, scale);
      const Design<T, Cuda> gpu(b.cuda, t.view(), rows, scale);
      CHECK(apart(gpu.mean(), cpu.mean()) <= 1e-12 * 100);
      CHECK(apart(gpu.deviation(), cpu.deviation()) <= 1e-12 * 10);
      CHECK(gpu.deviation()[3] == 1.0);
      CHECK(gpu.mean()[3] == 2.5);
      CHECK(gpu.width() == 24);
    }
  const Standardizer<T, Cuda> standardizer(b.cuda, t.view());
  CHECK(apart(standardizer.scale, Standardizer<T, Cpu>(b.cpu, t.view()).scale) <= 1e-11);
}

TEST_CASE_TEMPLATE("logistic regressions agree with the CPU", T, float, double) {
  Both b;
  // More rows than features, and fewer, which goes through the rows.
  for (const auto& [rows, features] : {std::pair<Index, Index>{200, 21}, {60, 90}}) {
    const Table<T> t(rows, features);
    for (const double C : {0.05, 10.0})
      for (const auto* labels : {&t.two, &t.three}) {
        INFO(rows, " rows, C ", C, ", ", labels == &t.two ? 2 : 3, " classes");
        LogisticOptions options{.C = C, .tolerance = 1e-8};
        if (C > 1) options.class_weight = ClassWeight::balanced, options.standardize = rows > 100;
        const LogisticRegression<T, Cpu> cpu(b.cpu, t.view(), *labels, options);
        const LogisticRegression<T, Cuda> gpu(b.cuda, t.view(), *labels, options);
        CHECK(gpu.classes() == cpu.classes());
        check_fit(gpu.fit(), cpu.fit(), 1e-5);
        const auto p = gpu.predict_proba(t.view());
        CHECK(matrices_apart(p, cpu.predict_proba(t.view())) <= 1e-5);
        CHECK(column_count(p) == static_cast<Index>(cpu.classes().size()));
        // The device's product gives the values of the fit itself.
        std::vector<double> value(3), probability(3);
        gpu.fit().evaluate(t.view().row(11).data(), value.data());
        to_probabilities(value.data(), gpu.fit().outputs, probability.data());
        CHECK(std::abs(probability[1] - p(11, 1)) <= 1e-12);
      }
  }
}

TEST_CASE_TEMPLATE("ridge regressions agree with the CPU", T, float, double) {
  Both b;
  for (const auto& [rows, features] : {std::pair<Index, Index>{200, 21}, {60, 90}})
    for (const double alpha : {1e-3, 30.0}) {
      INFO(rows, " rows, alpha ", alpha);
      const Table<T> t(rows, features);
      const Ridge<T, Cpu> cpu(b.cpu, t.view(), t.target, 2, {.alpha = alpha});
      const Ridge<T, Cuda> gpu(b.cuda, t.view(), t.target, 2, {.alpha = alpha});
      REQUIRE(gpu.targets() == 2);
      for (Index k = 0; k < 2; ++k) check_fit(gpu.fit(k), cpu.fit(k), 1e-4);
      CHECK(matrices_apart(gpu.predict(t.view()), cpu.predict(t.view())) <= 1e-4);
    }
}

TEST_CASE("fits of folds hold rows out as on the CPU") {
  Both b;
  const Table<double> t(200, 12);
  std::vector<std::int32_t> label, fold;
  for (Index i = 0; i < t.rows; ++i) {
    label.push_back(static_cast<std::int32_t>((t.three[static_cast<std::size_t>(i)] + 4) / 10));
    fold.push_back(i % 11 == 0 ? -1 : static_cast<std::int32_t>(i / 3 % 4));
  }
  std::vector<double> target;
  for (Index i = 0; i < t.rows; ++i) target.push_back(t.target[static_cast<std::size_t>(2 * i)]);
  const auto solve = [&](const auto& design, std::vector<double>& classes, std::vector<double>& numbers) {
    std::vector<FitProblem> problems;
    for (std::int32_t f = 0; f < 4; ++f) {
      FitProblem p;
      p.loss = Loss::softmax, p.outputs = 3, p.label = label.data(), p.fold = fold.data(), p.held_out = f;
      p.class_weight = {0.5, 1.0, 2.0};
      p.penalty = f == 2 ? 1e12 : 0.3;  // the penalty alone, and a weak one
      p.held_out_values = classes.data();
      problems.push_back(p);
      FitProblem& least = problems.emplace_back();
      least.target = target.data(), least.fold = fold.data(), least.held_out = f, least.penalty = 2.0;
      least.held_out_values = numbers.data();
    }
    using B = typename std::remove_cvref_t<decltype(design)>::backend;
    return NewtonSolver<double, B>(design, {.tolerance = 1e-8}).solve(problems);
  };
  const double unseen = -77;
  std::vector<double> cpu_classes(600, unseen), cpu_numbers(200, unseen), gpu_classes(600, unseen),
      gpu_numbers(200, unseen);
  const auto cpu = solve(Design<double, Cpu>(b.cpu, t.view()), cpu_classes, cpu_numbers);
  const auto gpu = solve(Design<double, Cuda>(b.cuda, t.view()), gpu_classes, gpu_numbers);
  REQUIRE(gpu.size() == cpu.size());
  for (std::size_t f = 0; f < cpu.size(); ++f) check_fit(gpu[f], cpu[f], 1e-5);
  CHECK(apart(gpu_classes, cpu_classes) <= 1e-5);
  CHECK(apart(gpu_numbers, cpu_numbers) <= 1e-4);
  CHECK(gpu_numbers[11] == unseen);
  CHECK(gpu_numbers[12] != unseen);
}

TEST_CASE("steps that go too far are shortened as on the CPU") {
  Both b;
  // Far values, two classes that a line nearly separates, hardly any penalty: a whole Newton step raises the loss.
  const std::vector<double> first = {9.2,  2.0, -12.0, -0.2, 18.5, 0.8,  -3.9, 2.2,  -12.7, -2.1, 2.0, -1.9,
                                     -8.2, 1.8, -1.5,  26.5, -0.7, -1.8, -5.3, -1.2, 0.6,   -0.5, 3.9, 2.0},
                            second = {-2.2, 1.4, 0.4, -1.7, 0.4, -157.8, 2.8,  19.6, 228.4, -6.8, 1.1,  12.3,
                                      -2.4, 5.5, 4.4, -5.8, 0.7, -1.3,   35.3, 1.7,  3.2,   0.3,  -9.3, -0.5};
  const std::vector<std::int64_t> label = {1, 1, 0, 1, 1, 1, 0, 1, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0, 0, 0, 1, 1, 1, 1};
  std::vector<double> x;
  for (std::size_t i = 0; i < label.size(); ++i) x.insert(x.end(), {first[i], second[i]});
  const LogisticOptions options{.C = 1e6, .tolerance = 1e-9};
  const LogisticRegression<double, Cpu> cpu(b.cpu, {x.data(), 24, 2}, label, options);
#ifdef BRAING3N_EMULATE_CUDA
  emulation::reset_counters();
#endif
  const LogisticRegression<double, Cuda> gpu(b.cuda, {x.data(), 24, 2}, label, options);
#ifdef BRAING3N_EMULATE_CUDA
  const auto passes = static_cast<std::uint64_t>(gpu.fit().iterations + 1 + gpu.fit().products);
  CHECK(emulation::counters().copies_to_host > passes + 4);  // some gradients did not end in a step
#endif
  CHECK(cpu.fit().converged);
  CHECK(gpu.fit().converged);
  CHECK(gpu.fit().iterations == cpu.fit().iterations);
  CHECK(relative(gpu.fit().loss, cpu.fit().loss) <= 1e-6);
}

TEST_CASE("bad inputs give the errors of the CPU") {
  Both b;
  const Table<float> t(40, 6);
  Table<float> bad = t;
  bad.x[5 * 6 + 2] = std::numeric_limits<float>::infinity();
  bad.x[9 * 6 + 1] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<std::int64_t> one(40, 3), few(39, 1);
  std::vector<double> wild = t.target;
  wild[7] = std::numeric_limits<double>::quiet_NaN();
  const auto all = [&](auto& ctx) {
    using B = std::conditional_t<std::is_same_v<std::remove_reference_t<decltype(ctx)>, Context<Cpu>>, Cpu, Cuda>;
    using Logistic = LogisticRegression<float, B>;
    using Linear = Ridge<float, B>;
    std::vector<std::string> said;
    const auto say = [&](const std::function<void()>& f) { said.push_back(thrown(f)); };
    say([&] { Logistic(ctx, bad.view(), t.two); });
    say([&] { Linear(ctx, bad.view(), t.target, 2); });
    say([&] { Design<float, B>(ctx, bad.view(), {20, 9, 5}); });
    say([&] { Logistic(ctx, t.view(), few); });
    say([&] { Logistic(ctx, t.view(), one); });
    say([&] { Logistic(ctx, t.view(), t.two, {.C = 0}); });
    say([&] { Linear(ctx, t.view(), t.target, 3); });
    say([&] { Linear(ctx, t.view(), t.target, 2, {.alpha = -1}); });
    say([&] { Linear(ctx, t.view(), wild, 2); });
    say([&] { Linear(ctx, {t.x.data(), 0, 6}, std::vector<double>{}); });
    say([&] { Logistic(ctx, t.view(), t.two).predict_proba({t.x.data(), 40, 5}); });
    say([&] { Linear(ctx, t.view(), t.target, 2).predict({t.x.data(), 40, 5}); });
    const Design<float, B> design(ctx, t.view());
    NewtonSolver<float, B> solver(design);
    std::vector<double> target(40, 1.0);
    const std::vector<std::int32_t> nobody(40, -1);
    FitProblem p;
    p.target = target.data(), p.penalty = 0;
    say([&] { (void)solver.solve({&p, 1}); });
    p.penalty = 1, p.fold = nobody.data();
    say([&] { (void)solver.solve({&p, 1}); });
    return said;
  };
  const auto cpu = all(b.cpu), gpu = all(b.cuda);
  REQUIRE(cpu.size() == gpu.size());
  for (std::size_t i = 0; i < cpu.size(); ++i) {
    CHECK_FALSE(cpu[i].empty());
    CHECK(gpu[i] == cpu[i]);
  }
}

TEST_CASE("a fit is the same each time, and the host reads once per pass") {
  test::Both b;
  Context<Cuda> ctx;  // keeps its memory
  const Table<float> t(200, 21);
  const auto fit = [&] { return LogisticRegression<float, Cuda>(ctx, t.view(), t.three, {.C = 10}).fit(); };
  const LinearFit first = fit();
#ifdef BRAING3N_EMULATE_CUDA
  emulation::reset_counters();
#endif
  const LinearFit again = fit();
  CHECK(again.weights == first.weights);
  CHECK(again.intercept == first.intercept);
  CHECK(again.loss == first.loss);
#ifdef BRAING3N_EMULATE_CUDA
  const emulation::Counters c = emulation::counters();
  const auto passes = static_cast<std::uint64_t>(again.iterations + 1 + again.products);
  MESSAGE(again.iterations, " iterations, ", again.products, " products: ", c.launches, " launches, ", c.products,
          " matrix products, ", c.copies_to_device, " uploads, ", c.copies_to_host, " reads, ", c.synchronisations,
          " waits, ", c.allocations, " allocations");
  // Means and deviations, the Gram matrix, the weights, the moments.
  CHECK(c.copies_to_host == passes + 4);
  CHECK(c.synchronisations + c.event_waits == c.copies_to_host);
  CHECK(c.allocations == 0);
  // At most ten per pass; the others prepare the design and the fits.
  CHECK(c.launches <= 12 * passes + 40);
  // A prediction is one upload of rows, one of numbers, one read.
  const LogisticRegression<float, Cuda> model(ctx, t.view(), t.two);
  emulation::reset_counters();
  (void)model.predict_proba(t.view());
  CHECK(emulation::counters().copies_to_host == 1);
  CHECK(emulation::counters().copies_to_device == 2);
#endif
}
