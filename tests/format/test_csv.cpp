#include "braing3n/format/csv.hpp"

#include <doctest/doctest.h>

#include <limits>

#include "braing3n/base/philox.hpp"
#include "braing3n/table/stated_missing.hpp"
#include "tests/format/damage.hpp"

using namespace braing3n;
using namespace braing3n::test;

namespace {
CsvTable table(const std::string& text, char delimiter = '\0') {
  return CsvTable::from_text(text, "t.csv", {delimiter});
}
std::string id_of(const std::string& text) {
  return error_of([&] { table(text); }).id();
}
}  // namespace

TEST_CASE("csv: RFC 4180") {
  const CsvTable t = table(
      "\xef\xbb\xbf"
      "a,b,\"c \"\"d\"\"\"\r\n1,\"x, y\nz\",\r\n\r\n n/a ,\"\",\"\"\"\"");
  CHECK(t.header() == std::vector<std::string>{"a", "b", "c \"d\""});
  REQUIRE(t.rows() == 2);
  CHECK(t.cell(0, "a") == "1");
  CHECK(t.cell(0, 1) == "x, y\nz");
  CHECK(t.cell(0, 2).empty());
  CHECK(t.cell(1, 2) == "\"");
  CHECK(t.line(0) == 2);
  CHECK(t.line(1) == 5);
  CHECK(t.text(0, 0) == "1");
  CHECK_FALSE(t.text(1, 0).has_value());
  CHECK_FALSE(t.text(1, 1).has_value());
  CHECK(t.integers("a") == std::vector<std::optional<Index>>{1, std::nullopt});
}

TEST_CASE("csv: the delimiter is found, outside quotes") {
  CHECK(table("a\tb,c\td\n1\t2\t3\n").columns() == 3);
  CHECK(table("a;b;c\n1,5;2;3\n").delimiter() == ';');
  CHECK(table("\"a;b;c\",d\n1,2\n").columns() == 2);
  CHECK(table("only\n1\n\n3\n").rows() == 3);
  CHECK(table("only\n1\n\n3\n").numbers("only")[1] == std::nullopt);
  CHECK(table("a,b\r1,2\r3,4").rows() == 2);
  CHECK(table("a,b").rows() == 0);
  CHECK(table("a,b\n1,2", ';').columns() == 1);
  CHECK(table("a\tb\n5\" coil\tx\n").cell(0, 0) == "5\" coil");  // quotes are text in tab-separated fields
  CHECK(table("a,b\n\n\n1,2\n\n\n").rows() == 1);
}

TEST_CASE("csv: typed cells") {
  const CsvTable t = table("x,i,s\n1e-3, 7 ,NA\nnan,-2,n/a\n+4.5,,N/A\n");
  CHECK(t.numbers("x") == std::vector<std::optional<double>>{0.001, std::nullopt, 4.5});
  CHECK(t.integers("i") == std::vector<std::optional<Index>>{7, -2, std::nullopt});
  CHECK(t.texts("s") == std::vector<std::optional<std::string>>{"NA", std::nullopt, std::nullopt});
  const Error e = error_of([] { table("age,sex\n1,2\n7o,1\n").numbers("age"); });
  CHECK(std::string(e.what()) ==
        "t.csv: line 3: column \"age\": expected a number, got \"7o\" (a number with text behind it)");
  for (const char* bad : {"1,5", "0x10", "1e999", "inf", "1 2", "--1", "+-1", "1.5.2", ".."})
    CHECK_MESSAGE(error_of([&] { table(concat("a;b\n", bad, ";1\n")).numbers("a"); }).id() == "csv.value", bad);
  for (const char* bad : {"1.5", "9223372036854775808", "1e3", "x"})
    CHECK_MESSAGE(error_of([&] { table(concat("a;b\n", bad, ";1\n")).integers("a"); }).id() == "csv.value", bad);
  const Error missing = error_of([&] { t.column("X"); });
  CHECK(std::string(missing.what()) == "t.csv: no column \"X\"; did you mean \"x\"?");
  CHECK(error_of([&] { t.cell(3, 0); }).id() == "csv.cell");
}

TEST_CASE("csv: what is missing, as text, as a label and as a number") {
  for (const char* text :
       {"", "  ", "n/a", "N/A", "#N/A", "#NA", "<NA>", "<na>", "NULL", "null", "#NULL!", "NaN", ".", "\xc2\xa0"}) {
    CHECK_MESSAGE(is_missing(text), text);
    CHECK_MESSAGE(is_missing_number(text), text);
  }
  CHECK_FALSE(is_missing("NA"));
  CHECK(is_missing_label("NA"));
  for (const char* text : {"None", "-", "--", "?", "-nan", "-nan(ind)", "1.#QNAN"}) {
    CHECK_FALSE_MESSAGE(is_missing_label(text), text);
    CHECK_MESSAGE(is_missing_number(text), text);
  }
  for (const char* text : {"0", "n", "nano", "..", "-1", "nu ll", "nullx"})
    CHECK_FALSE_MESSAGE(is_missing_number(text), text);
}

TEST_CASE("csv: numbers, and why a cell is none") {
  CHECK(cell_number("+0.4") == 0.4);
  CHECK(cell_number(" -999.0\xc2\xa0") == -999);
  CHECK(cell_number("1e-3") == 1e-3);
  for (const char* text : {"", "+", "+-1", "++1", "1 2", "0x10", "inf", "nan", "1e400", "0,4"})
    CHECK_FALSE_MESSAGE(cell_number(text).has_value(), text);
  using Kind = NumberFault::Kind;
  const std::pair<const char*, Kind> known[] = {{"0,4", Kind::comma},
                                                {"-12,75", Kind::comma},
                                                {"1.234,5", Kind::comma},
                                                {"1,234.5", Kind::comma},
                                                {"1,234", Kind::comma},
                                                {"034Y", Kind::unit},
                                                {"P034Y", Kind::unit},
                                                {"P34Y", Kind::unit},
                                                {"018M", Kind::unit},
                                                {"2019-05-01", Kind::date},
                                                {"01.05.2019", Kind::date},
                                                {"5/1/19", Kind::date},
                                                {"2019-05-01T10:00:00", Kind::date},
                                                {"1e400", Kind::range},
                                                {"inf", Kind::infinite},
                                                {"\xe2\x88\x92"
                                                 "4",
                                                 Kind::sign},
                                                {"89+", Kind::open},
                                                {">89", Kind::open},
                                                {"<18", Kind::open},
                                                {"\xe2\x89\xa5"
                                                 "90",
                                                 Kind::open},
                                                {"7o", Kind::text},
                                                {"34 years", Kind::text},
                                                {"3T", Kind::text},
                                                {"F", Kind::none},
                                                {"sub-01", Kind::none},
                                                {"12", Kind::none},
                                                {"1-2-3-4", Kind::text},
                                                {"", Kind::none}};
  for (const auto& [text, kind] : known)
    CHECK_MESSAGE(number_fault(text).kind == kind, text, ": ", number_fault(text).reason);
  CHECK(number_fault("0,4").reason == "a decimal comma: write 0.4");
  CHECK(number_fault("1.234,5").reason == "a decimal comma: write 1234.5");
  CHECK(number_fault("1,234").reason == "a comma: write 1.234 or 1234");
  CHECK(number_fault("P034Y").reason == "an age with its unit: write 34");
  CHECK(std::string(error_of([] { table("id;score\na;+0.4\nb;0,4\n").numbers("score"); }).what()) ==
        "t.csv: line 3: column \"score\": expected a number, got \"0,4\" (a decimal comma: write 0.4)");
}

TEST_CASE("csv: text that is not UTF-8 is refused with its line and what it looks like") {
  const auto refused = [](const std::string& text) {
    const Error e = error_of([&] { table(text); });
    CHECK(e.id() == "csv.encoding");
    return e.text();
  };
  CHECK(refused("id,group\na,x\nb,M\xfcnchen\n") ==
        "line 3: expected UTF-8, got the byte 0xfc in \"M\xc3\xbcnchen\"; the file looks like Windows-1252 (Latin-1): "
        "save it as UTF-8");
  CHECK(refused("gr\xf6\xdf"
                "e,b\n1,2\n")
            .starts_with("line 1: "));
  CHECK(refused("a,b\n\x8f,2\n").find("not known") != std::string::npos);
  CHECK(refused("a,b\n\xc4\xe3\xba\xc3,2\n").find("not known") != std::string::npos);  // GBK
  for (const char* bad : {"\xc3", "\xe2\x82", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\x80"})
    CHECK_MESSAGE(refused(concat("a,b\n", bad, ",2\n")).starts_with("line 2: "), bad);
  CHECK(refused(std::string("a\0,\0b\0\n\0", 8)).find("UTF-16") != std::string::npos);
  CHECK(table("a,b\n\xc3\xbc,\xf0\x9f\xa7\xa0\n").cell(0, 1) == "\xf0\x9f\xa7\xa0");
  CHECK(id_of("PK\x03\x04rest") == "csv.workbook");
  // A message never cuts a character in two.
  CHECK(in_quotes("abc\xc3\xbc", 4) == "\"abc...\"");
}

TEST_CASE("csv: names of columns have no blanks around them; values are stated as missing") {
  CsvTable t = table(" id ,age\xc2\xa0, score\n-999,-999.0,-1\n2,50,7\n");
  CHECK(t.header() == std::vector<std::string>{"id", "age", "score"});
  CHECK(id_of("a, a\n1,2\n") == "csv.duplicate");
  clear_stated_missing(t, {"-999", "score=-1"});
  CHECK(t.cell(0, "id") == "-999");
  CHECK(t.numbers("age") == std::vector<std::optional<double>>{std::nullopt, 50});
  CHECK(t.numbers("score") == std::vector<std::optional<double>>{std::nullopt, 7});
  CHECK(error_of([&] { clear_stated_missing(t, {"nothing=3"}); }).id() == "csv.column");
}

TEST_CASE("csv: damage has a line") {
  CHECK(id_of("") == "csv.empty");
  CHECK(id_of("\n1,2\n") == "csv.empty");
  CHECK(id_of("a,b,a\n") == "csv.duplicate");
  CHECK(table(",,a\n1,2,3\n").columns() == 3);  // unnamed index columns are common
  CHECK(id_of("a,b\n1\n") == "csv.ragged");
  CHECK(id_of("a,b\n1,2,3\n") == "csv.ragged");
  CHECK(id_of("a,b\n\"1,2\n3,4\n") == "csv.quote");
  CHECK(id_of("a,b\n\"1\"x,2\n") == "csv.quote");
  CHECK(id_of("a,b\n1\"x,2\n") == "csv.quote");
  CHECK(id_of(std::string("a,b\n1,\0\n", 8)) == "csv.binary");
  CHECK(id_of("\xff\xfe"
              "a") == "csv.encoding");
  CHECK(std::string(error_of([] { table("a,b\n1,\"x\ny\"\n5\n"); }).what()) ==
        "t.csv: line 4: 1 field, the header has 2: \"5\"");
  CHECK(std::string(error_of([] { table("a,b\n1,2\n1,\"x\ny\n"); }).what()) ==
        "t.csv: line 3: a quote is opened and never closed");
}

TEST_CASE("csv: any text never crashes the reader") {
  const Philox rng(11, Purpose::test);
  std::uint64_t draw = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string text = "a,b\n";
    const std::uint32_t n = rng.integer(draw++) % 24;
    for (std::uint32_t i = 0; i < n; ++i) text += "ab1,;\t\"\r\n \0\xff"[rng.integer(draw++) % 12];
    try {
      const CsvTable t = table(text, ',');
      for (std::size_t r = 0; r < t.rows(); ++r) REQUIRE(t.cell(r, 0).size() + t.cell(r, 1).size() <= text.size());
    } catch (const Error&) {
    }
  }
}

TEST_CASE("csv: written and read back") {
  const ScratchFolder folder;
  CsvWriter writer(folder / "t.tsv", {"name", "x", "n", "opt"});
  writer.row("plain", 0.1, 7, std::optional<double>());
  writer.row("tab\t, quote \" line\nend", 1.0f / 3, -1, std::optional<std::string>("x;y"));
  writer.row("a\tb", std::numeric_limits<double>::quiet_NaN(), true, 1e-300);
  writer.cells(std::vector<double>{1, 2, 3, 4});
  CHECK(error_of([&] { writer.row("a", 1); }).id() == "csv.ragged");
  CHECK_FALSE(std::filesystem::exists(folder / "t.tsv"));
  writer.finish();
  const CsvTable t(folder / "t.tsv");
  REQUIRE(t.rows() == 4);
  CHECK(t.delimiter() == '\t');
  CHECK(t.cell(1, "name") == "tab\t, quote \" line\nend");
  CHECK(t.numbers("x") == std::vector<std::optional<double>>{0.1, static_cast<double>(0.33333334), std::nullopt, 2.0});
  CHECK(static_cast<float>(*t.number(1, 1)) == 1.0f / 3);
  CHECK(t.cell(1, "opt") == "x;y");
  CHECK(t.cell(2, "name") == "a\tb");
  CHECK(t.number(2, 3) == 1e-300);
  CHECK_FALSE(t.text(0, 3).has_value());
  CHECK(folder.files() == 1);

  CsvWriter single(folder / "one.csv", {"a"});
  single.row("");
  single.row("b");
  single.finish();
  CHECK(CsvTable(folder / "one.csv").rows() == 2);
}

TEST_CASE("a first line may name the delimiter, as Excel writes it") {
  for (const char* text : {"sep=;\na;b\n1,5;2\n", "\xef\xbb\xbfSEP=;\r\na;b\r\n1,5;2\r\n"}) {
    const CsvTable t = CsvTable::from_text(text, "t.csv");
    CHECK(t.header() == std::vector<std::string>{"a", "b"});
    CHECK(t.cell(0, "a") == "1,5");
    CHECK(t.line(0) == 3);
  }
  // The name of a column that begins alike is one.
  CHECK(CsvTable::from_text("sep=;x,b\n1,2\n", "t.csv").header()[0] == "sep=;x");
}
