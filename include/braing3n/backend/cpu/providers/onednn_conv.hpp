// Convolutions by oneDNN on channels-last volumes, in pieces, each on one thread (see onednn.hpp).
//
//   slabs    A slab along x of one sample is contiguous, so every slab is a convolution of its own with the padding it needs at its
//            ends. The weights are reordered once per call, tap by tap in parallel, into the order that oneDNN prefers.
//   columns  Where the weights are larger than the volume (deep levels), every slab would fetch all of them from memory. There a
//            piece is all results of some columns: it reorders its own weights, which then lie in its cache, and each is read once.
// Gradients of the input with stride 1 are the same thing with the taps reversed; strided transposes and weight gradients stay
// with the built-in kernels.
#pragma once

#include <cstring>

#include "braing3n/backend/cpu/conv/im2col.hpp"
#include "braing3n/backend/cpu/providers/onednn_gemm.hpp"

namespace braing3n::inline BRAING3N_ABI::detail {

struct OnednnConvolution {
  dnnl::convolution_forward primitive;
  dnnl::memory::desc x, w, bias, y, scratch;
};

template <class T>
class OnednnConv {
  using memory = dnnl::memory;
  using dims = memory::dims;

 public:
  OnednnConv(Context<Cpu>& ctx, const ConvProblem& problem) : ctx_(ctx), p_(problem) {}

  /// Whether run() can compute this problem: one phase, dense results, padding only, and every slab meets the volume.
  bool possible() const {
    if (p_.phases.size() != 1) return false;
    for (int a = 0; a < 3; ++a) {
      const ConvAxis& axis = p_.phases.front().axis[a];
      const Index last = axis.in_index(axis.count - 1, axis.taps - 1);
      // A kernel that lies in the padding alone is legal for us, not for oneDNN.
      if (axis.out_step != 1 || axis.in_first > 0 || axis.in_first <= -axis.taps || last - axis.taps + 1 >= p_.in[a])
        return false;
    }
    return true;
  }

  void run(const T* x, const T* w, const T* bias, const T* residual, T* y) {
    const Index taps = axis(0).taps * axis(1).taps * axis(2).taps;
    if (p_.columns > piece_columns && taps * p_.reduced > p_.batch * axis(0).count * axis(1).count * axis(2).count)
      run_columns(x, w, bias, residual, y);
    else run_slabs(x, w, bias, residual, y);
  }

 private:
  static constexpr Index piece_columns = 64;

  /// What one primitive computes: results [x0, x1) along x and some columns, for so many samples.
  struct Piece {
    Index x0, x1, columns, batch;
  };

  void run_slabs(const T* x, const T* w, const T* bias, const T* residual, T* y) {
    // Every slab reads all weights: few slabs where those are large, many where the volume is, so that threads end together.
    // All but the last are equally thick.
    const Index taps = axis(0).taps * axis(1).taps * axis(2).taps, nx = axis(0).count;
    const Index thick = std::max<Index>(1, nx / (taps * p_.tap_size() > (Index{1} << 20) ? 4 : 16)),
                slabs = (nx + thick - 1) / thick;
    onednn_one_thread();  // a primitive is made for the number of threads of the moment
    const OnednnConvolution first =
        convolution({0, thick, p_.columns, 1}, bias != nullptr, residual != nullptr, nullptr);
    const Storage weights(ctx_.memory(), first.w.get_size());
    clear_padding(first.w, p_.columns, weights.data());
    ctx_.parallel(taps, [&](Index tap) { reorder_tap(w, first.w, tap, p_.columns, weights.data()); });
    const Index line_x = p_.in[1] * p_.in[2] * p_.reduced, line_y = p_.out[1] * p_.out[2] * p_.columns;
    ctx_.parallel(p_.batch * slabs, [&](Index id) {
      const Index n = id / slabs, x0 = id % slabs * thick, x1 = std::min(nx, x0 + thick);
      const Index i0 = std::max<Index>(0, axis(0).in_index(x0, 0));
      onednn_one_thread();
      const OnednnConvolution c = convolution({x0, x1, p_.columns, 1}, bias != nullptr, residual != nullptr, &first.w);
      T* const to = y + (n * nx + x0) * line_y;
      if (residual != nullptr) std::copy_n(residual + (n * nx + x0) * line_y, (x1 - x0) * line_y, to);
      execute(c, x + (n * p_.in[0] + i0) * line_x, weights.data(), bias, to);
    });
  }

  void run_columns(const T* x, const T* w, const T* bias, const T* residual, T* y) {
    const Index taps = axis(0).taps * axis(1).taps * axis(2).taps,
                pieces = (p_.columns + piece_columns - 1) / piece_columns;
    const Index voxels = p_.batch * axis(0).count * axis(1).count * axis(2).count;
    ctx_.parallel(pieces, [&](Index piece) {
      const Index column = piece * piece_columns, columns = std::min(piece_columns, p_.columns - column);
      onednn_one_thread();
      const OnednnConvolution c =
          convolution({0, axis(0).count, columns, p_.batch}, bias != nullptr, residual != nullptr, nullptr);
      const Storage weights(ctx_.memory(), c.w.get_size());
      clear_padding(c.w, columns, weights.data());
      for (Index tap = 0; tap < taps; ++tap) reorder_tap(w + column * p_.w_column, c.w, tap, columns, weights.data());
      // oneDNN writes dense results only.
      const Storage sums(ctx_.memory(), static_cast<std::size_t>(voxels * columns) * sizeof(T));
      T* const dense = static_cast<T*>(sums.data());
      if (residual != nullptr)
        for (Index v = 0; v < voxels; ++v)
          std::copy_n(residual + v * p_.columns + column, columns, dense + v * columns);
      execute(c, x, weights.data(), bias != nullptr ? bias + column : nullptr, dense);
      for (Index v = 0; v < voxels; ++v) std::copy_n(dense + v * columns, columns, y + v * p_.columns + column);
    });
  }

  void execute(const OnednnConvolution& c, const T* x, void* weights, const T* bias, T* y) const {
    const Storage scratch(ctx_.memory(), c.scratch.get_size());
    onednn_call("convolution", [&] {
      dnnl::stream stream(onednn_engine());
      const auto at = [](const memory::desc& desc, const T* p) {
        return memory(desc, onednn_engine(), const_cast<T*>(p));
      };
      std::unordered_map<int, memory> arguments = {
          {DNNL_ARG_SRC, at(c.x, x)},
          {DNNL_ARG_WEIGHTS, memory(c.w, onednn_engine(), weights)},
          {DNNL_ARG_DST, at(c.y, y)},
          {DNNL_ARG_SCRATCHPAD, memory(c.scratch, onednn_engine(), scratch.data())}};
      if (bias != nullptr) arguments.emplace(DNNL_ARG_BIAS, at(c.bias, bias));
      c.primitive.execute(stream, arguments);
      stream.wait();
    });
  }

  const ConvAxis& axis(int a) const { return p_.phases.front().axis[a]; }

  /// Made once per shape. Slabs of one call share the order of the weights, `w`; without it oneDNN chooses.
  OnednnConvolution convolution(const Piece& piece, bool bias, bool sum, const memory::desc* w) const {
    const Index i0 = axis(0).in_index(piece.x0, 0), i1 = axis(0).in_index(piece.x1 - 1, axis(0).taps - 1) + 1;
    const auto after = [&](int a) {
      return std::max<Index>(0, axis(a).in_index(axis(a).count - 1, axis(a).taps - 1) + 1 - p_.in[a]);
    };
    const dims before = {std::max<Index>(0, -i0), -axis(1).in_first, -axis(2).in_first};
    const dims behind = {std::max<Index>(0, i1 - p_.in[0]), after(1), after(2)};
    const dims x_dims = {piece.batch, p_.reduced, std::min(i1, p_.in[0]) - std::max<Index>(0, i0), p_.in[1], p_.in[2]};
    const dims y_dims = {piece.batch, piece.columns, piece.x1 - piece.x0, p_.out[1], p_.out[2]};
    const dims strides = {axis(0).in_step, axis(1).in_step, axis(2).in_step};
    const dims w_dims = {piece.columns, p_.reduced, axis(0).taps, axis(1).taps, axis(2).taps};
    const bool any = w == nullptr;
    std::vector<Index> key = {bias, sum, any};
    for (const dims& d : {x_dims, y_dims, w_dims, strides, before, behind}) key.insert(key.end(), d.begin(), d.end());

    static std::mutex mutex;
    static std::map<std::vector<Index>, OnednnConvolution> made;
    const std::lock_guard<std::mutex> lock(mutex);
    const auto found = made.find(key);
    if (found != made.end() && (any || found->second.w == *w)) return found->second;
    if (made.size() > 256) made.clear();
    return made[key] = onednn_call("convolution", [&] {
             constexpr auto type = onednn_type<T>();
             const auto last = memory::format_tag::ndhwc;
             const memory::desc x({x_dims, type, last}), y({y_dims, type, last}),
                 b({piece.columns}, type, memory::format_tag::a);
             const memory::desc weights = any ? memory::desc(w_dims, type, memory::format_tag::any) : *w;
             const auto kind = dnnl::prop_kind::forward_inference;
             const auto algorithm = dnnl::algorithm::convolution_direct;
             const auto desc =
                 bias ? dnnl::convolution_forward::desc(kind, algorithm, x, weights, b, y, strides, before, behind)
                      : dnnl::convolution_forward::desc(kind, algorithm, x, weights, y, strides, before, behind);
             dnnl::primitive_attr attributes;
             // The library's own scratch memory belongs to the thread that makes the primitive; ours run on all.
             attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
             if (sum) {
               dnnl::post_ops add;
               add.append_sum(1.0f);
               attributes.set_post_ops(add);
             }
             const dnnl::convolution_forward::primitive_desc chosen(desc, attributes, onednn_engine());
             return OnednnConvolution{
                 dnnl::convolution_forward(chosen), chosen.src_desc(), chosen.weights_desc(), b, chosen.dst_desc(),
                 chosen.scratchpad_desc()};
           });
  }

  /// Channels that oneDNN pads to whole blocks must be zeros.
  void clear_padding(const memory::desc& order, Index columns, void* to) const {
    const Index taps = axis(0).taps * axis(1).taps * axis(2).taps;
    if (order.get_size() != static_cast<std::size_t>(taps * p_.reduced * columns) * sizeof(T))
      std::memset(to, 0, order.get_size());
  }

  // One tap of `columns` columns from w on in our order, (taps, in, out) or (taps, out, in), taps forwards or backwards -> oneDNN's.
  void reorder_tap(const T* w, const memory::desc& order, Index tap, Index columns, void* to) const {
    const Index ty = axis(1).taps, tz = axis(2).taps, kx = tap / tz / ty, ky = tap / tz % ty, kz = tap % tz;
    w += p_.weight_offset(p_.phases.front(), kx, ky, kz);
    if (copies_blocks(order)) return copy_blocks(w, order, kx, ky, kz, columns, static_cast<T*>(to));
    onednn_call("reorder", [&] {
      onednn_one_thread();
      dnnl::stream stream(onednn_engine());
      const dims size = {columns, p_.reduced, 1, 1, 1};
      const Index next = p_.tap_size();
      const memory::desc from(size, onednn_type<T>(), dims{p_.w_column, p_.w_reduced, next, next, next});
      memory a(from, onednn_engine(), const_cast<T*>(w));
      memory b(order.submemory_desc(size, {0, 0, kx, ky, kz}), onednn_engine(), to);
      dnnl::reorder(a, b).execute(stream, a, b);
      stream.wait();
    });
  }

  // The library's reorder of columns that lie next to each other takes as long as the convolution. Into the order it likes most
  // for float, blocks of columns for every reduced channel, they can be copied in whole rows.
  bool copies_blocks(const memory::desc& order) const {
    const auto& to = order.data.format_desc.blocking;
    return p_.w_column == 1 && order.data.format_kind == dnnl_blocked && to.inner_nblks == 1 && to.inner_idxs[0] == 0;
  }
  void copy_blocks(const T* tap, const memory::desc& order, Index kx, Index ky, Index kz, Index columns, T* to) const {
    const auto& stride = order.data.format_desc.blocking.strides;
    const Index block = order.data.format_desc.blocking.inner_blks[0];
    to += order.data.offset0 + kx * stride[2] + ky * stride[3] + kz * stride[4];
    for (Index i = 0; i < p_.reduced; ++i)
      for (Index o = 0; o < columns; o += block)
        std::copy_n(tap + i * p_.w_reduced + o, std::min(block, columns - o),
                    to + o / block * stride[0] + i * stride[1]);
  }

  Context<Cpu>& ctx_;
  const ConvProblem& p_;
};

/// What oneDNN does not get goes to the kernels of the fastest built-in table, or to im2col.
template <class T>
struct OnednnConvolutions {
  static void forward(Context<Cpu>& ctx, const ConvGeometry& g, const T* x, const T* w, const T* bias,
                      const T* residual, T* y) {
    const ConvProblem problem = forward_problem(g);
    OnednnConv<T> convolution(ctx, problem);
    if (convolution.possible()) return convolution.run(x, w, bias, residual, y);
    if (const auto kernel = default_cpu_provider().template conv<T>().forward)
      return kernel(ctx, g, x, w, bias, residual, y);
    Im2colConv<T>(ctx, problem).run(x, w, bias, residual, y);
  }
  static void backward_input(Context<Cpu>& ctx, const ConvGeometry& g, const T* w, const T* bias, const T* dy, T* dx) {
    const ConvProblem problem = transposed_problem(g);
    OnednnConv<T> convolution(ctx, problem);
    if (convolution.possible()) return convolution.run(dy, w, bias, nullptr, dx);
    if (const auto kernel = default_cpu_provider().template conv<T>().backward_input)
      return kernel(ctx, g, w, bias, dy, dx);
    Im2colConv<T>(ctx, problem).run(dy, w, bias, nullptr, dx);
  }
};

}  // namespace braing3n::inline BRAING3N_ABI::detail
