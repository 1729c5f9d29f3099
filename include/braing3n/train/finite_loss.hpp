// A loss that is NaN or infinite must stop a run, and say where it began.
#pragma once

#include <cmath>

#include "braing3n/autograd/ops_loss.hpp"
#include "braing3n/autograd/pass.hpp"
#include "braing3n/nn/visit.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Does nothing for a finite loss `value`. Otherwise throws Error (numeric) that names the first bad tensor: a parameter, or the first
/// module whose result is not finite when `forward(pass)` runs again. Inputs and masks must be those of the failed step.
template <Backend B, class Model, class Forward>
void require_finite_loss(double value, Context<B>& context, const Model& model, Forward&& forward) {
  if (std::isfinite(value)) return;
  for_each_parameter(model, [&](const std::string& path, const auto& p) {
    if (!all_finite(p.compute()))
      throw Error(ErrorKind::numeric, "loss.finite",
                  concat("the loss is ", value, "; this parameter ", p.shape(), " has a value that is not finite"),
                  path);
  });
  Pass<B> pass(context);
  pass.check_finite = true;
  try {
    forward(pass);
  } catch (const Error& e) {
    if (e.id() != "pass.finite") throw;
    throw Error(ErrorKind::numeric, "loss.finite", concat("the loss is ", value, "; ", e.text()), e.path());
  }
  fail(ErrorKind::numeric, "loss.finite", "the loss is ", value,
       " although every parameter and the result of every module is finite");
}
/// The same for a loss that has not been read yet: waits for it.
template <Backend B, class Model, class Forward>
void require_finite_loss(const Var<double, B>& loss, Context<B>& context, const Model& model, Forward&& forward) {
  require_finite_loss(item(loss), context, model, forward);
}

}  // namespace braing3n::inline BRAING3N_ABI
