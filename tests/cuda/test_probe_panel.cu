// Whole panels on both backends, in memory and from files.
#include "tests/cuda/both.hpp"

#include "braing3n/cuda.cuh"
#include "braing3n/probe/run_panel.hpp"
#include "tests/support/scratch_folder.hpp"

using namespace braing3n;
using test::apart;
using test::Both;

namespace {

/// 96 scans of 48 people: a sex, a stage of three and an age that the features know, a coin that they do not, and rows without labels.
struct People {
  Index rows = 96, features = 13;
  std::vector<float> x;
  std::vector<std::int32_t> subject, sex, stage, coin;
  std::vector<double> age;

  People() {
    const Philox rng(6, Purpose::test, 0, 1);
    for (Index i = 0; i < rows; ++i) {
      const Index person = i / 2;
      subject.push_back(static_cast<std::int32_t>(person));
      sex.push_back(person % 2 == 0 ? 0 : 1);
      stage.push_back(person % 9 == 0 ? -1 : static_cast<std::int32_t>(person % 3));
      coin.push_back(
          static_cast<std::int32_t>(Philox(8, Purpose::test, 0, 3).integer(static_cast<std::uint64_t>(person)) % 2));
      age.push_back(person % 5 == 4 ? std::nan("") : 40 + static_cast<double>(person % 30));
      for (Index j = 0; j < features; ++j) {
        double v = static_cast<double>(rng.normal(static_cast<std::uint64_t>(i * features + j)));
        v += (j == 2 ? 1.2 * sex.back() : 0) + (j == 5 ? 1.0 * static_cast<double>(person % 3) : 0) +
             (j == 7 ? 0.1 * static_cast<double>(person % 30) : 0);
        x.push_back(static_cast<float>(20 * (j == 0) + (1 + static_cast<double>(j)) * v));
      }
    }
  }
  FeatureView<float> view() const { return {x.data(), rows, features}; }

  static ResolvedTask task(const std::string& name, const std::vector<std::int32_t>& label,
                           std::vector<std::string> classes) {
    ResolvedTask t;
    t.task.text = t.task.column = name;
    t.classification = true;
    t.classes = std::move(classes);
    t.label = label;
    return t;
  }
  std::vector<ResolvedTask> tasks() const {
    ResolvedTask years;
    years.task.text = years.task.column = "age";
    years.target = age;
    return {task("sex", sex, {"f", "m"}), task("stage", stage, {"a", "b", "c"}), task("coin", coin, {"h", "t"}), years};
  }
};

PanelOptions quick(bool select) {
  PanelOptions o;
  o.uncertainty = {.replicates = 40, .permutations = 39};
  o.select = select;
  o.folds.folds = 3;
  o.inner_folds = 2;
  o.grid = {1e-2, 1.0};
  o.class_weight = select ? ClassWeight::none : ClassWeight::balanced;
  return o;
}

void check_results(const std::vector<TaskResult>& gpu, const std::vector<TaskResult>& cpu) {
  REQUIRE(gpu.size() == cpu.size());
  for (std::size_t t = 0; t < cpu.size(); ++t) {
    INFO("task ", cpu[t].task.task.text);
    CHECK(gpu[t].error == cpu[t].error);
    CHECK(gpu[t].warnings == cpu[t].warnings);
    CHECK(gpu[t].sample == cpu[t].sample);
    CHECK(gpu[t].predictions.fold == cpu[t].predictions.fold);
    if (!cpu[t].ok()) continue;
    const auto &a = gpu[t].predictions.values, &b = cpu[t].predictions.values;
    const double scale = cpu[t].predictions.classes == 0 ? 100 : 1;
    CHECK(apart(std::vector<double>(a.begin(), a.end()), std::vector<double>(b.begin(), b.end())) <= 1e-5 * scale);
    REQUIRE(gpu[t].fits.size() == cpu[t].fits.size());
    for (std::size_t f = 0; f < cpu[t].fits.size(); ++f) {
      CHECK(gpu[t].fits[f].penalty == cpu[t].fits[f].penalty);
      CHECK(gpu[t].fits[f].converged);
    }
    REQUIRE(gpu[t].scores.scores.size() == cpu[t].scores.scores.size());
    for (std::size_t s = 0; s < cpu[t].scores.scores.size(); ++s) {
      const Score &g = gpu[t].scores.scores[s], &c = cpu[t].scores.scores[s];
      INFO("score ", c.name);
      CHECK(g.name == c.name);
      CHECK(std::abs(g.mean - c.mean) <= 1e-4);
      CHECK(std::abs(g.low - c.low) <= 1e-4);
      CHECK(std::abs(g.high - c.high) <= 1e-4);
    }
    CHECK(std::abs(gpu[t].scores.p_value - cpu[t].scores.p_value) <= 0.03);
  }
}

}  // namespace

TEST_CASE("a panel on the GPU is the CPU's: folds, penalties, predictions, scores, saved fits") {
  Both b;
  const People people;
  for (const bool select : {false, true}) {
    INFO("inner selection: ", select);
    std::vector<ResolvedTask> tasks = people.tasks();
    if (select) tasks.erase(tasks.begin() + 1, tasks.begin() + 3);
    const Panel panel(tasks, people.subject, quick(select));
    const auto cpu = panel.run(b.cpu, people.view()), gpu = panel.run(b.cuda, people.view());
    CHECK(cpu[0].scores["auc"].mean > 0.6);
    check_results(gpu, cpu);
    const auto cpu_fits = panel.fit_all(b.cpu, people.view(), {}, cpu);
    const auto gpu_fits = panel.fit_all(b.cuda, people.view(), {}, gpu);
    REQUIRE(gpu_fits.size() == cpu_fits.size());
    for (std::size_t t = 0; t < cpu_fits.size(); ++t) {
      CHECK(std::abs(gpu_fits[t].loss - cpu_fits[t].loss) <= 1e-6 * cpu_fits[t].loss);
      CHECK(gpu_fits[t].rows == cpu_fits[t].rows);
    }
  }
}

TEST_CASE("a panel takes the rows that it is told, and names a feature that is no number") {
  Both b;
  People people;
  const std::vector<Index> order = [] {
    std::vector<Index> rows;
    for (Index i = 0; i < 96; ++i) rows.push_back((i * 7) % 96);
    return rows;
  }();
  const Panel panel(people.tasks(), people.subject, quick(false));
  check_results(panel.run(b.cuda, people.view(), order), panel.run(b.cpu, people.view(), order));
  people.x[31 * 13 + 4] = std::numeric_limits<float>::infinity();
  const auto said = [&](auto& ctx) {
    try {
      (void)panel.run(ctx, people.view(), order);
    } catch (const NonFiniteFeature& e) {
      return concat(e.row, ' ', e.column, ' ', e.what());
    }
    return std::string();
  };
  CHECK(said(b.cuda) == said(b.cpu));
  CHECK(said(b.cuda).starts_with("31 4 "));
}

TEST_CASE("a panel from files to results and a saved probe, on both backends") {
  const test::ScratchFolder folder;
  std::string f = "id,f1,f2\n", l = "id,subject,sex,age,site\n";
  for (int i = 0; i < 60; ++i) {
    const int person = i / 2;
    f += concat("s", i, ',', person % 2 * 2 + i % 5 * 0.7, ',', i * i % 17, '\n');
    l += concat("s", i, ",p", person, ',', person % 2 == 0 ? 'F' : 'M', ',', 20 + person, ',',
                person % 3 == 0 ? "a" : "b", '\n');
  }
  PanelPlan plan;
  plan.tables.features = {folder.write("f.csv", f), folder.write("g.csv", f)};
  plan.tables.labels = folder.write("l.csv", l);
  plan.tasks = parse_tasks("sex,age,absent");
  plan.panel.uncertainty = {.replicates = 30, .permutations = 29};
  Both b;
  const PanelAnalysis cpu = run_panel(b.cpu, plan), gpu = run_panel(b.cuda, plan);
  REQUIRE(gpu.report.runs.size() == 2);
  for (std::size_t t = 0; t < 2; ++t) check_results(gpu.report.runs[t].tasks, cpu.report.runs[t].tasks);
  REQUIRE(gpu.report.leaks.size() == cpu.report.leaks.size());
  for (std::size_t k = 0; k < cpu.report.leaks.size(); ++k)
    CHECK(gpu.report.leaks[k].sentence == cpu.report.leaks[k].sentence);
  CHECK(gpu.report.warnings == cpu.report.warnings);
  const SavedProbe saved = fit_saved_probe(b.cuda, gpu), reference = fit_saved_probe(b.cpu, cpu);
  CHECK(saved.people == reference.people);
  CHECK(saved.tasks.size() == reference.tasks.size());
}

#ifdef BRAING3N_EMULATE_CUDA
TEST_CASE("a panel uploads its table once, and a second run allocates nothing") {
  Context<Cuda> ctx;
  const People people;
  const Panel panel(people.tasks(), people.subject, quick(false));
  const auto first = panel.run(ctx, people.view());
  emulation::reset_counters();
  const auto again = panel.run(ctx, people.view());
  const emulation::Counters c = emulation::counters();
  std::uint64_t passes = 0;
  for (const TaskResult& r : again)
    for (const FoldFit& f : r.fits) passes += static_cast<std::uint64_t>(f.iterations + 1 + f.products);
  MESSAGE("12 fits in ", c.copies_to_host, " reads, ", c.launches, " launches, ", c.products, " products; one by one ",
          passes, " passes");
  CHECK(c.allocations == 0);
  CHECK(c.copies_to_host < passes / 4);
  CHECK(c.synchronisations + c.event_waits == c.copies_to_host);
  for (std::size_t t = 0; t < again.size(); ++t) CHECK(again[t].predictions.values == first[t].predictions.values);
}
#endif
