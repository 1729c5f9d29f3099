// Compiled by the host compiler: makes a tensor and hands it to the file that nvcc compiled.
#include <iostream>
#include <vector>

#include "braing3n/braing3n.hpp"

/// Twice the sum of the elements, computed by a GPU; -1 without one.
double sum_by_nvcc(const braing3n::Tensor<float, braing3n::Cpu>& t);

int main() {
  braing3n::Context<braing3n::Cpu> context;
  const std::vector<float> ones(24, 1.0f);
  const auto t = braing3n::Tensor<float, braing3n::Cpu>::from_host(context, braing3n::Shape{2, 3, 4}, ones);
  const double sum = sum_by_nvcc(t);
  if (sum == -1) std::cout << "no GPU here: nothing was launched\n";
  else std::cout << "host and device code " << (sum == 48 ? "agree" : "disagree") << "\n";
  return sum == -1 || sum == 48 ? 0 : 1;
}
