// The package as a Conan user sees it: a linear layer with known small integers.
#include <iostream>

#include "braing3n/braing3n.hpp"

int main() {
  braing3n::Context<braing3n::Cpu> context;
  const float x_values[] = {1, 2, 3, 4, 5, 6}, weight_values[] = {1, 0, -1};
  const auto x = braing3n::Tensor<float, braing3n::Cpu>::from_host(context, braing3n::Shape{2, 3}, x_values);
  const auto weight = braing3n::Tensor<float, braing3n::Cpu>::from_host(context, braing3n::Shape{1, 3}, weight_values);
  const auto y = braing3n::linear_forward(x, weight);
  const bool same = y.data()[0] == -2 && y.data()[1] == -2;
  std::cout << "braing3n " << braing3n::version() << ": " << (same ? "right" : "wrong") << "\n";
  return same ? 0 : 1;
}
