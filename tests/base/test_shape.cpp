#include <doctest/doctest.h>

#include <vector>

#include "braing3n/base/shape.hpp"

using namespace braing3n;

namespace {
template <class F>
std::string error_id(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    CHECK(e.kind() == ErrorKind::shape);
    return e.id();
  }
  return "none";
}
}  // namespace

TEST_CASE("extents, sizes and products") {
  const Shape s{2, 3, 4, 5, 6, 7};
  CHECK(s.rank() == 6);
  CHECK(s.size() == 5040);
  CHECK(s[0] == 2);
  CHECK(s[5] == 7);
  CHECK(s[-1] == 7);
  CHECK(s[-6] == 2);
  CHECK(s.product(0, 6) == 5040);
  CHECK(s.product(2, 4) == 20);
  CHECK(s.product(3, 3) == 1);
  CHECK(s.str() == "(2, 3, 4, 5, 6, 7)");
  CHECK(concat(s) == s.str());
  CHECK(Shape().size() == 1);
  CHECK(Shape().rank() == 0);
  CHECK(Shape().str() == "()");
  CHECK(Shape{3, 0, 4}.size() == 0);
}

TEST_CASE("equality compares rank and every extent") {
  CHECK(Shape{2, 3} == Shape{2, 3});
  CHECK(!(Shape{2, 3} == Shape{3, 2}));
  CHECK(!(Shape{2, 3} == Shape{2, 3, 1}));
  CHECK(!(Shape{6} == Shape{2, 3}));
  CHECK(!(Shape{} == Shape{1}));
}

TEST_CASE("with() replaces one extent") {
  CHECK(Shape{2, 3, 4}.with(1, 9) == Shape{2, 9, 4});
  CHECK(Shape{2, 3, 4}.with(-1, 9) == Shape{2, 3, 9});
  CHECK(Shape{2, 0, 4}.with(1, 3).size() == 24);
  CHECK(error_id([] { (void)Shape{2, 3}.with(2, 1); }) == "shape.axis");
}

TEST_CASE("what is not a shape is refused") {
  CHECK(error_id([] { Shape{1, 1, 1, 1, 1, 1, 1}; }) == "shape.rank");
  CHECK(error_id([] { (void)Shape(std::vector<Index>(7, 2)); }) == "shape.rank");
  CHECK(error_id([] {
          Shape s{1, 1, 1, 1, 1, 1};
          s.push_back(1);
        }) == "shape.rank");
  CHECK(error_id([] { Shape{2, -1}; }) == "shape.negative");
  CHECK(error_id([] { (void)Shape{2, 3}[2]; }) == "shape.axis");
  CHECK(error_id([] { (void)Shape{2, 3}[-3]; }) == "shape.axis");
  constexpr Index big = Index{1} << 31;
  CHECK(error_id([] { Shape{big, big, 4}; }) == "shape.overflow");
  CHECK(error_id([] { Shape{Index{1} << 62}; }) == "shape.overflow");  // 16 bytes an element would overflow
  CHECK(Shape{big, Index{1} << 27}.size() == Index{1} << 58);          // the largest that fits
  CHECK(error_id([] { Shape{big, Index{1} << 28}; }) == "shape.overflow");
}
