// One optimiser step after another, for any model and any loss, and the whole state to go on bit for bit.
//
//   Trainer trainer(context, model, options.resolved(scans), seed);
//   while (trainer.progress().step < options.steps) trainer.step(task);
//
// A task gives batches and the loss of one:
//   Batch next();                                                  the next batch of its endless stream
//   Var<double, B> loss(Pass<B>&, const Batch&) const;             a function of its arguments and of the model
//   Index position() const;  Index scans() const;                  samples taken so far, samples per epoch
// Gradients of `accumulate` batches are averaged, clipped by their norm and given to AdamW; frozen parameters take no part.
#pragma once

#include <cmath>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "braing3n/checkpoint/training_state.hpp"
#include "braing3n/nn/flatten.hpp"
#include "braing3n/optim/clip.hpp"
#include "braing3n/train/finite_loss.hpp"
#include "braing3n/train/options.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct StepReport {
  Index step = 0;   // 1 after the first
  double loss = 0;  // mean over the accumulated batches
  double lr = 0;
  double gradient_norm = 0;  // before clipping
};

template <class Model, Backend B, class T = float>
class Trainer {
 public:
  /// The model must be initialised and must not move afterwards. `options` are resolved.
  Trainer(Context<B>& context, Model& model, const TrainingOptions& options, std::uint64_t seed)
      : context_(&context), model_(&model), options_(options), views_(flattened(model, context)),
        optimizer_(views_, options.adamw), schedule_(options.schedule()) {
    if (options.steps < 1 || options.validate_every < 1)
      fail(ErrorKind::state, "trainer.options", "trainer: the options are not resolved");
    if (options.ema) average_.emplace(views_, *options.ema);
    progress_.seed = seed;
  }
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  /// One step, and its report. Throws Error (numeric) that names where a NaN began; parameters, moments and average are then as before the
  /// step.
  template <class Task>
  StepReport step(Task& task) {
    const std::optional<StepReport> known = advance(task);
    return pending_ ? *finish() : *known;
  }

  /// Asks for one step and returns the newest report that is there without waiting for the step: on the CPU its own, on a GPU that of the
  /// step before (none after the first), so that the device has work while the host reads. finish() gives the last one. Until a step is
  /// read, its batches stay in memory, to name the place of a NaN, and `task` must stay where it is. A step that is not finite changes
  /// nothing, and neither do the steps after it until it was read: its error, thrown by whoever reads it, leaves everything as before it.
  template <class Task>
  std::optional<StepReport> advance(Task& task) {
    PendingStep next = launch(task);
    std::optional<PendingStep> last = std::exchange(pending_, std::move(next));
    if constexpr (reads_at_once) return finish();
    else return last ? std::optional(read(*last)) : std::nullopt;
  }
  /// Waits for the step that is under way. Nothing when there is none.
  std::optional<StepReport> finish() {
    std::optional<PendingStep> last = std::exchange(pending_, std::nullopt);
    return last ? std::optional(read(*last)) : std::nullopt;
  }

  /// f() with the averaged parameters in the model, where there is an average.
  template <class F>
  auto with_average(F&& f) {
    require_finished();
    struct Swap {
      std::optional<Ema<T, B>>& average;
      explicit Swap(std::optional<Ema<T, B>>& a) : average(a) { turn(); }
      ~Swap() { turn(); }
      void turn() {
        if (average) average->swap();
      }
    } swap(average_);
    return f();
  }

  /// Takes a validation loss in; true when it is the best so far.
  bool note_validation(double loss) {
    const bool better = std::isfinite(loss) && (!progress_.best || loss < *progress_.best);
    stale_ = better ? 0 : stale_ + 1;
    if (better) progress_.best = loss;
    return better;
  }
  bool out_of_patience() const { return options_.patience > 0 && stale_ >= options_.patience; }

  const TrainingProgress& progress() const { return progress_; }
  const TrainingOptions& options() const { return options_; }
  Model& model() { return *model_; }

  /// Writes everything that the next step depends on. `identity` says which run this is (kind, config, manifest hash).
  void save(const std::filesystem::path& path, TrainingInfo identity) {
    require_finished();
    identity.progress = progress_;
    identity.extra["counters"] = json_text(Counters{stale_, average_ ? average_->updates() : 0});
    std::vector<NamedTensor> tensors;
    visit_state([&](const std::string& name, Tensor<T, B>& t) {
      const auto extents = t.shape().extents();
      std::vector<Index> shape(extents.begin(), extents.end());
      if constexpr (std::is_same_v<B, Cpu>)
        tensors.push_back(
            named_tensor(name, std::move(shape), std::span<const T>(t.data(), static_cast<std::size_t>(t.size()))));
      else tensors.push_back(named_tensor(name, std::move(shape), t.to_host()));
    });
    save_training_state(path, identity, tensors);
  }

  /// Takes a saved state in. Throws Error: config (another run), format (a tensor that does not fit).
  void restore(const TrainingStateFile& state, TrainingInfo identity) {
    require_finished();
    identity.progress.seed = progress_.seed;
    require_same_run(state, identity);
    const auto found = state.info().extra.find("counters");
    if (found == state.info().extra.end())
      throw Error(ErrorKind::format, "training_state.counters", "the state has no counters", state.file().path());
    const auto counters = config_from_text<Counters>(found->second, state.file().path());
    visit_state([&](const std::string& name, Tensor<T, B>& t) {
      const auto extents = t.shape().extents();
      if (!state.file().contains(name) ||
          !std::equal(extents.begin(), extents.end(), state.file().info(name).shape.begin(),
                      state.file().info(name).shape.end()))
        throw Error(ErrorKind::format, "training_state.tensor",
                    concat("no tensor ", in_quotes(name), " of shape ", t.shape()), state.file().path());
    });
    visit_state([&](const std::string& name, Tensor<T, B>& t) {
      const std::vector<T> values = state.file().template read<T>(name);
      context_->memory().copy_from_host(t.data(), values.data(), t.bytes());
    });
    for (ParameterView<T, B>& p : views_)
      if (p.changed) p.changed();
    progress_ = state.info().progress;
    stale_ = counters.stale_validations;
    optimizer_.set_steps(progress_.step);
    if (average_) average_->set_updates(counters.average_updates);
  }

 private:
  struct Counters {
    Index stale_validations = 0, average_updates = 0;
    static void visit(auto& self, auto&& v) {
      v("stale_validations", self.stale_validations);
      v("average_updates", self.average_updates);
    }
  };

  static constexpr bool reads_at_once = std::is_same_v<B, Cpu>;  // where reading costs nothing

  /// A step whose numbers the host has not read.
  struct PendingStep {
    StepReport report;
    TrainingProgress before;
    std::int64_t updates_before = 0;  // of the average
    Tensor<double, B> squares;        // of the gradient's norm; not finite where a loss is not, or the step before
    PendingItems<B> numbers;          // the losses, then the squares
    std::function<void(const std::vector<double>&)> explain;  // throws the error of a step that is not finite
  };

  /// Asks the backend for a step. Losses, norm and factor stay there. On the CPU, where reading costs nothing, there is one batch at a time.
  template <class Task>
  PendingStep launch(Task& task) {
    optimizer_.zero_gradients();
    const double share = 1.0 / static_cast<double>(options_.accumulate);
    const Tensor<double, B> upstream = scalar(*context_, share);
    auto batches = std::make_shared<std::vector<decltype(task.next())>>();
    std::vector<Tensor<double, B>> numbers;
    for (Index i = 0; i < options_.accumulate; ++i) {
      batches->push_back(task.next());
      numbers.push_back(add_gradients(task, batches->back(), upstream));
      if constexpr (reads_at_once) batches->clear();
    }
    PendingStep step;
    step.squares = squared_gradient_norm(std::span<const ParameterView<T, B>>(views_));
    if (pending_) numbers.push_back(pending_->squares);
    for (const Tensor<double, B>& n : numbers)  // + 0, or NaN where one is not finite although the gradient is
      step.squares = add_forward(step.squares, sub_forward(n, n));
    if (pending_) numbers.pop_back();
    numbers.push_back(step.squares);
    step.before = progress_;
    step.updates_before = average_ ? average_->updates() : 0;
    step.report.lr = schedule_.at(progress_.step);
    const Tensor<double, B> factor = clip_factor(step.squares, options_.clip.value_or(0));
    optimizer_.step(step.report.lr, factor, average_ ? &*average_ : nullptr);
    step.numbers = PendingItems<B>(numbers);
    step.explain = [this, &task, batches, upstream](const std::vector<double>& read) {
      for (std::size_t i = 0; i < batches->size(); ++i)
        require_finite_loss(read[i], *context_, *model_, [&](Pass<B>& again) { task.loss(again, (*batches)[i]); });
      if (!batches->empty()) optimizer_.zero_gradients();  // they may be those of a later step
      for (const auto& batch : *batches) add_gradients(task, batch, upstream);
      require_finite_gradients(std::span<const ParameterView<T, B>>(views_), read.back());
    };
    step.report.step = ++progress_.step;
    progress_.samples = task.position();
    progress_.epoch = progress_.samples / task.scans();
    progress_.data_position = progress_.samples % task.scans();
    return step;
  }

  /// Adds the gradients of one batch; returns its loss.
  template <class Task, class Batch>
  Tensor<double, B> add_gradients(Task& task, const Batch& batch, const Tensor<double, B>& upstream) {
    Tape<B> tape;
    Pass<B> pass(*context_, tape);
    pass.recompute_blocks = options_.recompute_blocks;
    const Var<double, B> loss = task.loss(pass, batch);
    if constexpr (reads_at_once)
      require_finite_loss(loss, *context_, *model_, [&](Pass<B>& again) { task.loss(again, batch); });
    tape.backward(loss, upstream);
    return loss.value();
  }

  /// Waits for the numbers of a step.
  StepReport read(PendingStep& step) {
    const std::vector<double> numbers = step.numbers.wait();
    if (!std::isfinite(numbers.back())) {
      pending_.reset();  // it did nothing either
      progress_ = step.before;
      optimizer_.set_steps(progress_.step);
      if (average_) average_->set_updates(step.updates_before);
      step.explain(numbers);
    }
    for (Index i = 0; i < options_.accumulate; ++i) step.report.loss += numbers[static_cast<std::size_t>(i)];
    step.report.loss *= 1.0 / static_cast<double>(options_.accumulate);
    step.report.gradient_norm = std::sqrt(numbers.back());
    return step.report;
  }
  void require_finished() const {
    if (pending_)
      fail(ErrorKind::state, "trainer.pending", "trainer: expected a finished step, got one whose report was not read");
  }

  static ParameterViews<T, B> flattened(Model& model, Context<B>& context) {
    flatten<Model, B, T>(model, context);
    return parameter_views<Model, B, T>(model);
  }

  template <class F>
  void visit_state(F&& f) {
    for (ParameterView<T, B>& p : views_) f("weights/" + p.name, p.value);
    optimizer_.visit_state([&](const std::string& name, Tensor<T, B>& t) {
      const bool second = name.starts_with("exp_avg_sq.");
      f((second ? "moment2/" : "moment1/") + name.substr(second ? 11 : 8), t);
    });
    if (average_) average_->visit_state([&](const std::string& name, Tensor<T, B>& t) { f("ema/" + name, t); });
  }

  Context<B>* context_;
  Model* model_;
  TrainingOptions options_;
  ParameterViews<T, B> views_;
  AdamW<T, B> optimizer_;
  Schedule schedule_;
  std::optional<Ema<T, B>> average_;
  TrainingProgress progress_;
  Index stale_ = 0;  // validations since the best one
  std::optional<PendingStep> pending_;
};

}  // namespace braing3n::inline BRAING3N_ABI
