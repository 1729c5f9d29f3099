// Training whose host reads a step while the next one runs.
#include "tests/cuda/both.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "braing3n/cuda.cuh"
#include "braing3n/nn/initialize.hpp"
#include "braing3n/nn/mlp.hpp"
#include "braing3n/ops/transfer.hpp"
#include "braing3n/train/fit.hpp"
#include "tests/support/scratch_folder.hpp"

using namespace braing3n;
using test::apart;

namespace {

/// y = MLP(x), towards numbers of the batch's place in the stream.
template <Backend B, Precision P>
struct Network {
  struct Config {};
  Config config;
  Mlp<B, P> first, second;
  explicit Network(Context<B>& context) : first(context, 24, 40), second(context, 24, 56) {
    bind_names(*this);
    initialize(*this, 3);
  }
  static void visit(auto& self, auto&& v) {
    v("first", self.first);
    v("second", self.second);
  }
};

template <Backend B, Precision P>
struct Task {
  using T = typename P::Compute;
  struct Batch {
    Tensor<T, B> x, y;
    double extra = 0;  // added to the loss
  };
  Context<B>& context;
  Context<Cpu>& host;
  const Network<B, P>& model;
  Index taken = 0;
  Index nan_in = -1, infinite_in = -1;  // a batch with a NaN, a batch with an infinite loss

  Batch next() {
    auto x = test::random<float>(host, {5, 24}, static_cast<std::uint32_t>(2 * taken)),
         y = test::random<float>(host, {5, 24}, static_cast<std::uint32_t>(2 * taken + 1));
    if (taken == nan_in) x.data()[7] = std::numeric_limits<float>::quiet_NaN();
    Batch b{to_backend<T>(context, x), to_backend<T>(context, y), 0};
    if (taken == infinite_in) b.extra = std::numeric_limits<double>::infinity();
    ++taken;
    return b;
  }
  Var<double, B> loss(Pass<B>& pass, const Batch& b) const {
    const auto l = mse_loss(model.second(pass, model.first(pass, Var<T, B>(b.x))), b.y);
    return b.extra == 0 ? l : add(l, Var<double, B>(scalar(context, b.extra)));
  }
  Index position() const { return taken; }
  Index scans() const { return 4; }
};

TrainingOptions options() {
  TrainingOptions o;
  o.steps = 6, o.accumulate = 2, o.lr = 1e-2, o.warmup = 0, o.clip = 0.5, o.validate_every = 3;
  o.ema = EmaOptions{.decay = 0.9};
  return o;
}

template <Backend B, Precision P>
std::vector<double> weights(const Network<B, P>& model) {
  std::vector<double> all;
  for_each_parameter(model, [&](const std::string&, const auto& p) {
    for (const auto v : p.value().to_host()) all.push_back(static_cast<double>(v));
  });
  return all;
}

struct Run {
  std::vector<double> losses, weights;
};

/// Five steps with reports when they come.
template <Precision P, Backend B>
Run late(Context<B>& context, Context<Cpu>& host) {
  Network<B, P> model(context);
  Trainer<Network<B, P>, B> trainer(context, model, options(), 3);
  Task<B, P> task{context, host, model};
  Run run;
  for (int i = 0; i < 5; ++i) {
    const std::optional<StepReport> report = trainer.advance(task);
    CHECK(trainer.progress().step == i + 1);
    CHECK(trainer.progress().samples == 2 * (i + 1));
    CHECK(report.has_value() == (std::same_as<B, Cpu> || i > 0));
    if (!report) continue;
    CHECK(report->step == (std::same_as<B, Cpu> ? i + 1 : i));
    CHECK(report->lr == Schedule(options().schedule()).at(report->step - 1));
    run.losses.push_back(report->loss);
  }
  const std::optional<StepReport> last = trainer.finish();
  CHECK(last.has_value() == std::same_as<B, Cuda>);
  if (last) run.losses.push_back(last->loss);
  CHECK_FALSE(trainer.finish().has_value());
  run.weights = weights(model);
  return run;
}

/// The same, each read at once.
template <Precision P, Backend B>
Run early(Context<B>& context, Context<Cpu>& host) {
  Network<B, P> model(context);
  Trainer<Network<B, P>, B> trainer(context, model, options(), 3);
  Task<B, P> task{context, host, model};
  Run run;
  for (int i = 0; i < 5; ++i) {
    const StepReport report = trainer.step(task);
    CHECK(report.step == i + 1);
    run.losses.push_back(report.loss);
  }
  run.weights = weights(model);
  return run;
}

}  // namespace

TEST_CASE("reports that come a step later are those of the steps") {
  test::Both b;
  const Run cpu = late<F32>(b.cpu, b.cpu), gpu = late<F32>(b.cuda, b.cpu);
  CHECK(cpu.losses == early<F32>(b.cpu, b.cpu).losses);
  CHECK(gpu.losses == early<F32>(b.cuda, b.cpu).losses);
  CHECK(gpu.weights == early<F32>(b.cuda, b.cpu).weights);
  CHECK(apart(gpu.losses, cpu.losses) < 1e-6);
  CHECK(late<BF16>(b.cuda, b.cpu).losses == early<BF16>(b.cuda, b.cpu).losses);
}

TEST_CASE("a step that is not finite changes nothing, nor does the one after it, and the place is named") {
  test::Both b;
  for (const bool infinite : {false, true}) {
    CAPTURE(infinite);
    Network<Cuda, F32> model(b.cuda);
    Trainer<Network<Cuda, F32>, Cuda> trainer(b.cuda, model, options(), 3);
    Task<Cuda, F32> task{b.cuda, b.cpu, model};
    (infinite ? task.infinite_in : task.nan_in) = 5;  // in the third step
    trainer.advance(task);
    CHECK(trainer.advance(task)->step == 1);
    const auto before = weights(model);
    const auto average = trainer.finish().has_value() ? trainer.with_average([&] { return weights(model); }) : before;
    CHECK_FALSE(trainer.advance(task).has_value());
    test::check_error("loss.finite", {infinite ? "inf" : "nan"}, [&] { trainer.advance(task); });
    CHECK(weights(model) == before);
    CHECK(trainer.with_average([&] { return weights(model); }) == average);
    CHECK(trainer.progress().step == 2);
    CHECK(trainer.progress().samples == 4);
    CHECK_FALSE(trainer.finish().has_value());
    CHECK(trainer.step(task).step == 3);  // and it goes on
    CHECK(weights(model) != before);
  }
}

TEST_CASE("a step under way is finished before the model is looked at") {
  test::Both b;
  Network<Cuda, F32> model(b.cuda);
  Trainer<Network<Cuda, F32>, Cuda> trainer(b.cuda, model, options(), 3);
  Task<Cuda, F32> task{b.cuda, b.cpu, model};
  const test::ScratchFolder folder;
  trainer.advance(task);
  test::check_error("trainer.pending", {"was not read"}, [&] { trainer.with_average([] { return 0; }); });
  test::check_error("trainer.pending", {"was not read"}, [&] { trainer.save(folder.path / "state.safetensors", {}); });
  CHECK(trainer.finish()->step == 1);
  CHECK(trainer.with_average([] { return 1; }) == 1);
}

namespace {

struct Fitted {
  std::string log;
  std::vector<Index> reported, validated;
  std::vector<double> weights;
};

template <Backend B>
Fitted fitted(Context<B>& context, Context<Cpu>& host, Index stop_at) {
  Network<B, F32> model(context);
  Trainer<Network<B, F32>, B> trainer(context, model, options(), 3);
  Task<B, F32> task{context, host, model};
  const test::ScratchFolder folder;
  Fitted f;
  FitHooks hooks;
  hooks.stop_at = stop_at;
  hooks.on_step = [&](const StepReport& r) { f.reported.push_back(r.step); };
  hooks.validate = [&] {
    f.validated.push_back(std::ssize(f.reported));
    return 1.0;
  };
  hooks.save_model = [](const std::filesystem::path&) {};
  fit(trainer, task, TrainingFolder{folder.path},
      {.kind = "test", .config = "{}", .manifest_hash = "", .progress = {}, .extra = {}}, hooks);
  std::ifstream log(folder.path / "log.jsonl");
  f.log.assign(std::istreambuf_iterator<char>(log), {});
  f.weights = weights(model);
  return f;
}

}  // namespace

TEST_CASE("a run reports every step once, in order, and has read all of them before it validates") {
  test::Both b;
  const Fitted gpu = fitted(b.cuda, b.cpu, 0), cpu = fitted(b.cpu, b.cpu, 0);
  CHECK(gpu.reported == std::vector<Index>{1, 2, 3, 4, 5, 6});
  CHECK(gpu.validated == std::vector<Index>{3, 6});
  CHECK(cpu.reported == gpu.reported);
  CHECK(cpu.validated == gpu.validated);
  CHECK(std::ranges::count(gpu.log, '\n') == std::ranges::count(cpu.log, '\n'));
  CHECK(apart(gpu.weights, cpu.weights) < 1e-3);
  CHECK(fitted(b.cuda, b.cpu, 5).reported == std::vector<Index>{1, 2, 3, 4, 5});
}

#ifdef BRAING3N_EMULATE_CUDA
TEST_CASE("the device has the next step before the host waits for the last one") {
  const emulation::Options before = emulation::options();
  emulation::options().deferred = true;
  {
    Context<Cpu> host{{.threads = 1}};
    CudaOptions given = test::cuda_options();
    given.keep_memory = true;
    Context<Cuda> context(given);
    Network<Cuda, F32> model(context);
    Trainer<Network<Cuda, F32>, Cuda> trainer(context, model, options(), 3);
    Task<Cuda, F32> task{context, host, model};
    context.synchronize();
    emulation::reset_counters();
    CHECK_FALSE(trainer.advance(task).has_value());
    CHECK(emulation::counters().launches == 0);  // asked for, and nobody has waited
    CHECK(emulation::counters().event_waits == 0);
    std::uint64_t each = 0;
    for (int i = 2; i <= 5; ++i) {
      const std::uint64_t so_far = emulation::counters().launches;
      CHECK(trainer.advance(task)->step == i - 1);
      const emulation::Counters c = emulation::counters();
      // One step has run: the one that was read. The next one is still in the stream.
      if (i > 3) CHECK(c.launches - so_far == each);
      each = c.launches - so_far;
      CHECK(each > 0);
      CHECK(c.copies_to_host == static_cast<std::uint64_t>(i));
      CHECK(c.event_waits == static_cast<std::uint64_t>(i - 1));
      CHECK(c.synchronisations == 0);
    }
    const std::uint64_t allocations = emulation::counters().allocations,
                        host_allocations = emulation::counters().host_allocations;
    trainer.advance(task);
    CHECK(emulation::counters().allocations == allocations);
    CHECK(emulation::counters().host_allocations == host_allocations);
    trainer.finish();
  }
  emulation::options() = before;
}
#endif
