// Exchanges among the lanes of a warp, and the masks that go with them.
#include "support.hpp"

using namespace emulation;
using namespace emulation::test;

namespace {

constexpr unsigned all = 0xffffffffu;

void shuffles(int* y) {
  const int l = static_cast<int>(threadIdx.x);
  int* const row = y + 6 * l;
  row[0] = __shfl_xor_sync(all, l, 5);
  row[1] = __shfl_down_sync(all, l, 3);
  row[2] = __shfl_up_sync(all, l, 3);
  row[3] = __shfl_sync(all, l, 7);
  row[4] = __shfl_down_sync(all, l, 3, 8);
  row[5] = static_cast<int>(__ballot_sync(all, l % 3 == 0));
}
void votes(int* y) {
  const int l = static_cast<int>(threadIdx.x);
  const int any = __any_sync(all, l == 31), none = __any_sync(all, l == 32);
  const int every = __all_sync(all, l < 32), most = __all_sync(all, l < 31);
  __syncwarp();
  y[l] = any * 8 + none * 4 + every * 2 + most;
}
/// Sums of the two halves of a warp; the lower one takes more steps.
void halves(double* y) {
  const unsigned half = threadIdx.x % 32 / 16, mask = half == 0 ? 0x0000ffffu : 0xffff0000u;
  double v = threadIdx.x % 32;
  for (int m = 8; m > 0; m /= 2) v += __shfl_xor_sync(mask, v, m);
  if (half == 0)
    for (int m = 8; m > 0; m /= 2) v += __shfl_xor_sync(mask, v, m);
  v += __shfl_xor_sync(all, v, 16);
  y[threadIdx.x] = v;
}

/// The lower half goes on to an exchange of its own before the upper half has read the first.
void goes_ahead(int* y) {
  const int l = static_cast<int>(threadIdx.x);
  int v = __shfl_xor_sync(all, l, 16);
  if (l < 16) v += __shfl_xor_sync(0xffffu, 100, 1);
  y[l] = v;
}

constexpr int self_line = __LINE__ + 1;
void leaves_out_itself(int* y) { y[threadIdx.x] = __shfl_sync(0x7fffffffu, 1, 0); }
constexpr int gone_line = __LINE__ + 3;
void names_a_lane_that_left(int* y) {
  if (threadIdx.x == 9) return;
  y[threadIdx.x] = __shfl_xor_sync(all, 1, 1);
}
constexpr int masks_line = __LINE__ + 1;
void gives_two_masks(int* y) { y[threadIdx.x] = __shfl_sync(threadIdx.x == 4 ? 0xffu : all, 1, 0); }
constexpr int outside_line = __LINE__ + 1;
void reads_outside_the_mask(int* y) { y[threadIdx.x] = threadIdx.x < 16 ? __shfl_sync(0xffffu, 1, 20) : 0; }
constexpr int two_line = __LINE__ + 2;
void meets_in_two_operations(int* y) {
  if (threadIdx.x < 16) y[threadIdx.x] = __shfl_xor_sync(all, 1, 1);
  else y[threadIdx.x] = __shfl_xor_sync(all, 2, 1);
}

}  // namespace

TEST_CASE("shuffles and votes follow the programming guide in both orders") {
  for (const bool reversed : {false, true}) {
    const With with({.reversed = reversed});
    Device d;
    int* const y = d.allocate<int>(6 * 32);
    int* const v = d.allocate<int>(32);
    CHECK(faults_of(d, shuffles, 1, 32, y) == "");
    CHECK(faults_of(d, votes, 1, 32, v) == "");
    const auto rows = d.download(y, 6 * 32), vote = d.download(v, 32);
    int thirds = 0;
    for (int l = 0; l < 32; l += 3) thirds |= 1 << l;
    for (int l = 0; l < 32; ++l) {
      const std::vector<int> row(rows.begin() + 6 * l, rows.begin() + 6 * l + 6);
      CHECK(row ==
            std::vector<int>{l ^ 5, l + 3 < 32 ? l + 3 : l, l < 3 ? l : l - 3, 7, l % 8 + 3 < 8 ? l + 3 : l, thirds});
      CHECK(vote[static_cast<std::size_t>(l)] == 10);
    }
  }
  CHECK(take_races() == 0);
}

TEST_CASE("halves of a warp exchange on their own") {
  for (const bool reversed : {false, true}) {
    const With with({.reversed = reversed});
    Device d;
    double* const y = d.allocate<double>(64);
    CHECK(faults_of(d, halves, 1, 64, y) == "");
    const auto v = d.download(y, 64);
    CHECK(v[0] == 16 * 120 + 376);  // the lower half has added itself sixteen times over
    CHECK(v[31] == 16 * 120 + 376);
  }
}

TEST_CASE("what lanes have handed in stays until all have read") {
  for (const bool reversed : {false, true}) {
    const With with({.reversed = reversed});
    Device d;
    int* const y = d.allocate<int>(32);
    CHECK(faults_of(d, goes_ahead, 1, 32, y) == "");
    const auto v = d.download(y, 32);
    for (int l = 0; l < 32; ++l) CHECK(v[static_cast<std::size_t>(l)] == (l < 16 ? l + 116 : l - 16));
  }
}

TEST_CASE("wrong masks are reported with file and line") {
  const With with;
  Device d;
  int* const y = d.allocate<int>(32);
  const std::string self = faults_of(d, leaves_out_itself, 1, 32, y);
  CHECK(contains(self, "__shfl_sync at " + line(__FILE__, self_line) + ": the mask leaves out lane 31 itself"));
  const std::string gone = faults_of(d, names_a_lane_that_left, 1, 32, y);
  CHECK(contains(gone, line(__FILE__, gone_line) + ": the mask names lane 9, which has left the kernel or never was"));
  const std::string masks = faults_of(d, gives_two_masks, 1, 32, y);
  CHECK(contains(masks, line(__FILE__, masks_line)));
  CHECK((contains(masks, "gives another mask") || contains(masks, "deadlock")));
  const std::string outside = faults_of(d, reads_outside_the_mask, 1, 32, y);
  CHECK(contains(outside, line(__FILE__, outside_line) + ": reads lane 20, which the mask leaves out"));
  const std::string two = faults_of(d, meets_in_two_operations, 1, 32, y);
  CHECK(contains(two, "lanes of one warp meet in different operations"));
  CHECK(contains(two, line(__FILE__, two_line)));
  CHECK(contains(two, line(__FILE__, two_line + 1)));
}

TEST_CASE("a full mask in a warp of eight threads is reported") {
  const With with;
  Device d;
  const std::string fault = faults_of(d, shuffles, 1, 8, d.allocate<int>(6 * 8));
  CHECK(contains(fault, "names lane 8"));
}
