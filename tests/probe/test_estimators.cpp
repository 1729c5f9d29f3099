// Estimators, folds and scores against scikit-learn's numbers, the optimality of every fit, and independence of the threads.
#include <doctest/doctest.h>

#include "braing3n/backend/cpu/providers/providers.hpp"
#include "braing3n/format/safetensors.hpp"
#include "braing3n/probe/estimators.hpp"
#include "braing3n/probe/scores.hpp"
#include "tests/support/check.hpp"

using namespace braing3n;

namespace {

struct Case {
  SafetensorsFile file{std::string(BRAING3N_FIXTURES) + "/probe_sklearn/case.safetensors"};
  std::vector<double> x = file.read<double>("X"), standardised = file.read<double>("X_standardised"),
                      y = file.read<double>("y_regression");
  std::vector<std::int64_t> binary = file.read<std::int64_t>("y_binary"),
                            multiclass = file.read<std::int64_t>("y_multiclass"),
                            groups = file.read<std::int64_t>("groups");
  Index rows = file.info("X").shape[0], features = file.info("X").shape[1];
  FeatureView<double> view() const { return {x.data(), rows, features}; }
  FeatureView<double> standardised_view() const { return {standardised.data(), rows, features}; }

  void check(const std::string& name, std::span<const double> came, double relative) const {
    const std::vector<double> expected = file.read<double>(name);
    REQUIRE(expected.size() == came.size());
    double worst = 0, size = 0;
    for (std::size_t i = 0; i < came.size(); ++i) {
      worst = std::max(worst, std::abs(came[i] - expected[i]));
      size = std::max(size, std::abs(expected[i]));
    }
    CHECK_MESSAGE(worst <= relative * size, name, ": off by ", worst, ", values up to ", size);
  }
};

double golden_feature(Index i, Index j) {
  return std::sin(0.37 * static_cast<double>(i * (j + 1))) + 0.1 * static_cast<double>((i * (j + 3)) % 5);
}

}  // namespace

TEST_CASE("folds are scikit-learn's, sample by sample") {
  const Case c;
  const auto same = [&](const std::string& name, const Folds& folds) {
    const auto expected = c.file.read<std::int64_t>(name);
    CHECK_MESSAGE(std::equal(expected.begin(), expected.end(), folds.fold.begin(), folds.fold.end()), name);
  };
  same("fold.groupkfold", group_kfold(c.groups, {.shuffle = false, .mode = FoldShuffle::legacy}));
  same("fold.binary.noshuffle", stratified_group_kfold(c.binary, c.groups, {.shuffle = false}));
  for (std::uint32_t seed : {0u, 7u, 2025u}) {
    const std::string end = concat("seed", seed);
    same("fold.binary." + end, stratified_group_kfold(c.binary, c.groups, {.seed = seed}));
    same("fold.multiclass." + end, stratified_group_kfold(c.multiclass, c.groups, {.seed = seed}));
    same("fold_before_fix.binary." + end,
         stratified_group_kfold(c.binary, c.groups, {.seed = seed, .mode = FoldShuffle::legacy}));
    same("fold_before_fix.multiclass." + end,
         stratified_group_kfold(c.multiclass, c.groups, {.seed = seed, .mode = FoldShuffle::legacy}));
  }
}

namespace {
/// Objective sum of losses + |W|^2 / 2 and its gradient at weights (outputs, d) and intercepts, from the definition, in double.
struct Evaluation {
  double objective = 0;
  std::vector<double> weights, intercept;  // gradient
  double largest() const {
    double worst = 0;
    for (const auto* g : {&weights, &intercept})
      for (double v : *g) worst = std::max(worst, std::abs(v));
    return worst;
  }
};
Evaluation evaluate(const Case& c, const std::vector<std::int64_t>& labels, const std::vector<double>& weights,
                    const std::vector<double>& intercept) {
  const std::size_t outputs = intercept.size(), d = static_cast<std::size_t>(c.features);
  Evaluation e{0, weights, std::vector<double>(outputs, 0.0)};
  for (double w : weights) e.objective += 0.5 * w * w;
  std::vector<double> v(outputs), p(std::max<std::size_t>(outputs, 2));
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const double* x = c.standardised.data() + i * d;
    for (std::size_t k = 0; k < outputs; ++k) {
      v[k] = intercept[k];
      for (std::size_t j = 0; j < d; ++j) v[k] += weights[k * d + j] * x[j];
    }
    to_probabilities(v.data(), static_cast<Index>(outputs), p.data());
    const auto own = static_cast<std::size_t>(labels[i]);
    e.objective -= std::log(p[own]);
    for (std::size_t k = 0; k < outputs; ++k) {
      const double r = outputs == 1 ? p[1] - static_cast<double>(own) : p[k] - (own == k ? 1.0 : 0.0);
      e.intercept[k] += r;
      for (std::size_t j = 0; j < d; ++j) e.weights[k * d + j] += r * x[j];
    }
  }
  return e;
}
}  // namespace

TEST_CASE("coefficients and probabilities are scikit-learn's, as far as its solver went") {
  const Case c;
  Context<Cpu> ctx({.threads = 2});
  for (const auto& [name, labels] : {std::pair{std::string("logistic.binary"), &c.binary},
                                     std::pair{std::string("logistic.multiclass"), &c.multiclass}}) {
    const LogisticRegression<double, Cpu> model(ctx, c.standardised_view(), *labels,
                                                {.standardize = false, .tolerance = 1e-12});
    const LinearFit& fit = model.fit();
    CHECK(fit.converged);
    std::vector<double> intercept = fit.intercept;  // fitted on centred features
    for (Index k = 0; k < fit.outputs; ++k)
      for (Index j = 0; j < fit.features; ++j)
        intercept[static_cast<std::size_t>(k)] -= fit.weights(k, j) * fit.mean[static_cast<std::size_t>(j)];
    // The stored coefficients come from L-BFGS, which stopped some 1e-5 of the starting gradient short of the optimum. Ours go
    // on: a smaller objective and a gradient smaller by a million.
    const auto stored = c.file.read<double>(name + ".coef"),
               stored_intercept = c.file.read<double>(name + ".intercept");
    const Evaluation theirs = evaluate(c, *labels, stored, stored_intercept),
                     ours = evaluate(c, *labels, {fit.weights.begin(), fit.weights.end()}, intercept);
    MESSAGE(name, ": objective ", ours.objective, ", theirs ", theirs.objective - ours.objective,
            " above; largest gradient ", ours.largest(), ", theirs ", theirs.largest(), ", at zero ",
            fit.gradient_at_zero);
    CHECK(ours.objective <= theirs.objective);
    CHECK(ours.largest() <= 1e-6 * theirs.largest());
    CHECK(ours.largest() <= 1e-10 * fit.gradient_at_zero);
    CHECK(theirs.largest() <= 1e-4 * fit.gradient_at_zero);
    // The penalty makes the objective 1-strongly convex in the weights: |dW|^2 <= <their gradient, their point - optimum>. The
    // difference between the two is therefore all theirs.
    double distance = 0, slope = 0, size = 0;
    for (std::size_t i = 0; i < stored.size(); ++i) {
      distance += std::pow(stored[i] - elements_of(fit.weights)[i], 2);
      slope += theirs.weights[i] * (stored[i] - elements_of(fit.weights)[i]);
      size += stored[i] * stored[i];
    }
    for (std::size_t k = 0; k < intercept.size(); ++k)
      slope += theirs.intercept[k] * (stored_intercept[k] - intercept[k]);
    CHECK_MESSAGE(distance <= slope, name, ": |dW|^2 ", distance, ", allowed ", slope);
    CHECK(distance <= 1e-7 * size);
    c.check(name + ".coef", elements_of(fit.weights), 2e-4);
    c.check(name + ".intercept", intercept, 2e-4);
    const auto probability = model.predict_proba(c.standardised_view());
    c.check(name + ".proba", elements_of(probability), 2e-4);
    if (fit.outputs > 1)
      for (Index j = 0; j < fit.features; ++j) {
        double sum = 0;
        for (Index k = 0; k < fit.outputs; ++k) sum += fit.weights(k, j);
        CHECK(std::abs(sum) < 1e-9);
      }
  }
  const Ridge<double, Cpu> ridge(ctx, c.view(), c.y, 1, {.standardize = false});
  c.check("ridge.coef", elements_of(ridge.fit().weights), 1e-8);
  const auto predicted = ridge.predict(c.view());
  c.check("ridge.pred", elements_of(predicted), 1e-8);
}

TEST_CASE("golden coefficients of data without random numbers") {
  Context<Cpu> ctx({.threads = 2});
  std::vector<double> x, y;
  std::vector<std::int64_t> two, three;
  for (Index i = 0; i < 60; ++i) {
    for (Index j = 0; j < 4; ++j) x.push_back(golden_feature(i, j));
    const std::int64_t g = 7 * i % 19;
    two.push_back((5 * g + 3) % 7 < 3 ? 1 : 0);
    three.push_back(g % 3);
    y.push_back(0.5 * static_cast<double>(g) + static_cast<double>(i % 4));
  }
  const FeatureView<double> view{x.data(), 60, 4};
  const LogisticRegression<double, Cpu> binary(ctx, view, two, {.standardize = false, .tolerance = 1e-10});
  const double expected[] = {-0.762874, 0.263059, -0.069158, -0.261920};
  for (std::size_t j = 0; j < 4; ++j)
    CHECK(elements_of(binary.fit().weights)[j] == doctest::Approx(expected[j]).epsilon(2e-5));
  const LogisticRegression<double, Cpu> softmax(ctx, view, three, {.standardize = false, .tolerance = 1e-10});
  const double rows[] = {-0.043279, 0.075218, 0.017173, 0.252967, -0.215598, -0.201743,
                         -0.018953, 0.228637, 0.258877, 0.126525, 0.001780,  -0.481604};
  for (std::size_t j = 0; j < 12; ++j)
    CHECK(std::abs(elements_of(softmax.fit().weights)[j] - rows[j]) <
          1e-4);  // the reference stopped at its default tolerance
  const Ridge<double, Cpu> ridge(ctx, view, y, 1, {.standardize = false});
  const double w[] = {-0.21502469, 0.22915921, 0.02315210, 0.07650817};
  for (std::size_t j = 0; j < 4; ++j) CHECK(std::abs(elements_of(ridge.fit().weights)[j] - w[j]) < 1e-8);
  double origin[4] = {0, 0, 0, 0}, intercept = 0;
  ridge.fit().evaluate(origin, &intercept);
  CHECK(std::abs(intercept - 5.95110298) < 1e-8);

  std::vector<std::int32_t> label;
  std::vector<double> score;
  const auto probability = binary.predict_proba(view), of_three = softmax.predict_proba(view),
             predicted = ridge.predict(view);
  for (std::size_t i = 0; i < 60; ++i) {
    label.push_back(static_cast<std::int32_t>(two[i]));
    score.push_back(probability(i, 1));
  }
  CHECK(roc_auc(score, label) == doctest::Approx(0.6886574074).epsilon(1e-9));
  std::vector<std::int32_t> label3(three.begin(), three.end());
  const std::vector<float> ones(60, 1.0f);
  CHECK(ClassificationScorer(elements_of(of_three), 3).evaluate(label3, ones)[0] ==
        doctest::Approx(0.6324347455).epsilon(1e-9));
  const auto r = regression_scores(elements_of(predicted), y, ones);
  CHECK(r[0] == doctest::Approx(0.0064360019).epsilon(1e-7));
  CHECK(r[1] == doctest::Approx(2.5117690193).epsilon(1e-9));
}

TEST_CASE("cross-validated scores are scikit-learn's") {
  const Case c;
  Context<Cpu> ctx({.threads = 2});
  const auto cross_validate = [&](FitProblem problem, const std::string& folds_name, auto&& score) {
    const auto stored = c.file.read<std::int64_t>(folds_name);
    const std::vector<std::int32_t> fold(stored.begin(), stored.end());
    std::vector<double> values(static_cast<std::size_t>(c.rows * problem.outputs));
    problem.fold = fold.data();
    problem.held_out_values = values.data();
    std::vector<FitProblem> problems;
    for (problem.held_out = 0; problem.held_out < 5; ++problem.held_out) problems.push_back(problem);
    const Design<double, Cpu> design(ctx, c.view());
    for (const LinearFit& fit : NewtonSolver<double, Cpu>(design, {.tolerance = 1e-10}).solve(problems))
      CHECK(fit.converged);
    for (std::int32_t f = 0; f < 5; ++f) {
      std::vector<Index> members;
      for (Index i = 0; i < c.rows; ++i)
        if (fold[static_cast<std::size_t>(i)] == f) members.push_back(i);
      score(members, values.data());
    }
  };
  const auto classify = [&](const std::vector<std::int64_t>& labels, Loss loss, Index outputs, const std::string& folds,
                            const std::vector<std::pair<std::string, std::size_t>>& wanted) {
    const std::vector<std::int32_t> label(labels.begin(), labels.end());
    FitProblem problem;
    problem.loss = loss;
    problem.outputs = outputs;
    problem.label = label.data();
    std::vector<std::vector<double>> scores(6);
    cross_validate(problem, folds, [&](const std::vector<Index>& members, const double* values) {
      const Index classes = std::max<Index>(outputs, 2);
      std::vector<double> p(members.size() * static_cast<std::size_t>(classes));
      std::vector<std::int32_t> y;
      for (std::size_t k = 0; k < members.size(); ++k) {
        to_probabilities(values + members[k] * outputs, outputs, p.data() + k * static_cast<std::size_t>(classes));
        y.push_back(label[static_cast<std::size_t>(members[k])]);
      }
      const auto s = ClassificationScorer(p, classes).evaluate(y, std::vector<float>(y.size(), 1.0f));
      for (std::size_t m = 0; m < 6; ++m) scores[m].push_back(s[m]);
    });
    for (const auto& [name, m] : wanted) c.check(name, scores[m], 1e-6);
  };
  classify(c.binary, Loss::logistic, 1, "fold.binary.seed2025",
           {{"cv.auc", 0}, {"cv.accuracy", 1}, {"cv.balanced_accuracy", 2}});
  classify(c.multiclass, Loss::softmax, 4, "fold.multiclass.seed2025", {{"cv.auc_multiclass_ovr_macro", 0}});

  FitProblem problem;
  problem.target = c.y.data();
  std::vector<std::vector<double>> scores(5);
  cross_validate(problem, "fold.groupkfold", [&](const std::vector<Index>& members, const double* values) {
    std::vector<double> p, t;
    for (Index i : members) {
      p.push_back(values[i]);
      t.push_back(c.y[static_cast<std::size_t>(i)]);
    }
    const auto s = regression_scores(p, t, std::vector<float>(p.size(), 1.0f));
    for (std::size_t m = 0; m < 5; ++m) scores[m].push_back(s[m]);
  });
  c.check("cv.r2", scores[0], 1e-6);
  c.check("cv.mae", scores[1], 1e-6);
  c.check("cv.pearson", scores[2], 1e-6);
}

namespace {
/// Largest |gradient| of the stated objective at a fit, from its definition, in long double.
template <class T>
double gradient_from_definition(const LinearFit& fit, FeatureView<T> x, const std::vector<std::int64_t>& y, double C,
                                const std::vector<double>& weight) {
  std::vector<long double> g(static_cast<std::size_t>(fit.outputs * (fit.features + 1)), 0.0L);
  std::vector<double> value(static_cast<std::size_t>(fit.outputs)),
      p(static_cast<std::size_t>(std::max<Index>(fit.outputs, 2)));
  for (Index i = 0; i < x.rows; ++i) {
    fit.evaluate(x.data + i * x.features, value.data());
    to_probabilities(value.data(), fit.outputs, p.data());
    const auto own = y[static_cast<std::size_t>(i)];
    const double w = weight.empty() ? 1.0 : weight[static_cast<std::size_t>(own)];
    for (Index k = 0; k < fit.outputs; ++k) {
      const double r = w * (fit.outputs == 1 ? p[1] - static_cast<double>(own)
                                             : p[static_cast<std::size_t>(k)] - (own == k ? 1.0 : 0.0));
      long double* row = g.data() + k * (fit.features + 1);
      for (Index j = 0; j < fit.features; ++j)
        row[j] += r * (static_cast<double>(x.data[i * x.features + j]) - fit.mean[static_cast<std::size_t>(j)]) /
                  fit.scale[static_cast<std::size_t>(j)];
      row[fit.features] += r;
    }
  }
  long double worst = 0;
  for (Index k = 0; k < fit.outputs; ++k)
    for (Index j = 0; j <= fit.features; ++j) {
      long double v = g[static_cast<std::size_t>(k * (fit.features + 1) + j)];
      if (j < fit.features) v += fit.weights(k, j) / C;
      worst = std::max(worst, std::abs(v));
    }
  return static_cast<double>(worst);
}
}  // namespace

TEST_CASE("float32 features: the reported gradient is the gradient, and it meets the tolerance") {
  Context<Cpu> ctx({.threads = 2});
  const Index n = 700, d = 33;
  auto x = test::random<float>(ctx, {n, d}, 1);
  for (Index i = 0; i < n; ++i)
    for (Index j = 0; j < d; ++j)
      x.data()[i * d + j] =
          50.0f + x.data()[i * d + j] * static_cast<float>(j + 1);  // means and scales far from 0 and 1
  const FeatureView<float> view{x.data(), n, d};
  for (int classes : {2, 5})
    for (bool balanced : {false, true})
      for (double C : {0.01, 1.0, 100.0}) {
        std::vector<std::int64_t> y;
        for (Index i = 0; i < n; ++i) {
          const double s = (x.data()[i * d] - 50.0) + 0.3 * (x.data()[i * d + 5] - 50.0) / 6;
          y.push_back(
              std::clamp<std::int64_t>(static_cast<std::int64_t>(std::floor(s * 1.2 + classes / 2.0)), 0, classes - 1));
        }
        const LogisticRegression<float, Cpu> model(
            ctx, view, y, {.C = C, .class_weight = balanced ? ClassWeight::balanced : ClassWeight::none});
        const LinearFit& fit = model.fit();
        CHECK(fit.converged);
        CHECK(fit.gradient <= 1e-6 * fit.gradient_at_zero);
        const std::vector<std::int32_t> codes(y.begin(), y.end());
        const double g = gradient_from_definition(fit, view, y, C,
                                                  balanced ? balanced_weights(codes, classes) : std::vector<double>{});
        CHECK_MESSAGE(g <= 1.1e-6 * fit.gradient_at_zero, classes, " classes, C ", C, ": ", g, " against ",
                      fit.gradient_at_zero);
      }
}

TEST_CASE(
    "training rows far from the middle of the table: gradient, intercept and held-out values are those of the "
    "definition") {
  Context<Cpu> ctx({.threads = 2});
  const Index n = 300, d = 7;
  auto x = test::random<double>(ctx, {n, d}, 6);
  std::vector<std::int32_t> y, fold;
  std::vector<double> held_out(static_cast<std::size_t>(n), 0.0);
  for (Index i = 0; i < n; ++i) {
    fold.push_back(i % 3 == 0 ? 1 : 0);
    y.push_back(x.data()[i * d] + 0.5 * x.data()[i * d + 1] >
                -0.6);  // unequal classes: the residuals do not cancel at zero weights
    for (Index j = 0; j < d; ++j) x.data()[i * d + j] += fold.back() == 1 ? 9.0 + static_cast<double>(j) : 0.0;
  }
  const Design<double, Cpu> design(ctx, {x.data(), n, d});
  const FitProblem problem{.loss = Loss::logistic,
                           .label = y.data(),
                           .fold = fold.data(),
                           .held_out = 1,
                           .class_weight = {},
                           .held_out_values = held_out.data()};
  const std::vector<LinearFit> fits =
      NewtonSolver<double, Cpu>(design, {.tolerance = 1e-10}).solve(std::span(&problem, 1));
  const LinearFit& fit = fits.front();
  CHECK(fit.converged);
  CHECK(fit.rows == 200);
  CHECK(fit.iterations <= 12);
  CHECK(fit.products <= 60);

  std::vector<double> mine;
  std::vector<std::int64_t> label;
  for (Index i = 0; i < n; ++i)
    if (fold[static_cast<std::size_t>(i)] == 0) {
      mine.insert(mine.end(), x.data() + i * d, x.data() + (i + 1) * d);
      label.push_back(y[static_cast<std::size_t>(i)]);
    } else {
      double value = 0;
      fit.evaluate(x.data() + i * d, &value);
      CHECK(value == doctest::Approx(held_out[static_cast<std::size_t>(i)]).epsilon(1e-8));
    }
  const FeatureView<double> view{mine.data(), 200, d};
  LinearFit zero = fit;
  std::fill(zero.weights.begin(), zero.weights.end(), 0.0);
  zero.intercept = {0.0};
  CHECK(fit.gradient_at_zero == doctest::Approx(gradient_from_definition(zero, view, label, 1.0, {})).epsilon(1e-9));
  CHECK(gradient_from_definition(fit, view, label, 1.0, {}) <= 1e-9 * fit.gradient_at_zero);
}

TEST_CASE("more features than rows: the dual route reaches the same optimum") {
  Context<Cpu> ctx({.threads = 2});
  const Index n = 40, d = 97;
  const auto x = test::random<float>(ctx, {n, d}, 2);
  const FeatureView<float> view{x.data(), n, d};
  std::vector<std::int64_t> y;
  std::vector<double> t;
  for (Index i = 0; i < n; ++i) {
    y.push_back(x.data()[i * d] > 0);
    t.push_back(x.data()[i * d + 1] + 100.0);
    t.push_back(2.0 * x.data()[i * d + 2]);
  }
  const LogisticRegression<float, Cpu> model(ctx, view, y);
  CHECK(model.fit().converged);
  CHECK(gradient_from_definition(model.fit(), view, y, 1.0, {}) <= 1.1e-6 * model.fit().gradient_at_zero);
  const Ridge<float, Cpu> ridge(ctx, view, t, 2);
  for (Index k = 0; k < 2; ++k) {
    const LinearFit& fit = ridge.fit(k);
    CHECK(fit.converged);
    const auto p = ridge.predict(view);
    for (Index j = 0; j < d; ++j) {  // X^T (Xw - y) + w = 0
      double g = fit.weights(0, j);
      for (Index i = 0; i < n; ++i)
        g += (p(i, k) - t[static_cast<std::size_t>(2 * i + k)]) *
             (static_cast<double>(x.data()[i * d + j]) - fit.mean[static_cast<std::size_t>(j)]) /
             fit.scale[static_cast<std::size_t>(j)];
      CHECK(std::abs(g) < 1e-7);
    }
  }
}

TEST_CASE("an almost absent penalty on copied features still converges") {
  Context<Cpu> ctx({.threads = 2});
  const Index n = 200, d = 12;
  auto x = test::random<float>(ctx, {n, d}, 5);
  std::vector<double> y;
  for (Index i = 0; i < n; ++i) {
    for (Index j = 6; j < d; ++j) x.data()[i * d + j] = x.data()[i * d + j - 6];
    y.push_back(x.data()[i * d] - 2.0 * x.data()[i * d + 1]);
  }
  const Ridge<float, Cpu> ridge(ctx, {x.data(), n, d}, y, 1, {.alpha = 1e-9, .tolerance = 1e-6});
  CHECK(ridge.fit().converged);
  const auto p = ridge.predict({x.data(), n, d});
  double worst = 0;
  for (std::size_t i = 0; i < y.size(); ++i) worst = std::max(worst, std::abs(p(i, 0) - y[i]));
  CHECK(worst < 1e-4);
}

TEST_CASE("a separable problem and a constant feature converge; the constant feature gets no weight") {
  Context<Cpu> ctx({.threads = 2});
  const Index n = 300, d = 8;
  auto x = test::random<float>(ctx, {n, d}, 3);
  std::vector<std::int64_t> y;
  for (Index i = 0; i < n; ++i) {
    x.data()[i * d + 3] = 0.1f;
    y.push_back(x.data()[i * d] > 0 ? 7 : -2);
  }
  const LogisticRegression<float, Cpu> model(ctx, {x.data(), n, d}, y, {.C = 1000.0});
  CHECK(model.classes() == std::vector<std::int64_t>{-2, 7});
  CHECK(model.fit().converged);
  CHECK(model.fit().weights[3] == 0.0);
  CHECK(model.fit().scale[3] == 1.0);
  CHECK(model.fit().mean[3] == static_cast<double>(0.1f));
}

TEST_CASE("fits are the same bits on 1, 2 and 3 threads") {
  std::vector<std::vector<double>> weights;
  for (int threads : {1, 2, 3}) {
    Context<Cpu> ctx({.threads = threads});
    const Index n = 1500, d = 65;
    const auto x = test::random<float>(ctx, {n, d}, 4);
    std::vector<std::int32_t> y, fold;
    std::vector<double> t;
    for (Index i = 0; i < n; ++i) {
      y.push_back(static_cast<std::int32_t>((i * 7 + (x.data()[i * d] > 0 ? 1 : 0)) % 3));
      t.push_back(x.data()[i * d + 9]);
      fold.push_back(static_cast<std::int32_t>(i % 5));
    }
    const Design<float, Cpu> design(ctx, {x.data(), n, d});
    std::vector<FitProblem> problems;
    for (std::int32_t f = 0; f < 5; ++f) {
      problems.push_back({.loss = Loss::softmax,
                          .outputs = 3,
                          .label = y.data(),
                          .fold = fold.data(),
                          .held_out = f,
                          .class_weight = {}});
      problems.push_back({.target = t.data(), .fold = fold.data(), .held_out = f, .class_weight = {}});
    }
    std::vector<double> all;
    for (const LinearFit& fit : NewtonSolver<float, Cpu>(design).solve(problems)) {
      all.insert(all.end(), fit.weights.begin(), fit.weights.end());
      all.insert(all.end(), fit.intercept.begin(), fit.intercept.end());
      all.push_back(fit.gradient);
    }
    weights.push_back(std::move(all));
  }
  CHECK(std::memcmp(weights[0].data(), weights[1].data(), weights[0].size() * sizeof(double)) == 0);
  CHECK(std::memcmp(weights[0].data(), weights[2].data(), weights[0].size() * sizeof(double)) == 0);
}

TEST_CASE("estimators: what cannot be fitted says why") {
  Context<Cpu> ctx({.threads = 1});
  std::vector<double> x{1, 2, 3, 4, 5, 6};
  const FeatureView<double> view{x.data(), 3, 2};
  using Logistic = LogisticRegression<double, Cpu>;
  CHECK_THROWS_WITH_AS(Logistic(ctx, view, std::vector<std::int64_t>{0, 1}),
                       "logistic regression: 3 rows of features, 2 labels", Error);
  CHECK_THROWS_WITH_AS(Logistic(ctx, view, std::vector<std::int64_t>{4, 4, 4}),
                       "logistic regression: at least 2 classes are needed, the labels have 1", Error);
  CHECK_THROWS_AS(Logistic(ctx, view, std::vector<std::int64_t>{0, 1, 0}, {.C = 0}), Error);
  CHECK_THROWS_AS((Ridge<double, Cpu>(ctx, view, std::vector<double>{1, 2, 3}, 1, {.alpha = -1})), Error);
  CHECK_THROWS_AS((Ridge<double, Cpu>(ctx, {x.data(), 0, 2}, std::vector<double>{})), Error);
  x[3] = std::numeric_limits<double>::infinity();
  CHECK_THROWS_WITH_AS((Ridge<double, Cpu>(ctx, view, std::vector<double>{1, 2, 3})),
                       "features: row 1, column 1 is inf", Error);
}
