// Text of numbers and lists.
#include <doctest/doctest.h>

#include <array>
#include <limits>
#include <string>
#include <vector>

#include "braing3n/base/text.hpp"

using namespace braing3n;

TEST_CASE("numbers as text: shortest, significant, decimals") {
  CHECK(number_text(70.0) == "70");
  CHECK(number_text(70.25) == "70.25");
  CHECK(number_text(0.1f) == "0.1");
  CHECK(number_text(0.1) == "0.1");
  CHECK(number_text(-3) == "-3");
  CHECK(number_text(std::numeric_limits<double>::max()) == "1.7976931348623157e+308");
  CHECK(significant(0.123456) == "0.1235");
  CHECK(significant(123456) == "1.235e+05");
  CHECK(significant(1.0) == "1");
  CHECK(significant(0.000012345, 2) == "1.2e-05");
  CHECK(significant(std::numeric_limits<double>::quiet_NaN()) == "nan");
  CHECK(decimals(1.0005) == "1.000");  // the double lies below the half
  CHECK(decimals(2.5, 0) == "2");
  CHECK(decimals(-0.0004) == "0.000");
  CHECK(decimals(-0.0006) == "-0.001");
  CHECK(decimals(-0.2, 0) == "0");
  CHECK(decimals(std::numeric_limits<double>::infinity()) == "-");
  CHECK(decimals(std::numeric_limits<double>::max(), 3).size() == 313);
  CHECK(percent(0.5) == "50 %");
  CHECK(percent(0.1234) == "12.3 %");
  CHECK(percent(0.01234) == "1.2 %");
}

TEST_CASE("counts and sizes as text") {
  CHECK(with_commas(0) == "0");
  CHECK(with_commas(999) == "999");
  CHECK(with_commas(1000) == "1,000");
  CHECK(with_commas(1234567) == "1,234,567");
  CHECK(with_commas(-999) == "-999");
  CHECK(with_commas(-196005888) == "-196,005,888");
  CHECK(with_commas(std::numeric_limits<Index>::min()) == "-9,223,372,036,854,775,808");
  CHECK(byte_text(1536) == "1.5 KiB");
  CHECK(byte_text(17) == "17 B");
  CHECK(byte_text(0) == "0 B");
  CHECK(byte_text(5e15) == "4547.5 TiB");
}

TEST_CASE("lists as text") {
  CHECK(joined(std::vector<std::string>{}) == "");
  CHECK(joined(std::vector<std::string>{"a"}) == "a");
  CHECK(joined(std::array{1, 2, 3}) == "1, 2, 3");
  CHECK(joined(std::vector<std::string>{"", "b", ""}, ";") == ";b;");
  CHECK(joined(std::vector<double>{0.5, 2}, " x ", [](double v) { return decimals(v, 1); }) == "0.5 x 2.0");
}
