// Direct convolution on channels-last volumes: no im2col, the input is read where it lies.
//
// A tile is up to Micro::rows results along z times Micro::cols channels. Neighbouring results read inputs that lie a constant
// distance apart, and for one (kx, ky) the taps along z and all channels are one contiguous run (conv_problem.hpp). So the
// micro-kernel of the matrix product computes a tile in place, one term per (kx, ky), and the sum never leaves the registers.
//   - Lines outside the volume in x or y are left out, which saves their arithmetic.
//   - Runs that stick out along z are read from a copy with zeros: of a tile's own rows where lines are long, of the whole
//     input (z padded once) where most tiles touch an end.
//   - Weights are packed once per call (conv_pack.hpp). When a panel is larger than a share of the L2 cache the lines are cut
//     into groups, and a block of results is swept once per group.
// Tasks and the order of every sum depend on the geometry alone.
#pragma once

#include <cstring>
#include <optional>
#include <span>
#include <type_traits>

#include "braing3n/backend/cpu/conv/pack.hpp"

namespace braing3n::inline BRAING3N_ABI::detail {

/// Micro as in micro.hpp. Computes y = problem(x, w) [+ bias] [+ residual].
template <class Micro>
class DirectConv {
  using T = typename Micro::In;
  using Acc = typename Micro::Acc;
  static constexpr Index cols = Micro::cols;

 public:
  DirectConv(Context<Cpu>& ctx, const ConvProblem& problem)
      : ctx_(ctx), p_(problem), panels_(ceil_div(p_.columns, cols)) {
    choose_blocks();
  }

  void run(const T* x, const T* w, const T* bias, const T* residual, T* y) {
    x_ = x, bias_ = bias, residual_ = residual, y_ = y;
    weights_.emplace(ctx_, p_, w);
    pad_input();
    const Index panel_groups = ceil_div(panels_, task_panels_);
    const Index y_blocks = ceil_div(most(1), block_y_), x_runs = ceil_div(most(0), block_x_ * run_);
    ctx_.parallel(p_.batch * y_blocks * x_runs * panel_groups, [&](Index id) {
      const Index group = id % panel_groups, yb = id / panel_groups % y_blocks;
      const Index xr = id / panel_groups / y_blocks % x_runs, n = id / panel_groups / y_blocks / x_runs;
      Scratch scratch(ctx_, *this);
      for (Index xb = xr * run_; xb < (xr + 1) * run_; ++xb)
        for (std::size_t phase = 0; phase < p_.phases.size(); ++phase)
          block(scratch, phase, n, xb * block_x_, yb * block_y_, group * task_panels_,
                std::min(panels_, (group + 1) * task_panels_));
    });
  }

 private:
  struct Line {
    const T* a;  // voxel z = -z_before_ of the input line
    Index tap;   // tx * taps_y + ty
  };
  // What one task needs: the lines of every (x, y) of its block, a tile's terms, and room for rows that stick out along z.
  struct Scratch {
    std::vector<Line> lines;
    std::vector<std::size_t> begin;  // of each (x, y) in `lines`
    std::vector<TileTerm<T>> terms;
    Tensor<T, Cpu> edge;
    Scratch(Context<Cpu>& ctx, const DirectConv& conv) {
      Index lines_most = 1, span = 0;
      for (const ConvPhase& phase : conv.p_.phases) {
        lines_most = std::max(lines_most, phase.lines());
        span = std::max(span, (Micro::rows - 1) * phase.axis[2].in_step + phase.axis[2].taps);
      }
      lines.reserve(static_cast<std::size_t>(conv.block_x_ * conv.block_y_ * lines_most));
      terms.resize(static_cast<std::size_t>(lines_most));
      if (!conv.padded_)
        edge = Tensor<T, Cpu>(ctx, Shape{std::max<Index>(1, conv.lines_per_chunk_ * span * conv.p_.reduced)});
    }
  };

  static Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }
  Index most(int axis) const {
    Index n = 1;
    for (const ConvPhase& phase : p_.phases) n = std::max(n, phase.axis[axis].count);
    return n;
  }

  void choose_blocks() {
    constexpr Index panel_bytes = 320 << 10;  // of packed weights that one sweep uses: a third of a common L2 cache
    constexpr Index all_bytes = 8 << 20;      // above this, weights are not read again for every small block of results
    Index lines = 1, panel = 1, total = 0;
    for (const ConvPhase& phase : p_.phases) {
      lines = std::max(lines, phase.lines());
      const Index line = PackedConvWeights<Micro>::line_size(p_, phase) * static_cast<Index>(sizeof(T));
      panel = std::max(panel, line);
      total += phase.lines() * line * panels_;
    }
    // A sum that is rounded to the result's type between groups would lose precision: bfloat16 takes all lines at once.
    const Index chunks = std::is_same_v<T, Acc> ? ceil_div(lines, std::max<Index>(1, panel_bytes / panel)) : 1;
    lines_per_chunk_ = ceil_div(lines, chunks);
    const Index nx = most(0), ny = most(1);
    if (total > all_bytes) {
      task_panels_ = 1;
      block_y_ = std::min<Index>(ny, 16);
      block_x_ = std::clamp<Index>(64 / block_y_, 1, nx);
      run_ = 1;
    } else {
      task_panels_ = panels_;
      block_y_ = std::min<Index>(ny, 8);
      block_x_ = 1;
      run_ = std::clamp<Index>(p_.batch * nx * ceil_div(ny, block_y_) / 32, 1, 16);
    }
    Index tiles = 0;
    for (const ConvPhase& phase : p_.phases) {
      const ConvAxis& z = phase.axis[2];
      if (z.taps == 0) continue;
      tiles = std::max(tiles, ceil_div(z.count, Micro::rows));
      z_before_ = std::max(z_before_, -z.in_first);
      z_after_ = std::max(z_after_, z.in_index(z.count - 1, z.taps - 1) - (p_.in[2] - 1));
    }
    padded_ = tiles <= 2 && z_before_ + z_after_ > 0;
    if (!padded_) z_before_ = z_after_ = 0;
  }

  void pad_input() {
    z_extent_ = p_.in[2] + z_before_ + z_after_;
    input_ = x_;
    if (!padded_) return;
    const Index lines = p_.batch * p_.in[0] * p_.in[1];
    const Index before = z_before_ * p_.reduced, middle = p_.in[2] * p_.reduced, row = z_extent_ * p_.reduced;
    padded_input_ = Tensor<T, Cpu>(ctx_, Shape{lines * row});
    T* const to = padded_input_.data();
    ctx_.parallel_range(lines, std::max<Index>(1, 65536 / row), [&](Index begin, Index end) {
      for (Index l = begin; l < end; ++l) {
        std::fill_n(to + l * row, before, T(0.0f));
        std::memcpy(static_cast<void*>(to + l * row + before), x_ + l * middle,
                    static_cast<std::size_t>(middle) * sizeof(T));
        std::fill_n(to + l * row + before + middle, row - before - middle, T(0.0f));
      }
    });
    input_ = to;
  }

  // Results (n, [x0, x0 + block_x), [y0, y0 + block_y), all z) of one phase, columns of panels [panel0, panel1).
  void block(Scratch& s, std::size_t phase_id, Index n, Index x0, Index y0, Index panel0, Index panel1) const {
    const ConvPhase& phase = p_.phases[phase_id];
    const ConvAxis &ax = phase.axis[0], &ay = phase.axis[1], &az = phase.axis[2];
    const Index x1 = std::min(ax.count, x0 + block_x_), y1 = std::min(ay.count, y0 + block_y_);
    if (x0 >= x1 || y0 >= y1) return;
    s.lines.clear();
    s.begin.clear();
    for (Index x = x0; x < x1; ++x)
      for (Index y = y0; y < y1; ++y) {
        s.begin.push_back(s.lines.size());
        if (az.taps == 0) continue;
        for (Index tx = 0; tx < ax.taps; ++tx)
          for (Index ty = 0; ty < ay.taps; ++ty) {
            const Index ix = ax.in_index(x, tx), iy = ay.in_index(y, ty);
            if (ix < 0 || ix >= p_.in[0] || iy < 0 || iy >= p_.in[1]) continue;
            s.lines.push_back(
                {input_ + ((n * p_.in[0] + ix) * p_.in[1] + iy) * z_extent_ * p_.reduced, tx * ay.taps + ty});
          }
      }
    s.begin.push_back(s.lines.size());
    const Index tiles = ceil_div(az.count, Micro::rows), lines = std::max<Index>(1, phase.lines());
    for (Index chunk = 0; chunk < lines; chunk += lines_per_chunk_)
      for (Index panel = panel0; panel < panel1; ++panel)
        for (Index x = x0; x < x1; ++x)
          for (Index y = y0; y < y1; ++y) {
            const std::size_t cell = static_cast<std::size_t>((x - x0) * (y1 - y0) + y - y0);
            const Line *begin = s.lines.data() + s.begin[cell], *end = s.lines.data() + s.begin[cell + 1];
            const Line* first = std::find_if(begin, end, [&](const Line& l) { return l.tap >= chunk; });
            const Line* last =
                std::find_if(first, end, [&](const Line& l) { return l.tap >= chunk + lines_per_chunk_; });
            const bool starts = first == begin && (last != first || chunk + lines_per_chunk_ >= lines);
            if (first == last && !starts) continue;
            const Index line = ((n * p_.out[0] + ax.out_index(x)) * p_.out[1] + ay.out_index(y)) * p_.out[2];
            for (Index t = 0; t < tiles; ++t)
              tile(s, phase_id, {first, last}, starts, line, panel, even_cut(az.count, tiles, t),
                   even_cut(az.count, tiles, t + 1));
          }
  }

  // Results z0 .. z1 of one line; `starts`: nothing has been added to them yet.
  void tile(Scratch& s, std::size_t phase_id, std::span<const Line> lines, bool starts, Index line, Index panel,
            Index z0, Index z1) const {
    const ConvPhase& phase = p_.phases[phase_id];
    const ConvAxis& az = phase.axis[2];
    const Index count = static_cast<Index>(lines.size()), in_z = az.in_first + z0 * az.in_step + z_before_;
    const Index span = (z1 - z0 - 1) * az.in_step + az.taps;
    const bool inside = in_z >= 0 && in_z + span <= z_extent_;
    for (Index l = 0; l < count; ++l) {
      const Line& from = lines[static_cast<std::size_t>(l)];
      TileTerm<T>& term = s.terms[static_cast<std::size_t>(l)];
      term.b = weights_->line(phase_id, panel, from.tap);
      term.a =
          inside ? from.a + in_z * p_.reduced : copy_edge(from.a, in_z, span, s.edge.data() + l * span * p_.reduced);
    }
    const Index row = az.out_step * p_.columns, column = panel * cols;
    const Index offset = (line + az.out_index(z0)) * p_.columns + column;
    TileCall<T, Acc> call;
    call.rows = z1 - z0, call.cols = std::min(cols, p_.columns - column);
    call.k = az.taps * p_.reduced, call.lda = az.in_step * p_.reduced;
    call.terms = s.terms.data(), call.term_count = count;
    const T* const bias = bias_ != nullptr ? bias_ + column : nullptr;
    const T* const residual = residual_ != nullptr ? residual_ + offset : nullptr;
    if constexpr (std::is_same_v<T, Acc>) {
      call.c = y_ + offset, call.ldc = row, call.accumulate = true;
      if (starts && (bias != nullptr || residual != nullptr || count == 0))
        fill(call.c, row, call.rows, call.cols, bias, residual);
      else call.accumulate = !starts;
      if (count > 0) Micro::tile(call);
    } else {
      Acc sums[Micro::rows * cols] = {};
      call.c = sums, call.ldc = cols;
      if (count > 0) Micro::tile(call);
      round(sums, y_ + offset, row, call.rows, call.cols, bias, residual);
    }
  }

  const T* copy_edge(const T* line, Index in_z, Index span, T* to) const {
    const Index begin = std::clamp<Index>(-in_z, 0, span), end = std::clamp<Index>(z_extent_ - in_z, begin, span),
                c = p_.reduced;
    std::fill_n(to, begin * c, T(0.0f));
    const std::size_t bytes = static_cast<std::size_t>((end - begin) * c) * sizeof(T);
    if (end > begin) std::memcpy(static_cast<void*>(to + begin * c), line + (in_z + begin) * c, bytes);
    std::fill_n(to + end * c, (span - end) * c, T(0.0f));
    return to;
  }

  void fill(Acc* c, Index row, Index rows, Index width, const T* bias, const T* residual) const {
    vectorized(ctx_.isa(), [&]() BRAING3N_LAMBDA_INLINE {
      for (Index r = 0; r < rows; ++r) {
        BRAING3N_IVDEP
        for (Index j = 0; j < width; ++j)
          c[r * row + j] =
              (bias != nullptr ? bias[j] : T(0.0f)) + (residual != nullptr ? residual[r * row + j] : T(0.0f));
      }
    });
  }

  void round(const Acc* sums, T* y, Index row, Index rows, Index width, const T* bias, const T* residual) const {
    vectorized(ctx_.isa(), [&]() BRAING3N_LAMBDA_INLINE {
      for (Index r = 0; r < rows; ++r) {
        BRAING3N_IVDEP
        for (Index j = 0; j < width; ++j) {
          Acc v = sums[r * cols + j];
          if (bias != nullptr) v += static_cast<Acc>(bias[j]);
          if (residual != nullptr) v += static_cast<Acc>(residual[r * row + j]);
          y[r * row + j] = static_cast<T>(v);
        }
      }
    });
  }

  Context<Cpu>& ctx_;
  const ConvProblem& p_;
  Index panels_;
  Index lines_per_chunk_ = 1, block_x_ = 1, block_y_ = 1, run_ = 1, task_panels_ = 1;
  bool padded_ = false;
  Index z_before_ = 0, z_after_ = 0, z_extent_ = 0;
  std::optional<PackedConvWeights<Micro>> weights_;
  Tensor<T, Cpu> padded_input_;
  const T *x_ = nullptr, *input_ = nullptr, *bias_ = nullptr, *residual_ = nullptr;
  T* y_ = nullptr;
};

}  // namespace braing3n::inline BRAING3N_ABI::detail
