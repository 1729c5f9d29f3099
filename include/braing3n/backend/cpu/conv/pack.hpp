// Weights in the order that direct convolutions read them: per phase, panel of result channels and line (kx, ky) one packed panel
// (micro.hpp) with the taps along z and the reduced channels as its rows.
#pragma once

#include <cstring>

#include "braing3n/backend/cpu/context/context_type.hpp"
#include "braing3n/backend/cpu/conv/problem.hpp"
#include "braing3n/backend/cpu/gemm/micro.hpp"

namespace braing3n::inline BRAING3N_ABI::detail {

template <class Micro>
class PackedConvWeights {
  using T = typename Micro::In;
  static constexpr Index cols = Micro::cols;

 public:
  /// Packs w on all threads.
  PackedConvWeights(Context<Cpu>& ctx, const ConvProblem& problem, const T* w) : p_(problem) {
    const Index panels = (p_.columns + cols - 1) / cols;
    std::vector<Job> jobs;
    Index size = 0;
    for (const ConvPhase& phase : p_.phases) {
      begin_.push_back(size);
      for (Index panel = 0; panel < panels; ++panel)
        for (Index tap = 0; tap < phase.lines(); ++tap) {
          jobs.push_back({&phase, panel, tap, size});
          size += line_size(p_, phase);
        }
    }
    packed_ = Tensor<T, Cpu>(ctx, Shape{std::max<Index>(size, 1)});
    const Index group = std::max<Index>(1, 16384 / std::max<Index>(1, p_.reduced * cols));
    ctx.parallel_range(static_cast<Index>(jobs.size()), group, [&](Index begin, Index end) {
      for (Index j = begin; j < end; ++j) pack(jobs[static_cast<std::size_t>(j)], w);
    });
  }

  /// Elements of one packed line.
  static Index line_size(const ConvProblem& problem, const ConvPhase& phase) {
    return panel_size<Micro>(phase.axis[2].taps * problem.reduced);
  }
  /// The panel of line `tap` = kx * taps_y + ky.
  const T* line(std::size_t phase_id, Index panel, Index tap) const {
    const ConvPhase& phase = p_.phases[phase_id];
    return packed_.data() + begin_[phase_id] + (panel * phase.lines() + tap) * line_size(p_, phase);
  }

 private:
  struct Job {
    const ConvPhase* phase;
    Index panel, tap, offset;
  };

  // Rows in groups of k_group, interleaved; columns past the end and an odd last row are zeros.
  void pack(const Job& job, const T* w) {
    constexpr Index g = Micro::k_group;
    const ConvPhase& phase = *job.phase;
    const Index column = job.panel * cols, width = std::min(cols, p_.columns - column),
                k = phase.axis[2].taps * p_.reduced;
    const Index dr = p_.w_reduced, dc = p_.w_column;
    T* const to = packed_.data() + job.offset;
    if (width < cols || k % g != 0)
      std::memset(static_cast<void*>(to), 0, static_cast<std::size_t>(panel_size<Micro>(k)) * sizeof(T));
    for (Index tz = 0; tz < phase.axis[2].taps; ++tz) {
      const T* from =
          w + p_.weight_offset(phase, job.tap / phase.axis[1].taps, job.tap % phase.axis[1].taps, tz) + column * dc;
      const auto row = [&](Index c) {
        const Index r = tz * p_.reduced + c;
        return to + r / g * g * cols + r % g;
      };
      if (dc == 1) {
        for (Index c = 0; c < p_.reduced; ++c) {
          T* out = row(c);
          for (Index j = 0; j < width; ++j) out[j * g] = from[c * dr + j];
        }
      } else {  // transposed: small squares, so that the lines of both sides stay in the L1 cache
        constexpr Index square = 16;
        for (Index c0 = 0; c0 < p_.reduced; c0 += square)
          for (Index j0 = 0; j0 < width; j0 += square)
            for (Index c = c0; c < std::min(p_.reduced, c0 + square); ++c) {
              T* out = row(c);
              for (Index j = j0; j < std::min(width, j0 + square); ++j) out[j * g] = from[c * dr + j * dc];
            }
      }
    }
  }

  const ConvProblem& p_;
  std::vector<Index> begin_;  // of each phase
  Tensor<T, Cpu> packed_;
};

}  // namespace braing3n::inline BRAING3N_ABI::detail
