// Barriers: missing, divergent, never reached; each beside a kernel that is right.
#include <atomic>

#include "support.hpp"

using namespace emulation;
using namespace emulation::test;

namespace {

constexpr int n = 64;

void reverse(const float* x, float* y) {
  BRAING3N_SHARED(float, row, n);
  row[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = row[n - 1 - threadIdx.x];
}
void reverse_without_barrier(const float* x, float* y) {
  BRAING3N_SHARED(float, row, n);
  row[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = row[n - 1 - threadIdx.x];
}

/// Shifts a row by one, `times` times.
void rotate(float* x, int times) {
  BRAING3N_SHARED(float, row, n);
  for (int i = 0; i < times; ++i) {
    row[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    x[threadIdx.x] = row[(threadIdx.x + 1) % n];
    __syncthreads();
  }
}
void rotate_without_second_barrier(float* x, int times) {
  BRAING3N_SHARED(float, row, n);
  for (int i = 0; i < times; ++i) {
    row[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    x[threadIdx.x] = row[(threadIdx.x + 1) % n];
  }
}

constexpr int branch_line = __LINE__ + 2;
void barriers_in_branches(float* y) {
  if (threadIdx.x < 32) __syncthreads();
  else __syncthreads();
  y[threadIdx.x] = 0;
}
constexpr int early_line = __LINE__ + 3;
void leaves_early(float* y) {
  if (threadIdx.x == 5) return;
  __syncthreads();
  y[threadIdx.x] = 0;
}
constexpr int dead_line = __LINE__ + 3;
void waits_for_each_other(float* y) {
  float v = 1;
  if (threadIdx.x == 3) __syncthreads();
  else v = __shfl_xor_sync(0xffffffffu, v, 1);
  y[threadIdx.x] = v;
}

std::atomic<int> turn{0};
void takes_turns(int* y) { y[blockIdx.x * blockDim.x + threadIdx.x] = turn++; }

void same_place(float* y) { y[0] = static_cast<float>(threadIdx.x + blockIdx.x); }
void own_place(float* y) { y[blockIdx.x * blockDim.x + threadIdx.x] = 1; }

std::vector<float> numbers() {
  std::vector<float> x(n);
  for (int i = 0; i < n; ++i) x[static_cast<std::size_t>(i)] = static_cast<float>(i);
  return x;
}

}  // namespace

TEST_CASE("a block exchanges values through shared memory in every order of threads") {
  for (const bool reversed : {false, true})
    for (const int threads : {1, 3}) {
      const With with({.threads = threads, .reversed = reversed});
      Device d;
      float* const x = d.upload(numbers());
      float* const y = d.allocate<float>(n);
      CHECK(faults_of(d, reverse, 1, n, x, y) == "");
      CHECK(faults_of(d, rotate, 1, n, x, 3) == "");
      const auto back = d.download(y, n), turned = d.download(x, n);
      for (int i = 0; i < n; ++i) {
        CHECK(back[static_cast<std::size_t>(i)] == static_cast<float>(n - 1 - i));
        CHECK(turned[static_cast<std::size_t>(i)] == static_cast<float>((i + 3) % n));
      }
    }
  CHECK(take_races() == 0);
}

TEST_CASE("threads and blocks run in order, or the last one first") {
  for (const bool reversed : {false, true}) {
    const With with({.threads = 1, .reversed = reversed});
    Device d;
    int* const y = d.allocate<int>(100);
    turn = 0;
    CHECK(faults_of(d, takes_turns, 2, 50, y) == "");
    const auto order = d.download(y, 100);
    for (int i = 0; i < 100; ++i) CHECK(order[static_cast<std::size_t>(i)] == (reversed ? 99 - i : i));
  }
}

TEST_CASE("a missing barrier shows as NaN in one order, and as a race under the thread sanitizer") {
  const With with;
  Device d;
  float* const x = d.upload(numbers());
  float* const y = d.allocate<float>(n);
  CHECK(faults_of(d, reverse_without_barrier, 1, n, x, y) == "");
  CHECK(std::isnan(d.download(y, n).front()));
  CHECK((take_races() > 0) == finds_races);
}

TEST_CASE("a missing barrier before shared memory is written again shows in one order and as a race") {
  bool wrong = false;
  for (const bool reversed : {false, true}) {
    const With with({.reversed = reversed});
    Device d;
    float* const x = d.upload(numbers());
    CHECK(faults_of(d, rotate_without_second_barrier, 1, n, x, 3) == "");
    const auto turned = d.download(x, n);
    for (int i = 0; i < n; ++i) wrong = wrong || turned[static_cast<std::size_t>(i)] != static_cast<float>((i + 3) % n);
  }
  CHECK(wrong);
  CHECK((take_races() > 0) == finds_races);
}

TEST_CASE("barriers in two branches are reported with both lines") {
  const With with;
  Device d;
  const std::string fault = faults_of(d, barriers_in_branches, 1, n, d.allocate<float>(n));
  CHECK(contains(fault, "threads 0 and 32 meet at different barriers"));
  CHECK(contains(fault, line(__FILE__, branch_line)));
  CHECK(contains(fault, line(__FILE__, branch_line + 1)));
}

TEST_CASE("a barrier that a thread never reaches is reported") {
  const With with;
  Device d;
  const std::string fault = faults_of(d, leaves_early, dim3(1, 1, 1), n, d.allocate<float>(n));
  CHECK(contains(fault, "1 threads have left the kernel before __syncthreads at " + line(__FILE__, early_line)));
  CHECK(contains(fault, "(block 0, 0, 0)"));
}

TEST_CASE("a deadlock is reported with the places where threads wait") {
  const With with;
  Device d;
  const std::string fault = faults_of(d, waits_for_each_other, 1, 32, d.allocate<float>(32));
  CHECK(contains(fault, "deadlock"));
  CHECK(contains(fault, "thread 3 waits in __syncthreads at " + line(__FILE__, dead_line)));
  CHECK(contains(fault, "__shfl_xor_sync at " + line(__FILE__, dead_line + 1)));
}

TEST_CASE("threads of a block that write one place are a race") {
  const With with({.threads = 1});
  Device d;
  float* const y = d.allocate<float>(256);
  CHECK(faults_of(d, own_place, 4, 64, y) == "");
  CHECK(take_races() == 0);
  CHECK(faults_of(d, same_place, 1, 2, y) == "");
  const bool within = take_races() > 0;
  CHECK(within == finds_races);
}

namespace {
void block_writes_one_place(float* y) {
  if (threadIdx.x == 0) *y = static_cast<float>(blockIdx.x);
}
}  // namespace
TEST_CASE("blocks on one OS thread stay unordered for the thread sanitizer") {
  const With with({.threads = 1});
  Device d;
  CHECK(faults_of(d, block_writes_one_place, 3, 32, d.allocate<float>(1)) == "");
  CHECK((take_races() > 0) == finds_races);
}
