// Compiled by the host compiler: makes a tensor and hands it to the file that nvcc compiled.
#include <iostream>
#include <vector>

#include "braing3n/braing3n.hpp"

/// Twice the sum of the elements, computed by a GPU; minus their number without one.
double sum_by_nvcc(const braing3n::Tensor<float, braing3n::Cpu>& t);

int main() {
  braing3n::Context<braing3n::Cpu> context;
  const std::vector<float> ones(24, 1.0f);
  const auto t = braing3n::Tensor<float, braing3n::Cpu>::from_host(context, braing3n::Shape{2, 3, 4}, ones);
  const double sum = sum_by_nvcc(t);
  const bool agree = sum == 48 || sum == -24;
  std::cout << "host and device code " << (agree ? "agree" : "disagree")
            << (sum < 0 ? ", no GPU here: nothing was launched\n" : "\n");
  return agree ? 0 : 1;
}
