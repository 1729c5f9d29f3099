// The panel at the size of the published study: 35,309 volumes of 17,399 people, 1,152 features with a decaying spectrum,
// 23 tasks (11 binary of which two with 12 % positives and one nearly separable, classifications with 4, 8, 10 and 19 classes, 8
// regressions), 5 folds, standardised inside the fold, converged to 1e-6 of the gradient at zero in fp64.
//
//   bench_probe [--rows N] [--features D] [--threads N] [--tasks N] [--curve] [--dump DIR] [--bootstrap N]
//
// --curve times panels of 1, 2, 4, ... tasks. --dump writes features, labels and folds as .npy for bench/probe_sklearn.py.
// Printed: the time of each part, iterations and gradients per task, peak memory, and the floor: the arithmetic of the passes
// that were made, at the rate a product of the same shape reaches in this run.
#include <malloc.h>
#include <sys/resource.h>

#include <Eigen/QR>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "bench/support/arguments.hpp"
#include "braing3n/backend/cpu/providers/providers.hpp"
#include "braing3n/format/npy.hpp"
#include "braing3n/format/npy_writer.hpp"
#include "braing3n/probe/panel.hpp"

using namespace braing3n;

namespace {

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
double peak_megabytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024.0;
}
void reset_peak() {  // the kernel restarts the high-water mark
  if (std::FILE* f = std::fopen("/proc/self/clear_refs", "w")) {
    std::fputs("5", f);
    std::fclose(f);
  }
}
double peak_since_reset() {
  double value = peak_megabytes();
  if (std::FILE* f = std::fopen("/proc/self/status", "r")) {
    char line[256];
    while (std::fgets(line, sizeof line, f) != nullptr)
      if (std::string(line).rfind("VmHWM:", 0) == 0) value = std::atof(line + 6) / 1024.0;
    std::fclose(f);
  }
  return value;
}

struct Data {
  Index n, d;
  std::vector<float> x;
  std::vector<std::int32_t> subject;
  std::vector<ResolvedTask> tasks;
};

/// Rows are standard normal in d directions with deviations exp(-i / 120), turned by a random rotation.
std::vector<float> decaying_features(Context<Cpu>& ctx, Index n, Index d) {
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  Matrix random(d, d);
  ctx.parallel(d, [&](Index i) {
    const Philox rng(0, Purpose::test, 0, static_cast<std::uint32_t>(i));
    for (Index j = 0; j < d; ++j) random(i, j) = static_cast<float>(rng.normal(static_cast<std::uint64_t>(j)));
  });
  Matrix rotation = Eigen::HouseholderQR<Matrix>(random).householderQ();
  for (Index i = 0; i < d; ++i) rotation.row(i) *= static_cast<float>(std::exp(-static_cast<double>(i) / 120.0));
  std::vector<float> x(static_cast<std::size_t>(n * d));
  const Index block = 1024;
  std::vector<float> z(static_cast<std::size_t>(block * d));
  for (Index first = 0; first < n; first += block) {
    const Index count = std::min(block, n - first);
    ctx.parallel(count, [&](Index i) {
      const Philox rng(1, Purpose::test, 0, static_cast<std::uint32_t>(first + i));
      for (Index j = 0; j < d; ++j)
        z[static_cast<std::size_t>(i * d + j)] = static_cast<float>(rng.normal(static_cast<std::uint64_t>(j)));
    });
    ctx.provider().gemm_f32.run(ctx, {.m = count,
                                      .n = d,
                                      .k = d,
                                      .a = z.data(),
                                      .a_row = d,
                                      .b = rotation.data(),
                                      .b_row = d,
                                      .c = x.data() + first * d,
                                      .c_row = d});
  }
  return x;
}

Data make_data(Context<Cpu>& ctx, Index n, Index d) {
  Data data{n, d, decaying_features(ctx, n, d), {}, {}};
  const Index people = std::max<Index>(1, n * 17399 / 35309);
  const Philox rng(2, Purpose::test);
  for (Index i = 0; i < n; ++i)
    data.subject.push_back(static_cast<std::int32_t>(
        i < people
            ? i
            : static_cast<Index>(rng.integer(static_cast<std::uint64_t>(i)) % static_cast<std::uint64_t>(people))));
  // Random linear scores of the standardised features, unit variance each, plus noise.
  const std::vector<int> classes{4, 8, 10, 19};
  Index scores = 11 + 8;
  for (int k : classes) scores += k;
  const Design<float, Cpu> design(ctx, {data.x.data(), n, d});
  std::vector<float> weights(static_cast<std::size_t>(scores * d)), value(static_cast<std::size_t>(n * scores));
  for (Index s = 0; s < scores; ++s)
    for (Index j = 0; j < d; ++j)
      weights[static_cast<std::size_t>(s * d + j)] = static_cast<float>(
          Philox(3, Purpose::test, 0, static_cast<std::uint32_t>(s)).normal(static_cast<std::uint64_t>(j)) /
          std::sqrt(static_cast<double>(d)));
  design.sweep<float>(scores, weights.data(), nullptr, nullptr, [&](Index, Index first, Index count, float* v) {
    std::copy_n(v, count * scores, value.data() + first * scores);
  });
  const auto noisy = [&](Index i, Index s, double noise) {
    return static_cast<double>(value[static_cast<std::size_t>(i * scores + s)]) +
           noise * Philox(4, Purpose::test, static_cast<std::uint32_t>(s), static_cast<std::uint32_t>(i)).normal(0);
  };
  Index s = 0;
  for (int t = 0; t < 11; ++t, ++s) {
    ResolvedTask task;
    task.task.text = concat("binary", t, t < 2 ? "_12_percent" : t == 10 ? "_separable" : "");
    task.classification = true;
    task.classes = {"0", "1"};
    std::vector<double> v;
    for (Index i = 0; i < n; ++i) v.push_back(noisy(i, s, t == 10 ? 0.02 : 0.5));
    const double threshold = t < 2 ? quantile(v, 0.88) : 0.0;
    for (double x : v) task.label.push_back(x > threshold ? 1 : 0);
    data.tasks.push_back(std::move(task));
  }
  for (int k : classes) {
    ResolvedTask task;
    task.task.text = concat("classes", k);
    task.classification = true;
    for (int c = 0; c < k; ++c) task.classes.push_back(concat(c));
    for (Index i = 0; i < n; ++i) {
      int best = 0;
      double top = -1e30;
      for (int c = 0; c < k; ++c)
        if (const double v = noisy(i, s + c, 0.5); v > top) {
          top = v;
          best = c;
        }
      task.label.push_back(best);
    }
    s += k;
    data.tasks.push_back(std::move(task));
  }
  for (int t = 0; t < 8; ++t, ++s) {
    ResolvedTask task;
    task.task.text = concat("regression", t);
    for (Index i = 0; i < n; ++i) task.target.push_back(noisy(i, s, 1.0));
    data.tasks.push_back(std::move(task));
  }
  return data;
}

/// Seconds per multiply-add of a product shaped like a pass, for the floor.
template <class T>
double product_rate(Context<Cpu>& ctx, Index d, Index columns) {
  const Index rows = Design<float, Cpu>::block_rows;
  std::vector<T> a(static_cast<std::size_t>(rows * d), T(1)), b(static_cast<std::size_t>(columns * d), T(1));
  const Index repeats = 16;
  std::vector<std::vector<T>> c(static_cast<std::size_t>(repeats),
                                std::vector<T>(static_cast<std::size_t>(rows * columns)));
  double best = 1e30;
  for (int trial = 0; trial < 5; ++trial) {
    const double start = seconds();
    ctx.parallel(repeats, [&](Index r) {
      ctx.provider().template gemm<T>().run(ctx, {.m = rows,
                                                  .n = columns,
                                                  .k = d,
                                                  .a = a.data(),
                                                  .a_row = d,
                                                  .b = b.data(),
                                                  .b_row = 1,
                                                  .b_col = d,
                                                  .c = c[static_cast<std::size_t>(r)].data(),
                                                  .c_row = columns});
    });
    best = std::min(best, seconds() - start);
  }
  return best / static_cast<double>(repeats * rows * d * columns);
}

}  // namespace

int main(int argc, char** argv) try {
  bench::check_arguments(argc, argv, "probes on a made-up table",
                         {.options = {"--rows", "--features", "--tasks", "--threads", "--bootstrap", "--dump"},
                          .flags = {"--curve"},
                          .words = {},
                          .any_word = false});
  Index n = 35309, d = 1152, most_tasks = 23;
  int threads = 0, bootstrap = 0;
  bool curve = false;
  std::string dump;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    const auto value = [&]() -> const char* {
      if (i + 1 == argc) fail(ErrorKind::argument, "bench.value", option, " wants a value");
      return argv[++i];
    };
    if (option == "--rows") n = std::atoll(value());
    else if (option == "--features") d = std::atoll(value());
    else if (option == "--tasks") most_tasks = std::atoll(value());
    else if (option == "--threads") threads = std::atoi(value());
    else if (option == "--bootstrap") bootstrap = std::atoi(value());
    else if (option == "--dump") dump = value();
    else if (option == "--curve") curve = true;
    else fail(ErrorKind::argument, "bench.option", "unknown option ", option);
  }
  Context<Cpu> ctx({.threads = threads});
  Data data = make_data(ctx, n, d);
  data.tasks.resize(static_cast<std::size_t>(std::min<Index>(most_tasks, static_cast<Index>(data.tasks.size()))));
  ctx.memory().trim();
  ::malloc_trim(0);
  std::printf("%lld x %lld float32 (%.0f MiB), %zu tasks, 5 folds, %d threads, provider %s\n",
              static_cast<long long>(n), static_cast<long long>(d), static_cast<double>(n * d) * 4.0 / (1 << 20),
              data.tasks.size(), ctx.threads(), ctx.provider().name);

  PanelOptions options;
  options.uncertainty.replicates = options.uncertainty.permutations = bootstrap;
  double slowest_folds = 0, all_folds = 0;
  for (const ResolvedTask& task : data.tasks) {
    const double start = seconds();
    (void)task_folds(task, data.subject, options);
    all_folds += seconds() - start;
    slowest_folds = std::max(slowest_folds, seconds() - start);
  }
  std::printf("folds of one task: at most %.3f s; of %zu tasks: %.3f s\n", slowest_folds, data.tasks.size(), all_folds);

  std::vector<std::size_t> sizes{data.tasks.size()};
  if (curve) sizes = {1, 2, 4, 8, 12, 16, 20, data.tasks.size()};
  double last_time = 0, last_columns = 0;
  for (std::size_t count : sizes) {
    count = std::min(count, data.tasks.size());
    // Every panel of the curve holds the ones before it, all kinds mixed.
    std::vector<ResolvedTask> tasks;
    double columns_of_panel = 0;
    for (std::size_t t = 0; t < count; ++t) {
      const std::size_t next = curve && data.tasks.size() == 23 ? (7 * t + 2) % 23 : t;
      if (count == data.tasks.size() && !curve) tasks.push_back(std::move(data.tasks[next]));
      else tasks.push_back(data.tasks[next]);
      columns_of_panel += static_cast<double>(detail::outputs_of(tasks.back()));
    }
    reset_peak();
    const double before = peak_since_reset(), start = seconds();
    const Panel panel(std::move(tasks), data.subject, options);
    const double prepared = seconds();
    const std::vector<TaskResult> results = panel.run(ctx, FeatureView<float>{data.x.data(), n, d});
    const double done = seconds(), peak = peak_since_reset();
    std::printf(
        "%2zu tasks (%2.0f outputs): folds and rows %.3f s, fits and scores %.2f s, total %.2f s, peak %.0f MiB (%.0f "
        "before), 1.5 x "
        "features + 300 = %.0f MiB\n",
        count, columns_of_panel, prepared - start, done - prepared, done - start, peak, before,
        1.5 * static_cast<double>(n * d) * 4.0 / (1 << 20) + 300.0);
    if (curve)
      std::printf("         %.3f s per output; added outputs cost %.3f s each\n", (done - start) / columns_of_panel,
                  (done - start - last_time) / (columns_of_panel - last_columns));
    last_time = done - start;
    last_columns = columns_of_panel;
    if (count != sizes.back()) continue;
    const double folds_done = prepared;
    double gradient_columns = 0, product_columns = 0, worst = 0;
    bool converged = true;
    for (const TaskResult& r : results) {
      if (!r.ok()) fail(ErrorKind::state, "bench.task", r.task.task.text, ": ", r.error);
      const double outputs = static_cast<double>(detail::outputs_of(r.task));
      int iterations = 0, products = 0;
      double gradient = 0;
      for (const FoldFit& f : r.fits) {
        iterations = std::max(iterations, f.iterations);
        products = std::max(products, f.products);
        gradient = std::max(gradient, f.gradient);
        gradient_columns += outputs * (f.iterations + 1);
        product_columns += outputs * f.products;
      }
      worst = std::max(worst, gradient);
      converged = converged && r.converged();
      std::printf("  %-20s %s %.4f  Newton steps %d, products %d, gradient %.1e%s\n", r.task.task.text.c_str(),
                  r.scores.scores[0].name.c_str(), r.scores.scores[0].mean, iterations, products, gradient,
                  r.converged() ? "" : "  NOT CONVERGED");
    }
    const Index columns = 300;
    const double work = 2.0 * static_cast<double>(n * d);  // multiply-adds of one pass per column
    const double floor = work * (gradient_columns * product_rate<double>(ctx, d, columns) +
                                 product_columns * product_rate<float>(ctx, d, columns));
    std::printf(
        "all converged: %s, largest relative gradient %.1e; floor of these passes %.2f s (%.0f %% of the time)\n",
        converged ? "yes" : "NO", worst, floor, 100.0 * floor / (done - folds_done));
    if (!dump.empty()) {
      std::filesystem::create_directories(dump);
      const WriteOptions replace{.overwrite = true};
      write_npy<float>(dump + "/features.npy", {n, d}, data.x, replace);
      for (const TaskResult& r : results) {
        if (r.task.classification)
          write_npy<std::int32_t>(concat(dump, "/label.", r.task.task.text, ".npy"), {n}, r.task.label, replace);
        else write_npy<double>(concat(dump, "/label.", r.task.task.text, ".npy"), {n}, r.task.target, replace);
        write_npy<std::int32_t>(concat(dump, "/fold.", r.task.task.text, ".npy"), {n}, r.predictions.fold, replace);
        write_npy<double>(concat(dump, "/score.", r.task.task.text, ".npy"), {5}, r.scores.scores[0].folds, replace);
      }
    }
  }
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "bench_probe: %s\n", e.what());
  return 2;
}
