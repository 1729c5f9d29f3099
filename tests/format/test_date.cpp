// Dates in cells.
#include <doctest/doctest.h>

#include "braing3n/format/date.hpp"

using namespace braing3n;

TEST_CASE("dates with the year first are days since 1970, whatever their separators and times") {
  CHECK(read_date("1970-01-01").day == 0);
  CHECK(read_date("2000-03-01").day == 11017);
  CHECK(read_date("1877-06-15T13:45:30").day == -33802);  // shifted before 1925, as BIDS has it
  for (const char* text : {"2011-03-05", " 2011-03-05 ", "2011/03/05", "2011.3.5", "2011-3-5", "20110305", "20110305.0",
                           "2011-03-05T10:15", "2011-03-05T10:15:00.250000", "2011-03-05T23:59:59+01:00",
                           "2011-03-05 12:00:00 AM", "20110305T101500Z"})
    CHECK_MESSAGE(read_date(text).day == 15038, text);
  for (const Index day : {Index{-33802}, Index{0}, Index{11016}, Index{15038}, Index{40000}})
    CHECK(read_date(date_text(day)).day == day);
  CHECK(date_text(11016) == "2000-02-29");
  CHECK(date_text(*read_date("0099-01-02").day) == "0099-01-02");
}

TEST_CASE("dates with the year last are read where one order gives a day, or their column proves one") {
  CHECK(read_date("15/03/2011").day == read_date("2011-03-15").day);
  CHECK(read_date("03/15/2011").day == read_date("2011-03-15").day);
  CHECK(read_date("15.3.2011").order == DateOrder::day_first);
  CHECK(read_date("3/15/2011 12:00:00 AM").order == DateOrder::month_first);
  CHECK(read_date("04/04/2011").day == read_date("2011-04-04").day);
  CHECK(read_date("04/04/2011").order == DateOrder::unknown);
  CHECK_FALSE(read_date("03/05/2011").day);
  CHECK(read_date("03/05/2011").reason == "day or month first? write 2011-05-03 or 2011-03-05");
  CHECK(read_date("03/05/2011", DateOrder::day_first).day == read_date("2011-05-03").day);
  CHECK(read_date("03/05/2011", DateOrder::month_first).day == read_date("2011-03-05").day);
  CHECK(read_date("03/05/2011", DateOrder::mixed).reason.find("both orders") != std::string::npos);
  CHECK(joined_order(DateOrder::unknown, DateOrder::day_first) == DateOrder::day_first);
  CHECK(joined_order(DateOrder::day_first, DateOrder::unknown) == DateOrder::day_first);
  CHECK(joined_order(DateOrder::day_first, DateOrder::month_first) == DateOrder::mixed);
  CHECK(joined_order(DateOrder::mixed, DateOrder::month_first) == DateOrder::mixed);
}

TEST_CASE("what is no date says why") {
  const auto reason = [](const char* text) {
    CHECK_FALSE(read_date(text).day);
    return read_date(text).reason;
  };
  CHECK(reason("2011-02-29") == "the calendar has no such day");
  CHECK(reason("20111301") == "the calendar has no such day");
  CHECK(reason("31/31/2011") == "the calendar has no such day");
  CHECK(reason("05/03/11").find("four digits") != std::string::npos);
  CHECK(reason("13:45:30") == "a time without a day");
  CHECK(reason("40607").find("a number") == 0);
  CHECK(reason("2011-03").find("write the day") == 0);
  CHECK(reason("spring 2011").find("write the day") == 0);
  CHECK(reason("05-Mar-2011").find("write the day") == 0);
  CHECK(reason("2011-03-05 or so") == "text behind the date");
}
