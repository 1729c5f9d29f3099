// Only the component core: shapes, errors and random numbers, no third party.
#include <iostream>

#include "braing3n/base/philox.hpp"
#include "braing3n/base/shape.hpp"

int main() {
  const braing3n::Shape shape{2, 3, 4};
  const braing3n::Philox rng(1, braing3n::Purpose::test, 0, 0);
  std::cout << "braing3n " << braing3n::version() << ": " << shape.size() << " elements, first draw " << rng.integer(0)
            << "\n";
  return shape.size() == 24 ? 0 : 1;
}
