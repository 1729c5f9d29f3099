// A training whose backend was chosen at run time. Its model stays a model of the host: its weights are where the training starts from, and
// they are brought up to date before the model is saved and when the training ends.
#pragma once

#include <concepts>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "braing3n/checkpoint/saved_model.hpp"
#include "braing3n/data/volumes.hpp"
#include "braing3n/device/gpu.hpp"
#include "braing3n/report/image.hpp"
#include "braing3n/train/fit.hpp"

namespace braing3n::inline BRAING3N_ABI {

class TrainingRun {
 public:
  virtual ~TrainingRun() = default;

  virtual const TrainingProgress& progress() const = 0;
  virtual const TrainingOptions& options() const = 0;
  /// open_training_folder(), before anything else.
  virtual FileLock open(const TrainingFolder& folder, const TrainingInfo& identity, ResumeMode resume, bool replace,
                        const std::function<void(const std::string&)>& tell) = 0;
  /// fit().
  virtual FitEnd fit(const TrainingFolder& folder, const TrainingInfo& identity, const FitHooks& hooks) = 0;

  // Of the task.
  virtual double validate(ScanFailures& failures) = 0;
  virtual Image preview(ScanFailures& failures) = 0;
  virtual const ScanFailures& failures() const = 0;
  virtual double seconds_waited() const = 0;
};

namespace detail {

/// The weights of a model as load_state() reads them.
class HeldState {
 public:
  explicit HeldState(std::vector<NamedTensor> tensors) : tensors_(std::move(tensors)) {
    for (std::size_t i = 0; i < tensors_.size(); ++i) places_[tensors_[i].name] = i;
  }
  const std::vector<NamedTensor>& tensors() const { return tensors_; }
  bool contains(const std::string& name) const { return places_.contains(name); }
  const NamedTensor& info(const std::string& name) const { return tensors_[places_.at(name)]; }
  template <std::same_as<float> V>
  std::vector<V> read(const std::string& name) const {
    const NamedTensor& t = info(name);
    std::vector<V> values(t.bytes.size() / sizeof(V));
    std::memcpy(values.data(), t.bytes.data(), t.bytes.size());
    return values;
  }

 private:
  std::vector<NamedTensor> tensors_;
  std::unordered_map<std::string, std::size_t> places_;
};

/// Model `to` gets the weights of `from`, a model of the same config on another backend.
template <class To, class From>
void copy_weights(To& to, const From& from) {
  if (const LoadReport report = load_state(to, HeldState(state_tensors(from))); !report.complete())
    fail(ErrorKind::state, "training.weights", "training: expected the same weights on both backends, got\n",
         report.str());
}

}  // namespace detail

/// make_task(model, start) gives the task (train/trainer.hpp) from a sample of its stream on.
template <class HostModel, class Model, class Task, Backend B>
class BackendTraining final : public TrainingRun {
 public:
  using MakeTask = std::function<std::unique_ptr<Task>(const Model&, Index start)>;

  /// host_model must be initialised, and outlive the run.
  BackendTraining(Context<B>& context, HostModel& host_model, const TrainingOptions& options, std::uint64_t seed,
                  MakeTask make_task)
      : host_model_(&host_model), own_(copied(context, host_model)), trainer_(context, model(), options, seed),
        make_task_(std::move(make_task)) {}

  const TrainingProgress& progress() const override { return trainer_.progress(); }
  const TrainingOptions& options() const override { return trainer_.options(); }
  FileLock open(const TrainingFolder& folder, const TrainingInfo& identity, ResumeMode resume, bool replace,
                const std::function<void(const std::string&)>& tell) override {
    FileLock lock = open_training_folder(folder, trainer_, identity, resume, replace, tell);
    task_ = make_task_(model(), trainer_.progress().samples);
    return lock;
  }
  FitEnd fit(const TrainingFolder& folder, const TrainingInfo& identity, const FitHooks& given) override {
    FitHooks hooks = given;
    hooks.save_model = [&](const std::filesystem::path& path) {
      update_host();
      given.save_model(path);
    };
    const FitEnd end = braing3n::fit(trainer_, task(), folder, identity, hooks);
    update_host();
    return end;
  }
  double validate(ScanFailures& failures) override { return task().validate(failures); }
  Image preview(ScanFailures& failures) override { return task().preview(failures); }
  const ScanFailures& failures() const override { return task().stream().failures(); }
  double seconds_waited() const override { return task().stream().seconds_waited(); }

 private:
  static constexpr bool on_host = std::is_same_v<HostModel, Model>;

  static std::unique_ptr<Model> copied(Context<B>& context, const HostModel& host_model) {
    if constexpr (on_host) {
      return nullptr;
    } else {
      auto own = std::make_unique<Model>(context, host_model.config);
      detail::copy_weights(*own, host_model);
      return own;
    }
  }
  Model& model() {
    if constexpr (on_host) return *host_model_;
    else return *own_;
  }
  void update_host() {
    if constexpr (!on_host) detail::copy_weights(*host_model_, *own_);
  }
  Task& task() const {
    if (task_ == nullptr) fail(ErrorKind::state, "training.closed", "training: expected an open folder, got none");
    return *task_;
  }

  HostModel* host_model_;
  std::unique_ptr<Model> own_;  // on another backend
  Trainer<Model, B> trainer_;
  MakeTask make_task_;
  std::unique_ptr<Task> task_;
};

/// A training on one backend. A job (train_mae.hpp and beside it) has the host's model, a config and a seed, names its Model and its Task, and
/// makes the task.
template <Precision P, Backend B, class Job>
std::unique_ptr<TrainingRun> make_training(Context<B>& context, Context<Cpu>& host, const Job& job) {
  using Model = typename Job::template Model<B, P>;
  return std::make_unique<
      BackendTraining<typename Job::template Model<Cpu, F32>, Model, typename Job::template Task<B, P>, B>>(
      context, *job.model, job.config.training, job.seed,
      [&context, &host, job](const Model& model, Index start) { return job.task(context, host, model, start); });
}

/// A training where the program has chosen: on the CPU in F32 only.
template <std::same_as<Machine> M, class Job>
std::unique_ptr<TrainingRun> open_training(const M& machine, const Job& job, ModelPrecision precision) {
  if (machine.gpu != nullptr) return machine.gpu->training(*machine.host, job, precision);
  if (precision != ModelPrecision::f32)
    fail(ErrorKind::argument, "training.precision", "training: expected f32 on the CPU, got bf16, which takes a GPU");
  return make_training<F32>(*machine.host, *machine.host, job);
}

}  // namespace braing3n::inline BRAING3N_ABI
