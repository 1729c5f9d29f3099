// Compiled by the host compiler: makes a tensor and hands it to the file that nvcc compiled.
#include <iostream>

#include "braing3n/braing3n.hpp"

braing3n::Index elements_by_nvcc(const braing3n::Tensor<float, braing3n::Cpu>& t);

int main() {
  braing3n::Context<braing3n::Cpu> context;
  const auto t = braing3n::Tensor<float, braing3n::Cpu>::zeros(context, braing3n::Shape{2, 3, 4});
  const bool same = elements_by_nvcc(t) == t.size();
  std::cout << "host and device code " << (same ? "agree" : "disagree") << "\n";
  return same ? 0 : 1;
}
