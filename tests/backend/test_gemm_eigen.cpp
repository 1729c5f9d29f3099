// The same cases on Eigen's product.
#include "braing3n/backend/cpu/providers/eigen_provider.hpp"
#include "tests/support/gemm_cases.hpp"

using namespace braing3n;

TEST_CASE("gemm: eigen, float") { test::check_gemm<float>(eigen_cpu_provider()); }
TEST_CASE("gemm: eigen, double") { test::check_gemm<double>(eigen_cpu_provider()); }
TEST_CASE("gemm: eigen, bfloat16") { test::check_gemm<bfloat16>(eigen_cpu_provider()); }
