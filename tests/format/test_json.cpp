#include "braing3n/format/json.hpp"

#include <doctest/doctest.h>

#include "tests/format/damage.hpp"

using namespace braing3n;
using namespace braing3n::test;

namespace {

enum class Colour { red, dark_blue = 2 };

struct Inner {
  Index size = 3;
  Colour colour = Colour::red;
  static void visit(auto& self, auto&& v) {
    v("size", self.size);
    v("colour", self.colour);
  }
};

struct Outer {
  std::int8_t small = 1;
  std::uint64_t large = 2;
  float rate = 0.1f;
  double exact = 1.0 / 3;
  bool flag = false;
  std::string text = "é \"x\"\n";
  std::vector<Inner> list{{}, {5, Colour::dark_blue}};
  std::array<Index, 3> extent{1, 2, 3};
  std::optional<double> maybe;
  std::map<std::string, std::vector<bool>> table{{"a", {true, false}}};
  Inner inner;
  Json opaque;
  static void visit(auto& self, auto&& v) {
    v("small", self.small);
    v("large", self.large);
    v("rate", self.rate);
    v("exact", self.exact);
    v("flag", self.flag);
    v("text", self.text);
    v("list", self.list);
    v("extent", self.extent);
    v("maybe", self.maybe);
    v("table", self.table);
    v("inner", self.inner);
    v("opaque", self.opaque);
  }
};

std::string message(const std::string& text) {
  const Error e = error_of([&] { config_from_text<Outer>(text, "c.json"); });
  CHECK(e.kind() == ErrorKind::config);
  return e.what();
}

}  // namespace

TEST_CASE("json: a struct goes round") {
  Outer a;
  a.small = -128;
  a.large = ~std::uint64_t{0};
  a.maybe = -1e-300;
  a.inner = {-9, Colour::dark_blue};
  a.opaque = parse_json(R"({"any":[1,null]})", "x");
  const std::string text = json_text(a);
  CHECK(text ==
        "{\"small\":-128,\"large\":18446744073709551615,\"rate\":0.1,\"exact\":0.3333333333333333,\"flag\":false,"
        "\"text\":\"é "
        "\\\"x\\\"\\n\",\"list\":[{\"size\":3,"
        "\"colour\":\"red\"},{\"size\":5,\"colour\":\"dark_blue\"}],\"extent\":[1,2,3],\"maybe\":-1e-300,\"table\":{"
        "\"a\":[true,false]},"
        "\"inner\":{\"size\":-9,"
        "\"colour\":\"dark_blue\"},\"opaque\":{\"any\":[1,null]}}");
  const Outer b = config_from_text<Outer>(text);
  CHECK(json_text(b) == text);
  CHECK(b.rate == 0.1f);
  CHECK(b.exact == 1.0 / 3);
  CHECK(b.list[1].colour == Colour::dark_blue);
}

TEST_CASE("json: missing keys keep their defaults") {
  const Outer c = config_from_text<Outer>(R"({"inner":{"size":7},"maybe":null,"rate":2})");
  CHECK(c.inner.size == 7);
  CHECK(c.inner.colour == Colour::red);
  CHECK(c.list.size() == 2);
  CHECK(c.rate == 2.0f);
  CHECK_FALSE(c.maybe.has_value());
}

TEST_CASE("json: mistakes are named") {
  CHECK(message(R"({"inner":{"colur":"red"}})") ==
        "c.json: inner.colur: unknown key \"colur\" of Inner; did you mean \"colour\"?");
  CHECK(message(R"({"completely_else":1})") == "c.json: completely_else: unknown key \"completely_else\" of Outer");
  CHECK(message(R"({"inner":{"size":"x"}})") == "c.json: inner.size: expected a whole number, got the text \"x\"");
  CHECK(message(R"({"inner":{"size":1.0}})") == "c.json: inner.size: expected a whole number, got the number 1.0");
  CHECK(message(R"({"small":128})") == "c.json: small: expected a whole number in [-128, 127], got the number 128");
  CHECK(message(R"({"large":-1})") ==
        "c.json: large: expected a whole number in [0, 18446744073709551615], got the number -1");
  CHECK(message(R"({"rate":1e39})") == "c.json: rate: expected a finite number, got the number 1e+39");
  CHECK(message(R"({"rate":"0.1"})") == "c.json: rate: expected a number, got the text \"0.1\"");
  CHECK(message(R"({"flag":1})") == "c.json: flag: expected true or false, got the number 1");
  CHECK(message(R"({"text":null})") == "c.json: text: expected a text, got null");
  CHECK(message(R"({"extent":[1,2]})") == "c.json: extent: expected a list of 3, got a list of 2");
  CHECK(message(R"({"extent":[1,2,false]})") == "c.json: extent[2]: expected a whole number, got false");
  CHECK(message(R"({"list":[{},{"colour":"blue"}]})") ==
        "c.json: list[1].colour: expected one of \"red\", \"dark_blue\", got the text \"blue\"");
  CHECK(message(R"({"table":{"a":[1]}})") == "c.json: table.a[0]: expected true or false, got the number 1");
  CHECK(message(R"({"inner":[]})") == "c.json: inner: expected an object (Inner), got a list of 0");
  CHECK(message("[]") == "c.json: expected an object (Outer), got a list of 0");
  CHECK(message(R"({"inner":{"colour":""}})").ends_with("got the text \"\""));
}

TEST_CASE("json: text that is not JSON") {
  const auto id = [](const std::string& text) { return error_of([&] { parse_json(text, "c.json"); }).id(); };
  for (const char* bad : {"", "{", "{\"a\":1,}", "{'a':1}", "[1 2]", "{} {}", "nan", "\"\xff\"", "// x\n{}"})
    CHECK_MESSAGE(id(bad) == "json.syntax", bad);
  CHECK(id(R"({"a":1,"a":2})") == "json.duplicate");
  CHECK(id(R"([{"b":{"a":1,"\u0061":2}}])") == "json.duplicate");
  CHECK_NOTHROW(parse_json(R"({"a":{"a":1},"b":{"a":1}})", "x"));
  CHECK(id(std::string(100'000, '[')) == "json.depth");
  const Error e = error_of([] { parse_json("{\n\"a\": }", "c.json"); });
  CHECK(std::string(e.what()).starts_with("c.json: parse error at line 2, column"));
}

TEST_CASE("json: numbers that JSON cannot hold") {
  Outer a;
  a.exact = std::numeric_limits<double>::infinity();
  CHECK(error_of([&] { json_text(a); }).kind() == ErrorKind::numeric);
  Inner b{1, static_cast<Colour>(1)};
  CHECK(error_of([&] { json_text(b); }).id() == "json.enum");
}

TEST_CASE("json: files") {
  const ScratchFolder folder;
  write_json(folder / "a.json", Inner{4, Colour::red});
  CHECK(content_of(folder / "a.json") == "{\n  \"size\": 4,\n  \"colour\": \"red\"\n}\n");
  CHECK(config_from_file<Inner>(folder / "a.json").size == 4);
  CHECK(error_of([&] { write_json(folder / "a.json", Inner{}); }).id() == "file.exists");
  CHECK(error_of([&] { config_from_file<Inner>(folder / "b.json"); }).kind() == ErrorKind::file);
}
