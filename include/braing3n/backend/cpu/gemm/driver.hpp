// Cuts a matrix product into tiles for the micro-kernels (micro.hpp), as in Goto and van de Geijn, "Anatomy of high-performance
// matrix multiplication", ACM TOMS 2008, with one difference: A is not packed where its rows are contiguous, since the kernels
// read rows where they lie.
//
//   for every chunk of the pool, a tile of rows x columns of C:
//     for every block of k:  for every panel of B in the tile:  for every few rows of A:  micro-kernel
//
// How the sum over k is cut depends on k alone and every element belongs to one chunk, so results do not depend on threads.
// The driver knows elements only by their size: it is compiled once, not once per type and instruction set.
#pragma once

#include "braing3n/backend/cpu/context/context_type.hpp"

namespace braing3n::inline BRAING3N_ABI::detail {

/// A product whose elements the driver does not look at; strides still count elements.
using AnyGemm = GemmCall<unsigned char>;

/// What the driver has to know and call for one element type and one micro-kernel (made in gemm_packed.hpp).
struct GemmOps {
  Index element, in, acc;   // bytes of an element of the product, of the kernel's operands, of its sums
  Index rows, cols, group;  // of the kernel
  bool converts;            // operands have to be converted: A is always copied
  bool sums_in_c;           // C's elements can hold the sums
  void (*tile)(Index rows, Index cols, Index k, const void* a, Index lda, const void* b, void* c, Index ldc,
               bool accumulate);
  void (*pack_panel)(const void* b, Index b_row, Index b_col, Index k, Index cols, void* panel);
  void (*pack_rows)(const void* a, Index a_row, Index a_col, Index rows, Index k, void* out, Index out_row);
  void (*finish)(const AnyGemm&, bool add, Index row, Index rows, Index col, Index cols, const void* tile,
                 Index tile_row);
};

/// How the sum over k is cut, by k alone: it fixes the order of every sum.
struct KBlocks {
  Index k, count, size;
  KBlocks(const GemmOps& ops, Index k_)
      : k(k_), count(std::max<Index>(1, (k_ + largest(ops) - 1) / largest(ops))),
        size(std::max<Index>(8, ((k_ + count - 1) / count + 7) / 8 * 8)) {}
  Index begin(Index block) const { return block * size; }
  Index length(Index block) const { return std::min(size, k - block * size); }
  // A panel of B and the rows of a chunk share the second-level cache.
  static Index largest(const GemmOps& ops) { return 5120 / ops.in; }
};

/// Where the panels of B lie: blocks of k one after the other, each with all its panels.
struct PanelLayout {
  Index group, cols, count;  // rows that are interleaved, columns of a panel, panels
  PanelLayout(const GemmOps& ops, Index n) : group(ops.group), cols(ops.cols), count((n + ops.cols - 1) / ops.cols) {}
  Index size(Index k) const { return (k + group - 1) / group * group * cols; }
  Index offset(const KBlocks& blocks, Index block, Index length, Index panel) const {
    return block * count * size(blocks.size) + panel * size(length);
  }
};

inline std::size_t packed_b_bytes(const GemmOps& ops, Index k, Index n) {
  const PanelLayout layout(ops, n);
  return static_cast<std::size_t>(layout.count * layout.size(std::max<Index>(k, 1)) * ops.in);
}

/// Blocks [first, last) of B; they lie in `out` as if they were all.
inline void pack_b(Context<Cpu>& ctx, const GemmOps& ops, const KBlocks& blocks, Index first, Index last, Index n,
                   const unsigned char* b, Index b_row, Index b_col, unsigned char* out) {
  const PanelLayout layout(ops, n);
  ctx.parallel((last - first) * layout.count, [&](Index chunk) {
    const Index block = first + chunk / layout.count, panel = chunk % layout.count, length = blocks.length(block);
    ops.pack_panel(b + (blocks.begin(block) * b_row + panel * ops.cols * b_col) * ops.element, b_row, b_col, length,
                   std::min(ops.cols, n - panel * ops.cols),
                   out + layout.offset(blocks, block - first, length, panel) * ops.in);
  });
}

/// One product: first every size is decided, from the shape alone, then it runs.
class GemmDriver {
 public:
  GemmDriver(Context<Cpu>& ctx, const GemmOps& ops, const AnyGemm& call)
      : ctx_(ctx), ops_(ops), call_(call), blocks_(ops, call.k), layout_(ops, call.n) {
    const Index m = call.m, n = call.n, k = std::max<Index>(1, call.k);
    rows_ = std::min((m + ops.rows - 1) / ops.rows, 84 / ops.rows) * ops.rows;
    cols_ = 4 * ops.cols;
    if (m * n <= small / k && n <= (small / 8) / k) {
      rows_ = m, cols_ = layout_.count * ops.cols;
    } else {
      // Pieces enough to keep many threads busy to the end, but none smaller than two pieces of `small` work.
      while (cols_ > ops.cols && chunks(m, n) < 64 && rows_ * cols_ > 2 * small / k) cols_ /= 2;
      while (rows_ > 2 * ops.rows && chunks(m, n) < 32 && rows_ * cols_ > 2 * small / k)
        rows_ = (rows_ / 2 + ops.rows - 1) / ops.rows * ops.rows;
    }
    row_step_ = rows_;
    // With many columns, and an A that stays in the last-level cache, each chunk takes all rows and packs the few panels it needs
    // just for itself: they never leave its own cache.
    const Index narrow = 3 * ops.cols;
    if (call.packed_b == nullptr && blocks_.count == 1 && m > rows_ && (n + narrow - 1) / narrow >= 32 &&
        m * k * ops.in <= (Index{16} << 20))
      rows_ = m, cols_ = narrow;
    row_chunks_ = (m + rows_ - 1) / rows_;
    col_chunks_ = (n + cols_ - 1) / cols_;
    // Rows a multiple of a page apart share one set of the first-level cache.
    const bool colliding = call.a_row * ops.element % 4096 == 0 && m > 4 && k * ops.element > 512;
    copy_a_ = ops.converts || (call.a_col != 1 && k > 1) || colliding;
    a_row_ = copy_a_ ? blocks_.size + 64 / ops.in : call.a_row;
    pack_b_inside_ = call.packed_b == nullptr && row_chunks_ == 1;
    pack_b_before_ = call.packed_b == nullptr && row_chunks_ > 1;
    panels_inside_ = !pack_b_inside_ ? 0 : rows_ > row_step_ ? cols_ / ops.cols : 1;
    sums_in_c_ = ops.sums_in_c && call.residual == nullptr;
  }

  void run() {
    // A long sum goes in several passes, so that the copies of A and B stay small beside the operands themselves.
    const Index pass =
        copy_a_ || pack_b_before_ ? std::max<Index>(1, deep * KBlocks::largest(ops_) / blocks_.size) : blocks_.count;
    if (sums_in_c_ || pass >= blocks_.count) {
      for (Index first = 0; first < blocks_.count; first += pass)
        run_blocks(first, std::min(blocks_.count, first + pass), nullptr);
    } else {
      const Storage sums(ctx_.memory(), static_cast<std::size_t>(call_.m * call_.n * ops_.acc));
      for (Index first = 0; first < blocks_.count; first += pass)
        run_blocks(first, std::min(blocks_.count, first + pass), static_cast<unsigned char*>(sums.data()));
    }
  }

 private:
  static constexpr Index small = Index{1} << 20;  // multiplications that one thread does before others are awake
  static constexpr Index deep = 4;                // blocks of k whose operands are copied at once

  struct Pass {
    Index first, last;            // blocks of k
    unsigned char* sums;          // (m, n) when they live neither in C nor in a chunk
    unsigned char* a;             // the copy of A, one block of k after the other
    const unsigned char* packed;  // panels of B
    Index packed_first;           // their first block of k
    unsigned char* workers;       // per worker: panels of B, a tile of sums
    Index worker_bytes, panel_bytes;
  };

  Index chunks(Index m, Index n) const { return ((m + rows_ - 1) / rows_) * ((n + cols_ - 1) / cols_); }
  static Index aligned(Index bytes) { return (bytes + 63) / 64 * 64; }

  void run_blocks(Index first, Index last, unsigned char* sums) {
    const Index chunk_count = row_chunks_ * col_chunks_;
    const Index workers = chunk_count == 1 ? 1 : ctx_.threads();
    const Index a_bytes = copy_a_ ? aligned((last - first) * call_.m * a_row_ * ops_.in) : 0;
    const Index b_bytes =
        pack_b_before_ ? aligned((last - first) * layout_.count * layout_.size(blocks_.size) * ops_.in) : 0;
    const Index panel_bytes = pack_b_inside_ ? aligned(layout_.size(blocks_.size) * ops_.in) : 0;
    const Index worker_bytes =
        panels_inside_ * panel_bytes + (sums_in_c_ || sums != nullptr ? 0 : aligned(row_step_ * cols_ * ops_.acc));
    const Storage scratch(ctx_.memory(), static_cast<std::size_t>(a_bytes + b_bytes + workers * worker_bytes));
    unsigned char* const base = static_cast<unsigned char*>(scratch.data());

    Pass pass{first,
              last,
              sums,
              base,
              static_cast<const unsigned char*>(call_.packed_b),
              0,
              base + a_bytes + b_bytes,
              worker_bytes,
              panel_bytes};
    if (copy_a_) copy_a(pass);
    if (pack_b_before_) {
      pack_b(ctx_, ops_, blocks_, first, last, call_.n, call_.b, call_.b_row, call_.b_col, base + a_bytes);
      pass.packed = base + a_bytes, pass.packed_first = first;
    }
    ctx_.pool().run(chunk_count, [&](Index chunk, int worker) { run_chunk(pass, chunk, workers == 1 ? 0 : worker); });
  }

  __attribute__((noinline)) void run_chunk(const Pass& pass, Index chunk, int worker) const {
    // Neighbouring chunks share their columns of B.
    const Index first_row = chunk % row_chunks_ * rows_, last_row = std::min(call_.m, first_row + rows_);
    const Index j0 = chunk / row_chunks_ * cols_, j1 = std::min(call_.n, j0 + cols_);
    unsigned char* const own = pass.workers + worker * pass.worker_bytes;
    const bool tile_inside = !sums_in_c_ && pass.sums == nullptr;
    const Index c_row = sums_in_c_ ? call_.c_row : tile_inside ? cols_ : call_.n;

    for (Index block = pass.first; block < pass.last; ++block) {
      const Index length = blocks_.length(block);
      const bool accumulate = block > 0 || (sums_in_c_ && call_.accumulate);
      for (Index i0 = first_row; i0 < last_row; i0 += row_step_) {
        const Index i1 = std::min(last_row, i0 + row_step_);
        unsigned char* const c = tile_inside  ? own + panels_inside_ * pass.panel_bytes
                                 : sums_in_c_ ? call_.c + (i0 * c_row + j0) * ops_.acc
                                              : pass.sums + (i0 * c_row + j0) * ops_.acc;
        for (Index j = j0; j < j1; j += ops_.cols) {
          const Index cols = std::min(ops_.cols, j1 - j);
          const unsigned char* b;
          if (pack_b_inside_) {
            unsigned char* const panel = own + (panels_inside_ == 1 ? 0 : (j - j0) / ops_.cols * pass.panel_bytes);
            if (i0 == first_row)
              ops_.pack_panel(call_.b + (blocks_.begin(block) * call_.b_row + j * call_.b_col) * ops_.element,
                              call_.b_row, call_.b_col, length, cols, panel);
            b = panel;
          } else {
            b = pass.packed + layout_.offset(blocks_, block - pass.packed_first, length, j / ops_.cols) * ops_.in;
          }
          for (Index i = i0; i < i1; i += ops_.rows) {
            const unsigned char* a = copy_a_ ? pass.a + ((block - pass.first) * call_.m + i) * a_row_ * ops_.in
                                             : call_.a + (i * call_.a_row + blocks_.begin(block)) * ops_.in;
            ops_.tile(std::min(ops_.rows, i1 - i), cols, length, a, a_row_, b,
                      c + ((i - i0) * c_row + (j - j0)) * ops_.acc, c_row, accumulate);
          }
        }
        if (block == blocks_.count - 1 && (!sums_in_c_ || has_epilogue()))
          ops_.finish(call_, !sums_in_c_ && call_.accumulate, i0, i1 - i0, j0, j1 - j0, c, c_row);
      }
    }
  }

  void copy_a(const Pass& pass) const {
    constexpr Index grain = 64;
    const Index pieces = (call_.m + grain - 1) / grain;
    ctx_.parallel((pass.last - pass.first) * pieces, [&](Index chunk) {
      const Index block = pass.first + chunk / pieces, i = chunk % pieces * grain;
      ops_.pack_rows(call_.a + (i * call_.a_row + blocks_.begin(block) * call_.a_col) * ops_.element, call_.a_row,
                     call_.a_col, std::min(grain, call_.m - i), blocks_.length(block),
                     pass.a + ((block - pass.first) * call_.m + i) * a_row_ * ops_.in, a_row_);
    });
  }

  bool has_epilogue() const {
    return call_.bias != nullptr || call_.preactivation != nullptr || call_.activation != Activation::none;
  }

  Context<Cpu>& ctx_;
  const GemmOps& ops_;
  const AnyGemm& call_;
  KBlocks blocks_;
  PanelLayout layout_;
  Index rows_, cols_;  // of a chunk
  Index row_step_;     // rows of a chunk that are done together: their part of A stays in cache
  Index row_chunks_, col_chunks_;
  Index a_row_;          // distance of the rows of A, or of its copy: there never a multiple of a page
  bool copy_a_;          // A's rows cannot be read in place
  bool pack_b_inside_;   // each panel of B has one user, which packs it when it comes to it,
  Index panels_inside_;  // and keeps so many: more than one when it comes back to them
  bool pack_b_before_;
  bool sums_in_c_;
};

inline void run_gemm(Context<Cpu>& ctx, const GemmOps& ops, const AnyGemm& call) {
  if (call.m <= 0 || call.n <= 0) return;
  // B is packed a limited number of columns at a time.
  constexpr Index largest_copy = Index{64} << 20;
  const Index fit =
      largest_copy / (ops.in * std::max<Index>(1, std::min(call.k, 4 * KBlocks::largest(ops)))) / ops.cols * ops.cols;
  const Index columns = call.packed_b != nullptr ? call.n : std::max(4 * ops.cols, fit);
  for (Index j = 0; j < call.n; j += columns) {
    AnyGemm part = call;
    part.n = std::min(columns, call.n - j);
    if (call.packed_b == nullptr) part.b += j * call.b_col * ops.element;
    part.c += j * ops.element;
    if (call.bias != nullptr) part.bias += j * ops.element;
    if (call.preactivation != nullptr) part.preactivation += j * ops.element;
    if (call.residual != nullptr) part.residual += j * ops.element;
    GemmDriver(ctx, ops, part).run();
  }
}

}  // namespace braing3n::inline BRAING3N_ABI::detail
