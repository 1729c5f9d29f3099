// In-place updates of parameters: AdamW, exponential moving average, scaling of gradients.
//
// Each is one pass over memory. AdamW reads value, gradient and both moments and writes back all but the gradient: 28 bytes
// per float parameter, and nothing else matters for its speed.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <type_traits>

#include "braing3n/core/parameter_view.hpp"
#include "braing3n/ops/scalar.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// One step of AdamW (Loshchilov and Hutter, arXiv 1711.05101) as torch.optim.AdamW computes it:
///   g <- factor g;  p <- p (1 - lr decay);  m <- m + (1 - beta1) (g - m);  v <- beta2 v + (1 - beta2) g^2
///   p <- p - lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
struct AdamWStep {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double decay = 0.01;  // decoupled weight decay
  std::int64_t t = 1;   // number of this step, from 1
};

namespace detail {

/// Square root of x >= 0, within 1 ulp for normal x, in operations that vectorise: the standard library's may set errno, which
/// keeps compilers from using vector instructions. Newton's iteration for 1 / sqrt(x) from the classic exponent-halving guess,
/// then one correction by the residual x - s^2. Infinity and NaN are returned as they are.
template <class T>
BRAING3N_HD BRAING3N_INLINE T sqrt_nonnegative(T x) {
  constexpr bool is_double = std::is_same_v<T, double>;
  using Bits = std::conditional_t<is_double, std::uint64_t, std::uint32_t>;
  constexpr Bits magic = static_cast<Bits>(is_double ? 0x5fe6eb50c7b537a9ull : 0x5f375a86ull);
  T y = __builtin_bit_cast(T, magic - (__builtin_bit_cast(Bits, x) >> 1));
  const T half = static_cast<T>(0.5) * x;
  for (int i = 0; i < (is_double ? 3 : 2); ++i) y = y * (static_cast<T>(1.5) - half * y * y);
  const T s = x * y;
  const T root = s + static_cast<T>(0.5) * y * (x - s * s);
  constexpr T largest = static_cast<T>(is_double ? 0x1.fffffffffffffp+1023 : 0x1.fffffep+127);
  return x <= largest ? root : x;
}

/// A factor that is not finite leaves everything as it is.
BRAING3N_HD BRAING3N_INLINE bool is_finite_factor(double factor) { return factor - factor == 0; }

template <class T>
struct AdamWElement {
  T* p;
  T* m;
  T* v;
  const T* g;
  const double* factor;
  T keep, one_minus_beta1, beta2, one_minus_beta2, step_size, inverse_root, eps;
  T gradient_scale{};
  bool skipped = false;
  BRAING3N_HD BRAING3N_INLINE AdamWElement prepared() const {
    AdamWElement e = *this;
    e.gradient_scale = static_cast<T>(*factor);
    e.skipped = !is_finite_factor(*factor);
    return e;
  }
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const {
    if (skipped) return;
    const T gi = gradient_scale * g[i];
    const T mi = m[i] + one_minus_beta1 * (gi - m[i]);
    const T vi = beta2 * v[i] + one_minus_beta2 * gi * gi;
    m[i] = mi;
    v[i] = vi;
    p[i] = keep * p[i] - step_size * mi / (sqrt_nonnegative(vi) * inverse_root + eps);
  }
};

template <class T>
AdamWElement<T> adamw_element(T* p, T* m, T* v, const T* g, const double* factor, const AdamWStep& step) {
  const double t = static_cast<double>(step.t);
  const double correction1 = 1.0 - std::pow(step.beta1, t), correction2 = 1.0 - std::pow(step.beta2, t);
  return {p,
          m,
          v,
          g,
          factor,
          static_cast<T>(1.0 - step.lr * step.decay),
          static_cast<T>(1.0 - step.beta1),
          static_cast<T>(step.beta2),
          static_cast<T>(1.0 - step.beta2),
          static_cast<T>(step.lr / correction1),
          static_cast<T>(1.0 / std::sqrt(correction2)),
          static_cast<T>(step.eps)};
}

template <class T>
struct Ema {
  T* average;
  const T* value;
  const double* factor;
  T rate;  // 1 - decay
  BRAING3N_HD BRAING3N_INLINE Ema prepared() const {
    return {average, value, factor, is_finite_factor(*factor) ? rate : T{0}};
  }
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const {
    average[i] = average[i] + rate * (value[i] - average[i]);
  }
};

template <class T>
struct Swap {
  T* a;
  T* b;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const {
    const T old = a[i];
    a[i] = b[i];
    b[i] = old;
  }
};

template <class T>
struct ScaleInPlace {
  T* x;
  T s;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const { x[i] = s * x[i]; }
};

}  // namespace detail

/// Updates value, m and v in place, with the gradient times `factor`, a number on the backend (clip_factor). A factor that is not finite
/// leaves all three as they are. All four tensors have one shape.
template <class T, Backend B>
void adamw_update(Tensor<T, B>& value, const Tensor<T, B>& gradient, Tensor<T, B>& m, Tensor<T, B>& v,
                  const Tensor<double, B>& factor, const AdamWStep& step) {
  require_elements("adamw", value);
  require_same_shape("adamw", value, gradient);
  require_same_shape("adamw", value, m);
  require_same_shape("adamw", value, v);
  require_same_context("adamw", value, gradient);
  require_shape("adamw", "factor", factor, Shape{});
  map(value.context(), value.size(),
      detail::adamw_element(value.data(), m.data(), v.data(), gradient.data(), factor.data(), step));
}

/// average <- decay average + (1 - decay) value, unless `factor`, a number on the backend, is not finite (the step was then skipped).
template <class T, Backend B>
void ema_update(Tensor<T, B>& average, const Tensor<T, B>& value, const Tensor<double, B>& factor, double decay) {
  require_elements("ema", average);
  require_same_shape("ema", average, value);
  require_same_context("ema", average, value);
  require_shape("ema", "factor", factor, Shape{});
  map(average.context(), average.size(),
      detail::Ema<T>{average.data(), value.data(), factor.data(), static_cast<T>(1.0 - decay)});
}

/// Whether one launch over all parameters is to be had: on a GPU, where a launch costs as much as a million elements. On the CPU it costs
/// nothing, and a loop over one parameter has constants alone.
template <Backend B>
inline constexpr bool one_launch_v = !std::is_same_v<B, Cpu>;

/// A parameter in a block of several.
struct BlockSegment {
  Index begin = 0, size = 0;
  std::uint8_t group = 0;  // its rate and its decay
};

namespace detail {

/// AdamWElement, Ema and the copy in low precision for every element of a block.
template <class T>
struct BlockUpdate {
  static constexpr int most_groups = 8;
  static constexpr Index line = padded_elements<T>(1);  // elements that share a group
  AdamWElement<T> adamw;                                // of group 0
  const std::uint8_t* group_of_line;
  T* average;      // or null
  bfloat16* copy;  // or null
  T rate;          // 1 - decay of the average
  T keep[most_groups];
  T step_size[most_groups];
  /// Reads the rates of an element's group where they lie.
  struct Prepared {
    const BlockUpdate* block;
    AdamWElement<T> adamw;
    BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const {
      if (adamw.skipped) return;
      AdamWElement<T> own = adamw;
      const int group = block->group_of_line[i / line];
      own.keep = block->keep[group];
      own.step_size = block->step_size[group];
      own(i);
      const T value = adamw.p[i];
      if (block->average != nullptr) block->average[i] += block->rate * (value - block->average[i]);
      if (block->copy != nullptr) block->copy[i] = convert<bfloat16>(value);
    }
  };
  BRAING3N_HD BRAING3N_INLINE Prepared prepared() const { return {this, adamw.prepared()}; }
};

}  // namespace detail

/// adamw_update, ema_update and the copy in low precision for a whole block of parameters.
template <class T, Backend B>
struct BlockStep {
  ParameterBlock<T, B> block;  // `copies` are renewed where one_launch_v, if not null
  T* m = nullptr;
  T* v = nullptr;
  T* average = nullptr;  // or none
  double average_decay = 0;
  const std::uint8_t* group_of_line = nullptr;  // where one_launch_v
  std::span<const AdamWStep> groups{};          // at most 8
  std::span<const BlockSegment> segments{};
};

/// The same step as one launch.
template <class T, Backend B>
void block_update_at_once(Context<B>& context, const BlockStep<T, B>& s, const Tensor<double, B>& factor) {
  const auto of = [&](std::size_t group) {
    return detail::adamw_element(s.block.values, s.m, s.v, s.block.gradients, factor.data(), s.groups[group]);
  };
  detail::BlockUpdate<T> update{
      of(0), s.group_of_line, s.average, s.block.copies, static_cast<T>(1.0 - s.average_decay), {}, {}};
  for (std::size_t g = 0; g < s.groups.size(); ++g) {
    update.keep[g] = of(g).keep;
    update.step_size[g] = of(g).step_size;
  }
  map(context, s.block.size, update);
}

/// One parameter after the other where a launch costs nothing.
template <class T, Backend B>
void block_update(Context<B>& context, const BlockStep<T, B>& s, const Tensor<double, B>& factor) {
  require_shape("adamw", "factor", factor, Shape{});
  if constexpr (one_launch_v<B>) {
    block_update_at_once(context, s, factor);
  } else {
    for (const BlockSegment& p : s.segments) {
      map(context, p.size,
          detail::adamw_element(s.block.values + p.begin, s.m + p.begin, s.v + p.begin, s.block.gradients + p.begin,
                                factor.data(), s.groups[p.group]));
      if (s.average != nullptr)
        map(context, p.size,
            detail::Ema<T>{s.average + p.begin, s.block.values + p.begin, factor.data(),
                           static_cast<T>(1.0 - s.average_decay)});
    }
  }
}

/// Exchanges the elements of two tensors.
template <class T, Backend B>
void swap_in_place(Tensor<T, B>& a, Tensor<T, B>& b) {
  require_elements("swap", a);
  require_same_shape("swap", a, b);
  require_same_context("swap", a, b);
  map(a.context(), a.size(), detail::Swap<T>{a.data(), b.data()});
}

/// x <- s x.
template <class T, Backend B>
void scale_in_place(Tensor<T, B>& x, double s) {
  require_elements("scale_in_place", x);
  map(x.context(), x.size(), detail::ScaleInPlace<T>{x.data(), static_cast<T>(s)});
}

}  // namespace braing3n::inline BRAING3N_ABI
