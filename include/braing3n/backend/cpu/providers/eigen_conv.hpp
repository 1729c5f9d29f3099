// Convolutions of the Eigen provider: products with whole lines of the input where that pays, im2col elsewhere.
//
// With channels last, the patch matrix of one (kx, ky) needs no copy: its row is a contiguous run of an input line, and the next
// row begins in_step voxels further on. A Map whose outer stride is shorter than its rows says so. A line of results is then the
// sum of one product per (kx, ky), computed where it lies, and the gradient of a line of weights the sum of one product per line
// of results. Only the ends along z need care: lines are read from a copy with zeros around them, which a task keeps for the
// planes it needs. im2col instead writes and reads every element once per tap, half as long as a product with 32 columns takes.
// Tasks and the order of every sum depend on the geometry alone.
#pragma once

#include <cstring>
#include <vector>

#include "braing3n/backend/cpu/conv/im2col.hpp"
#include "braing3n/backend/cpu/providers/eigen_product.hpp"

namespace braing3n::inline BRAING3N_ABI::detail {

/// One phase of a convolution. T float or double.
template <class T>
class EigenLineConv {
 public:
  /// Every product packs its weights again, and im2col copies patches once for all columns: so long lines, or few columns.
  static bool suits(const ConvProblem& p, const ConvPhase& phase) {
    const Index count = phase.axis[2].count;
    return phase.lines() * phase.axis[2].taps > 0 && (count >= 40 || 4 * count >= p.columns);
  }
  /// Every line of results adds to the whole gradient, which therefore has to be small.
  static bool suits_gradient(const ConvProblem& p, const ConvPhase& phase) {
    return phase.axis[2].count >= 12 && weights_size(p, phase) * static_cast<Index>(sizeof(T)) <= partial_bytes / 8;
  }

  EigenLineConv(Context<Cpu>& ctx, const ConvProblem& problem, const ConvPhase& phase)
      : ctx_(ctx), p_(problem), phase_(phase), ax_(phase.axis[0]), ay_(phase.axis[1]), az_(phase.axis[2]),
        k_(az_.taps * p_.reduced) {
    constexpr Index ring_bytes = 640 << 10;  // most of a common L2 cache
    before_ = std::max<Index>(0, -az_.in_first);
    const Index after = std::max<Index>(0, az_.in_index(az_.count - 1, az_.taps - 1) - (p_.in[2] - 1));
    line_ = (before_ + p_.in[2] + after) * p_.reduced;
    const Index lines = ring_bytes / (ax_.taps * line_ * static_cast<Index>(sizeof(T)));
    const Index few = std::max<Index>(1, p_.batch * ax_.count * ay_.count / 32);
    block_y_ = std::clamp<Index>((lines - ay_.taps) / ay_.in_step + 1, 1, std::min(few, ay_.count));
    plane_lines_ = (block_y_ - 1) * ay_.in_step + ay_.taps;
    y_blocks_ = (ay_.count + block_y_ - 1) / block_y_;
    run_x_ = std::clamp<Index>(p_.batch * ax_.count * y_blocks_ / 32, 1, 16);
    x_runs_ = (ax_.count + run_x_ - 1) / run_x_;
  }

  /// y = the phase applied to x [+ bias] [+ residual]; weights: (lines, taps along z, reduced) x columns.
  void run(const T* x, const T* weights, const T* bias, const T* residual, T* y) const {
    ctx_.parallel(p_.batch * x_runs_ * y_blocks_, [&](Index task) {
      each_line(x, task, [&](const auto& line, Index ox, Index oy, Index at) {
        const Index step = az_.out_step * p_.columns;
        T* const to = y + at * p_.columns;
        const T* const more = residual != nullptr ? residual + at * p_.columns : nullptr;
        for (Index z = 0; z < az_.count; ++z)
          for (Index j = 0; j < p_.columns; ++j)
            to[z * step + j] = (bias != nullptr ? bias[j] : T(0)) + (more != nullptr ? more[z * step + j] : T(0));
        each_input(line, ox, oy, [&](Index l, const T* from) {
          eigen_product<T>(az_.count, p_.columns, k_, from, az_.in_step * p_.reduced, 1, weights + l * k_ * p_.columns,
                           p_.columns, 1, to, step, true);
        });
      });
    });
  }

  /// dw += the gradient of a problem whose only phase this is.
  void weight_gradient(const T* x, const T* dy, T* dw) const {
    const Index size = weights_size(p_, phase_), tasks = p_.batch * x_runs_ * y_blocks_;
    const Index most = partial_bytes / (size * static_cast<Index>(sizeof(T)));
    const Index groups = std::clamp<Index>(most, 1, std::min<Index>(16, tasks));
    Tensor<T, Cpu> partial = Tensor<T, Cpu>::zeros(ctx_, Shape{groups, size});
    ctx_.parallel(groups, [&](Index group) {
      T* const to = partial.data() + group * size;
      for (Index task = group * tasks / groups; task < (group + 1) * tasks / groups; ++task)
        each_line(x, task, [&](const auto& line, Index ox, Index oy, Index at) {
          each_input(line, ox, oy, [&](Index l, const T* from) {
            eigen_product<T>(k_, p_.columns, az_.count, from, 1, az_.in_step * p_.reduced, dy + at * p_.columns,
                             p_.columns, 1, to + l * k_ * p_.columns, p_.columns, true);
          });
        });
    });
    ctx_.parallel_range(size / p_.columns, std::max<Index>(1, 16384 / p_.columns), [&](Index begin, Index end) {
      for (Index group = 0; group < groups; ++group)
        for (Index r = begin; r < end; ++r) {
          const T* const from = partial.data() + group * size + r * p_.columns;
          T* const to = dw + r / p_.reduced * p_.tap_size() + r % p_.reduced * p_.w_reduced;
          for (Index j = 0; j < p_.columns; ++j) to[j * p_.w_column] += from[j];
        }
    });
  }

 private:
  static constexpr Index partial_bytes = 64 << 20;  // of gradients summed apart

  static Index weights_size(const ConvProblem& p, const ConvPhase& phase) {
    return phase.lines() * phase.axis[2].taps * p.tap_size();
  }

  // Calls f(line, ox, oy, at) for every line of results of a task: `line(ix, iy)` is the padded input line, results begin at voxel `at`.
  template <class F>
  void each_line(const T* x, Index task, F&& f) const {
    const Index n = task / y_blocks_ / x_runs_, x0 = task / y_blocks_ % x_runs_ * run_x_,
                y0 = task % y_blocks_ * block_y_;
    const Index x1 = std::min(ax_.count, x0 + run_x_), y1 = std::min(ay_.count, y0 + block_y_);
    Tensor<T, Cpu> ring(ctx_, Shape{ax_.taps * plane_lines_ * line_});
    const auto line = [&](Index ix, Index iy) {
      return ring.data() + (ix % ax_.taps * plane_lines_ + iy - ay_.in_index(y0, 0)) * line_;
    };
    Index next = 0;  // planes below it were copied
    for (Index ox = x0; ox < x1; ++ox) {
      const Index end = std::min(p_.in[0], ax_.in_index(ox, ax_.taps));
      for (next = std::max(next, ax_.in_index(ox, 0)); next < end; ++next) copy_plane(x, n, next, y0, y1, line);
      for (Index oy = y0; oy < y1; ++oy)
        f(line, ox, oy,
          ((n * p_.out[0] + ax_.out_index(ox)) * p_.out[1] + ay_.out_index(oy)) * p_.out[2] + az_.out_index(0));
    }
  }

  // The lines of plane ix that results y0 .. y1 read.
  template <class Line>
  void copy_plane(const T* x, Index n, Index ix, Index y0, Index y1, const Line& line) const {
    const Index first = std::max<Index>(0, ay_.in_index(y0, 0)),
                end = std::min(p_.in[1], ay_.in_index(y1 - 1, ay_.taps));
    const Index before = before_ * p_.reduced, middle = p_.in[2] * p_.reduced;
    for (Index iy = first; iy < end; ++iy) {
      T* const to = line(ix, iy);
      std::fill_n(to, before, T(0));
      std::memcpy(to + before, x + ((n * p_.in[0] + ix) * p_.in[1] + iy) * middle,
                  static_cast<std::size_t>(middle) * sizeof(T));
      std::fill_n(to + before + middle, line_ - before - middle, T(0));
    }
  }

  // Calls f(l, first row of patches) for every (kx, ky) = l that lies inside the volume.
  template <class Line, class F>
  void each_input(const Line& line, Index ox, Index oy, F&& f) const {
    for (Index l = 0; l < phase_.lines(); ++l) {
      const Index ix = ax_.in_index(ox, l / ay_.taps), iy = ay_.in_index(oy, l % ay_.taps);
      if (ix >= 0 && ix < p_.in[0] && iy >= 0 && iy < p_.in[1])
        f(l, line(ix, iy) + (before_ + az_.in_first) * p_.reduced);
    }
  }

  Context<Cpu>& ctx_;
  const ConvProblem& p_;
  const ConvPhase& phase_;
  const ConvAxis &ax_, &ay_, &az_;
  Index k_;                      // of one product
  Index before_ = 0, line_ = 0;  // zeros before a line, elements of a line with its zeros
  Index block_y_ = 1, run_x_ = 1, plane_lines_ = 1, y_blocks_ = 1, x_runs_ = 1;
};

template <class T>
struct EigenConvolutions {
  static void forward(Context<Cpu>& ctx, const ConvGeometry& g, const T* x, const T* w, const T* bias,
                      const T* residual, T* y) {
    run(ctx, forward_problem(g), x, w, bias, residual, y);
  }
  static void backward_input(Context<Cpu>& ctx, const ConvGeometry& g, const T* w, const T* bias, const T* dy, T* dx) {
    run(ctx, transposed_problem(g), dy, w, bias, nullptr, dx);
  }
  static void backward_weight(Context<Cpu>& ctx, const ConvGeometry& g, const T* x, const T* dy, T* dw) {
    const ConvProblem problem = forward_problem(g);
    const ConvPhase& phase = problem.phases.front();
    if (EigenLineConv<T>::suits_gradient(problem, phase))
      EigenLineConv<T>(ctx, problem, phase).weight_gradient(x, dy, dw);
    else Im2colConv<T>(ctx, problem).weight_gradient(x, dy, dw);
  }

 private:
  static void run(Context<Cpu>& ctx, const ConvProblem& problem, const T* x, const T* w, const T* bias,
                  const T* residual, T* y) {
    Im2colConv<T> im2col(ctx, problem);
    for (const ConvPhase& phase : problem.phases) {
      Tensor<T, Cpu> reordered;
      if (EigenLineConv<T>::suits(problem, phase))
        EigenLineConv<T>(ctx, problem, phase).run(x, im2col.phase_weights(phase, w, reordered), bias, residual, y);
      else im2col.run(phase, x, w, bias, residual, y);
    }
  }
};

template <class T>
constexpr ConvKernels<T> eigen_convolutions() {
  return {&EigenConvolutions<T>::forward, &EigenConvolutions<T>::backward_input,
          &EigenConvolutions<T>::backward_weight};
}

}  // namespace braing3n::inline BRAING3N_ABI::detail
