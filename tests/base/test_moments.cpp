#include "tests/support/check.hpp"

#include <list>

#include "braing3n/base/moments.hpp"

using namespace braing3n;

TEST_CASE("mean and standard deviation of a range, of a projection and of nothing") {
  const std::vector<int> values = {2, 4, 4, 4, 5, 5, 7, 9};
  const Moments m = moments(values);
  CHECK(m.count == 8);
  CHECK(m.mean == 5);
  CHECK(m.squares == 32);
  CHECK(m.variance() == 4);
  CHECK(m.standard_deviation() == 2);
  CHECK(m.sample_variance() == 32.0 / 7);
  CHECK(m.sample_standard_deviation() == std::sqrt(32.0 / 7));
  struct Person {
    float age;
  };
  const std::list<Person> people = {{30}, {50}};
  CHECK(moments(people, &Person::age).mean == 40);
  CHECK(moments(people, [](const Person& p) { return 2 * p.age; }).squares == 800);
  const Moments none = moments(std::vector<double>()), one = moments(std::vector<double>{3});
  CHECK(none.mean == 0);
  CHECK(std::isnan(none.variance()));
  CHECK(std::isnan(none.standard_deviation()));
  CHECK(one.variance() == 0);
  CHECK(std::isnan(one.sample_standard_deviation()));
}

TEST_CASE("a large mean does not swallow the spread, whatever the way the values come") {
  std::vector<double> values;
  for (int i = 0; i < 1000; ++i) values.push_back(1e9 + 0.001 * ((i * 37) % 100));
  const double wanted = 0.001 * std::sqrt((100.0 * 100 - 1) / 12);
  Moments running, first, second, parts;
  for (std::size_t i = 0; i < values.size(); ++i) {
    running.add(values[i]);
    (i < 300 ? first : second).add(values[i]);
  }
  parts.add(first);
  parts.add(second);
  parts.add(Moments{});
  for (const Moments& m : {moments(values), running, parts}) {
    CHECK(m.count == 1000);
    CHECK(m.mean == doctest::Approx(1e9 + 0.0495).epsilon(1e-14));
    CHECK(m.standard_deviation() == doctest::Approx(wanted).epsilon(1e-4));
  }
}

TEST_CASE("weights count values several times, and none at all") {
  Moments weighted, repeated;
  for (const auto& [value, times] : {std::pair{3.0, 2}, std::pair{8.0, 1}, std::pair{-1.0, 5}, std::pair{100.0, 0}}) {
    weighted.add(value, times);
    for (int i = 0; i < times; ++i) repeated.add(value);
  }
  CHECK(weighted.count == 8);
  CHECK(weighted.mean == doctest::Approx(repeated.mean));
  CHECK(weighted.squares == doctest::Approx(repeated.squares));
  CHECK(weighted.squares == doctest::Approx(2 * 9 + 64 + 5 - 8 * weighted.mean * weighted.mean));
}
