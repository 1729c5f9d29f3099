// What one training step of a transformer asks of the device: launches, library products, copies. Counted in the emulation.
#include "tests/cuda/both.hpp"

#include "braing3n/cuda.cuh"
#include "braing3n/models/dit3d.hpp"
#include "braing3n/models/mae3d.hpp"
#include "braing3n/nn/initialize.hpp"
#include "braing3n/objective/flow_matching.hpp"
#include "braing3n/ops/transfer.hpp"
#include "braing3n/train/trainer.hpp"

#ifdef BRAING3N_EMULATE_CUDA

using namespace braing3n;

namespace {

struct Task {
  Context<Cuda>& context;
  Context<Cpu>& host;
  Index taken = 0;
  Index position() const { return taken; }
  Index scans() const { return 4; }
};

template <Precision P>
struct DitStep : Task {
  using T = typename P::Compute;
  using Model = Dit3d<Cuda, P>;
  const Model& model;
  struct Batch {
    FlowSample<T, Cuda> flow;
    std::vector<double> t;
  };
  static Model make(Context<Cuda>& context, Index depth) {
    Dit3dConfig c;
    c.channels = 6, c.grid = {2, 3, 2}, c.width = 48, c.depth = depth, c.heads = 4, c.mlp = 192;
    return Model(context, c);
  }
  Batch next() {
    const Index at = ++taken;
    const std::vector<Index> places = {2 * at, 2 * at + 1};
    const auto data = to_backend<T>(context, test::random<float>(host, {2, 12, 6}, static_cast<std::uint32_t>(at)));
    const std::vector<double> t = {0.1 * static_cast<double>(at), 0.8};
    return {flow_interpolate(data, draw_noise<T>(context, 3, std::span<const Index>(places), {12, 6}), t), t};
  }
  Var<double, Cuda> loss(Pass<Cuda>& pass, const Batch& b) const {
    const std::vector<ConditionRow> known(2, [&] {
      ConditionRow row(model.config.conditions.size());
      for (std::size_t f = 0; f < row.size(); ++f)
        if (model.config.conditions[f].kind == ConditionKind::categorical) row[f].label = 0;
      return row;
    }());
    return mse_loss(model(pass, Var<T, Cuda>(b.flow.x_t), b.t, condition_batch(model.config.conditions, known)),
                    b.flow.velocity);
  }
};

template <Precision P>
struct MaeStep : Task {
  using T = typename P::Compute;
  using Model = Mae3d<Cuda, P>;
  const Model& model;
  struct Batch {
    Tensor<T, Cuda> x;
    TokenMask<Cuda> mask;
  };
  static Model make(Context<Cuda>& context, Index depth) {
    Mae3dConfig c;
    c.encoder = {.image = {8, 12, 8}, .patch = {4, 4, 4}, .width = 24, .depth = depth, .heads = 2, .mlp = 32};
    c.decoder_width = 24, c.decoder_depth = 1, c.decoder_heads = 2, c.decoder_mlp = 32;
    return Model(context, c);
  }
  Batch next() {
    const auto id = static_cast<std::uint32_t>(++taken);
    const std::vector<std::uint32_t> samples = {2 * id, 2 * id + 1};
    return {to_backend<T>(context, test::random<float>(host, {2, 8, 12, 8, 1}, id)),
            draw_token_mask(context, 3, 0, std::span<const std::uint32_t>(samples), 12, 0.5)};
  }
  Var<double, Cuda> loss(Pass<Cuda>& pass, const Batch& b) const {
    const auto out = model(pass, b.x, b.mask);
    return masked_patch_loss(out.prediction, out.target, b.mask, true);
  }
};

/// Counters of the fourth step.
template <class Step>
emulation::Counters counted(Index depth) {
  Context<Cpu> host{{.threads = 1}};
  CudaOptions given = test::cuda_options();
  given.keep_memory = true;
  Context<Cuda> context(given);
  auto model = Step::make(context, depth);
  initialize(model, 1);
  TrainingOptions options;
  options.steps = 9, options.validate_every = 9;
  Trainer<typename Step::Model, Cuda> trainer(context, model, options, 1);
  Step step{{context, host}, model};
  for (int i = 0; i < 3; ++i) trainer.step(step);
  context.synchronize();
  emulation::reset_counters();
  trainer.step(step);
  context.synchronize();
  return emulation::counters();
}

struct Most {
  std::uint64_t launches, products, uploads;
  std::uint64_t block_launches, block_products;  // of one block more
};

template <class Step>
void check(const Most& most) {
  const auto one = counted<Step>(1), two = counted<Step>(2);
  CHECK(one.launches <= most.launches);
  CHECK(one.products <= most.products);
  CHECK(one.copies_to_device <= most.uploads);
  CHECK(two.launches - one.launches <= most.block_launches);
  CHECK(two.products - one.products <= most.block_products);
  // No algorithm is asked for after the first steps, and nothing is allocated or waited for but the step's numbers.
  for (const emulation::Counters& c : {one, two}) {
    CHECK(c.product_plans == 0);
    CHECK(c.allocations == 0);
    CHECK(c.copies_to_host == 1);
    CHECK(c.event_waits == 1);
    CHECK(c.synchronisations == 1);  // the test's own
  }
}

}  // namespace

TEST_CASE("a training step of a transformer keeps to its numbers of launches, products and uploads") {
  check<DitStep<F32>>({84, 42, 8, 34, 29});
  check<DitStep<BF16>>({87, 42, 8, 34, 29});
  check<MaeStep<F32>>({107, 60, 4, 25, 26});
  check<MaeStep<BF16>>({109, 60, 4, 25, 26});
}
#endif
