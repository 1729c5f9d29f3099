// The whole library from an installation: a linear layer with known small integers.
#include <iostream>

#include "braing3n/braing3n.hpp"
#include "braing3n/generate.hpp"
#include "braing3n/probe.hpp"
#include "braing3n/train.hpp"

namespace b3 = braing3n;

b3::Index elements_by_the_second_file(const b3::Tensor<float, b3::Cpu>& t);

int main() {
  b3::Context<b3::Cpu> context({.threads = 2});
  const float x_values[] = {1, 2, 3, 4, 5, 6}, weight_values[] = {1, 0, -1, 2, 1, 0};
  const auto x = b3::Tensor<float, b3::Cpu>::from_host(context, b3::Shape{2, 3}, x_values);
  const auto weight = b3::Tensor<float, b3::Cpu>::from_host(context, b3::Shape{2, 3}, weight_values);
  const auto y = b3::linear_forward(x, weight);
  const float wanted[] = {-2, 4, -2, 13};
  bool same = elements_by_the_second_file(y) == 4;
  for (int i = 0; i < 4; ++i) same = same && y.data()[i] == wanted[i];
  std::cout << "braing3n " << b3::version() << ", provider " << context.provider().name << ": "
            << (same ? "right" : "wrong") << "\n";
  return same ? 0 : 1;
}
