// One run through a model: the context, the tape (or none), the taps, and the check for finite values.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <type_traits>
#include <utility>

#include "braing3n/autograd/var.hpp"
#include "braing3n/ops/reduce.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Named looks into a running model: probes and explanations read activations and attention weights by path, for example
/// "blocks.3.attn.weights". A module computes what it would not compute otherwise (attention weights) only when asked.
template <Backend B>
class Taps {
 public:
  using Handler32 = std::function<void(const std::string& path, const Tensor<float, B>&)>;
  using Handler64 = std::function<void(const std::string& path, const Tensor<double, B>&)>;

  /// Calls the handler each time the value at `path` is made; values of lower precision than double arrive as float. A path has one
  /// handler for float and one for double; registering it again replaces that handler.
  void on(const std::string& path, Handler32 handler) { handlers_[path].f32 = std::move(handler); }
  void on(const std::string& path, Handler64 handler) { handlers_[path].f64 = std::move(handler); }
  bool wants(const std::string& path) const { return handlers_.count(path) != 0; }

  template <class T>
  void give(const std::string& path, const Tensor<T, B>& value) const {
    const auto found = handlers_.find(path);
    if (found == handlers_.end()) return;
    const Handlers& handlers = found->second;
    if constexpr (std::is_same_v<T, double>) {
      if (handlers.f64) handlers.f64(path, value);
    } else if constexpr (std::is_same_v<T, float>) {
      if (handlers.f32) handlers.f32(path, value);
    } else {
      if (handlers.f32) handlers.f32(path, cast<float>(value));
    }
  }

 private:
  struct Handlers {
    Handler32 f32;
    Handler64 f64;
  };
  std::map<std::string, Handlers> handlers_;
};

template <Backend B>
class Pass {
 public:
  /// Inference: nothing is recorded.
  explicit Pass(Context<B>& context) : context_(&context) {}
  /// Training: what depends on trainable parameters or on leaves of the tape is recorded.
  Pass(Context<B>& context, Tape<B>& tape) : context_(&context), tape_(&tape) {}

  Context<B>& context() const { return *context_; }
  Tape<B>* tape() const { return tape_; }

  Taps<B>* taps = nullptr;
  /// Every module checks its result and throws Error (numeric) with its path at the first NaN or infinity. Costs one pass
  /// over each activation, so it is switched on to explain a loss that is not finite.
  bool check_finite = false;
  /// Training keeps only the inputs of a model's blocks and runs each again in the backward (autograd/checkpoint.hpp).
  bool recompute_blocks = false;

  /// Whether somebody looks at the results of single modules: then none of them is fused with the next.
  bool looks_inside() const { return check_finite || taps != nullptr; }
  bool wants_tap(const std::string& path) const { return taps != nullptr && taps->wants(path); }
  template <class T>
  void tap(const std::string& path, const Tensor<T, B>& value) const {
    if (taps != nullptr) taps->give(path, value);
  }

  /// Runs a module's own work: errors get its path, results are checked and passed to the taps.
  template <class F>
  auto at(const std::string& path, F&& f) const {
    try {
      auto y = f();
      if (check_finite && !all_finite(y.value()))
        fail(ErrorKind::numeric, "pass.finite", "the result ", y.shape(),
             " is the first with a value that is not finite");
      tap(path, y.value());
      return y;
    } catch (const Error& e) {
      throw e.at(path);
    }
  }

 private:
  Context<B>* context_;
  Tape<B>* tape_ = nullptr;
};

}  // namespace braing3n::inline BRAING3N_ABI
