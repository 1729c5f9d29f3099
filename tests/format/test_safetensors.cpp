#include "braing3n/format/safetensors.hpp"

#include <doctest/doctest.h>

#include <limits>

#include "braing3n/base/philox.hpp"
#include "tests/format/damage.hpp"

using namespace braing3n;
using namespace braing3n::test;

namespace {

SafetensorsFile parsed(const std::string& text, const SafetensorsLimits& limits = {}) {
  return SafetensorsFile(bytes_of(text), "case", limits);
}

std::string id_of(const std::string& text, const SafetensorsLimits& limits = {}) {
  const Error e = error_of([&] { parsed(text, limits); });
  CHECK(e.kind() == ErrorKind::format);
  CHECK(std::string(e.what()).starts_with("case: safetensors: "));
  return e.id();
}

std::string one(const std::string& fields) { return R"({"a":{)" + fields + "}}"; }

}  // namespace

TEST_CASE("safetensors: a file by hand") {
  std::string data(4 + 12 + 1, '\0');
  const float values[3] = {1.5f, -2.0f, 0.25f};
  data[0] = 0x34;
  data[1] = 0x12;
  data[2] = static_cast<char>(0xff);
  data[3] = static_cast<char>(0xff);
  std::memcpy(data.data() + 5, values, 12);  // unaligned on purpose
  data[4] = 7;
  const std::string text = safetensors_text(
      R"({"f":{"dtype":"F32","shape":[1,3],"data_offsets":[5,17]},"__metadata__":{"k":"v \u00e9"},)"
      R"("i":{"data_offsets":[0,4],"shape":[2],"dtype":"I16"},"u":{"dtype":"U8","shape":[],"data_offsets":[4,5]}, )"
      R"("z":{"dtype":"F64","shape":[0,5],"data_offsets":[5,5]}}  )",
      data);
  const SafetensorsFile file = parsed(text);
  REQUIRE(file.tensors().size() == 4);
  CHECK(file.tensors()[0].name == "f");
  CHECK(file.tensors()[3].name == "z");
  CHECK(file.metadata() == Metadata{{"k", "v \xc3\xa9"}});
  CHECK(file.info("f").shape == std::vector<Index>{1, 3});
  CHECK(file.read<float>("f") == std::vector<float>{1.5f, -2.0f, 0.25f});
  CHECK(file.read<double>("f") == std::vector<double>{1.5, -2.0, 0.25});
  CHECK(file.read<std::int64_t>("i") == std::vector<std::int64_t>{0x1234, -1});
  CHECK(file.read<std::uint8_t>("u") == std::vector<std::uint8_t>{7});
  CHECK(file.read<double>("z").empty());
  CHECK(file.info("z").shape == std::vector<Index>{0, 5});
  CHECK_FALSE(file.verify_checksum());
  CHECK(error_of([&] { file.read<std::int32_t>("f"); }).id() == "dtype.range");
  CHECK(error_of([&] { file.read<std::uint16_t>("i"); }).id() == "dtype.range");
  const Error missing = error_of([&] { file.info("ff"); });
  CHECK(std::string(missing.what()) == "case: safetensors: no tensor \"ff\"; did you mean \"f\"?");
  std::vector<float> two(2);
  CHECK(error_of([&] { file.read_into("f", std::span<float>(two)); }).id() == "safetensors.count");
}

TEST_CASE("safetensors: every kind of damage has its own error") {
  const std::string f4 = R"("dtype":"F32","shape":[2],"data_offsets":[0,8])";
  const std::string data(8, 'x');
  REQUIRE_NOTHROW(parsed(safetensors_text(one(f4), data)));

  SUBCASE("truncated") {
    const std::string whole = safetensors_text(one(f4), data);
    for (std::size_t n = 0; n < whole.size(); ++n) CHECK_THROWS_AS(parsed(whole.substr(0, n)), Error);
    CHECK(id_of("") == "safetensors.truncated");
    CHECK(id_of(whole.substr(0, 7)) == "safetensors.truncated");
    CHECK(id_of(whole.substr(0, 20)) == "safetensors.truncated");
    CHECK(id_of(whole.substr(0, whole.size() - 1)) == "safetensors.range");
  }
  SUBCASE("header length") {
    CHECK(id_of(safetensors_text(one(f4), data, std::numeric_limits<std::int64_t>::max())) ==
          "safetensors.header_size");
    std::string all_ones = safetensors_text(one(f4), data);
    for (int i = 0; i < 8; ++i) all_ones[static_cast<std::size_t>(i)] = static_cast<char>(0xff);
    CHECK(id_of(all_ones) == "safetensors.header_size");
    for (std::int64_t lie : {std::int64_t{99'999'999}, std::int64_t{100'000'000}})
      CHECK(id_of(safetensors_text(one(f4), data, lie)) == "safetensors.truncated");
    CHECK(id_of(safetensors_text(one(f4), data, 100'000'001)) == "safetensors.header_size");
    CHECK(id_of(safetensors_text("{}", "", 3)) == "safetensors.truncated");  // one byte too many
    CHECK(id_of(safetensors_text("", "")) == "safetensors.json");
    CHECK(id_of(safetensors_text(" " + one(f4), data)) == "safetensors.json");
    CHECK(id_of(safetensors_text(one(f4), data, 20)) == "safetensors.json");  // cuts the text
  }
  SUBCASE("text that is not the format") {
    for (const char* bad : {"{", "{]", "{\"a\":}", "{}{}", "{} x", "{\"__metadata__\":{},}", "{\"\xff\":{}}",
                            "{\"a\\u12\":1}", "{'a':1}"})
      CHECK_MESSAGE(id_of(safetensors_text(bad, "")) == "safetensors.json", bad);
    for (const char* bad : {R"({"a":1})", R"({"a":null})", R"({"a":[]})", R"({"a":"x"})", R"({"a":true})",
                            R"({"__metadata__":[]})", R"({"__metadata__":{"k":1}})", R"({"__metadata__":{"k":{}}})",
                            R"({"__metadata__":{"k":null}})", R"({"__metadata__":"x"})"})
      CHECK_MESSAGE(id_of(safetensors_text(bad, "")) == "safetensors.type", bad);
    for (const char* fields :
         {R"("dtype":4,"shape":[2],"data_offsets":[0,8])", R"("dtype":["F32"],"shape":[2],"data_offsets":[0,8])",
          R"("dtype":"F32","shape":2,"data_offsets":[0,8])", R"("dtype":"F32","shape":[[2]],"data_offsets":[0,8])",
          R"("dtype":"F32","shape":[2.0],"data_offsets":[0,8])", R"("dtype":"F32","shape":["2"],"data_offsets":[0,8])",
          R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])", R"("dtype":"F32","shape":[2],"data_offsets":[-8,0])",
          R"("dtype":"F32","shape":[2e0],"data_offsets":[0,8])", R"("dtype":"F32","shape":[2],"data_offsets":{"0":8})",
          R"("dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,8])"})
      CHECK_MESSAGE(id_of(safetensors_text(one(fields), data)) == "safetensors.type", fields);
    std::string deep = "{\"a\":";
    for (int i = 0; i < 200'000; ++i) deep += "[";
    CHECK(id_of(safetensors_text(deep, "")) == "safetensors.type");
  }
  SUBCASE("fields") {
    for (const char* fields : {R"("shape":[2],"data_offsets":[0,8])", R"("dtype":"F32","data_offsets":[0,8])",
                               R"("dtype":"F32","shape":[2])", R"("dtype":"F32","shape":[2],"data_offsets":[0])",
                               R"("dtype":"F32","shape":[2],"data_offsets":[])", "",
                               R"("dtype":"F32","shape":[2],"data_offsets":[0,8],"more":1)"})
      CHECK_MESSAGE(id_of(safetensors_text(one(fields), data)) == "safetensors.field", fields);
    CHECK(id_of(safetensors_text(one(R"("dtype":"F32","shape":[2],"data_offsets":[0,8,8])"), data)) ==
          "safetensors.rank");
    CHECK(id_of(safetensors_text(one(R"("dtype":"F33","shape":[2],"data_offsets":[0,8])"), data)) ==
          "safetensors.dtype");
    CHECK(id_of(safetensors_text(one(R"("dtype":"f32","shape":[2],"data_offsets":[0,8])"), data)) ==
          "safetensors.dtype");
    CHECK(id_of(safetensors_text(one(R"("dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8])"), data)) ==
          "safetensors.dtype");
  }
  SUBCASE("duplicates") {
    const std::string a = "\"a\":{" + f4 + "}";
    CHECK(id_of(safetensors_text("{" + a + "," + a + "}", data)) == "safetensors.duplicate");
    CHECK(id_of(safetensors_text(R"({"\u0061":{)" + f4 + "}," + a + "}", data)) ==
          "safetensors.duplicate");  // the same name spelled differently
    CHECK(id_of(safetensors_text(one(f4 + R"(,"dtype":"F32")"), data)) == "safetensors.duplicate");
    CHECK(id_of(safetensors_text(R"({"__metadata__":{},"__metadata__":{}})", "")) == "safetensors.duplicate");
    CHECK(id_of(safetensors_text(R"({"__metadata__":{"k":"1","k":"1"}})", "")) == "safetensors.duplicate");
  }
  SUBCASE("offsets") {
    const auto two = [&](const char* first, const char* second, std::size_t bytes) {
      return id_of(safetensors_text(concat(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)", first,
                                           R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)", second, "}}"),
                                    std::string(bytes, 'x')));
    };
    CHECK(two("[0,4]", "[2,6]", 6) == "safetensors.overlap");
    CHECK(two("[0,4]", "[0,4]", 4) == "safetensors.overlap");
    CHECK(two("[4,8]", "[3,7]", 8) == "safetensors.hole");
    CHECK(two("[0,4]", "[5,9]", 9) == "safetensors.hole");
    CHECK(two("[1,5]", "[5,9]", 9) == "safetensors.hole");
    CHECK(two("[0,4]", "[4,8]", 9) == "safetensors.trailing");
    CHECK(two("[0,4]", "[4,8]", 7) == "safetensors.range");
    CHECK(two("[0,4]", "[8,4]", 8) == "safetensors.offsets");
    CHECK(two("[0,4]", "[4,7]", 8) == "safetensors.size");
    CHECK(two("[0,4]", "[18446744073709551612,18446744073709551615]", 8) == "safetensors.range");
    CHECK(id_of(safetensors_text("{}", "x")) == "safetensors.trailing");
    CHECK(
        id_of(safetensors_text(
            R"({"z":{"dtype":"U8","shape":[0],"data_offsets":[1,1]},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
            "xxxx")) == "safetensors.overlap");
    CHECK(id_of(safetensors_text(R"({"z":{"dtype":"U8","shape":[0],"data_offsets":[3,3]}})", "abc")) ==
          "safetensors.hole");
    SafetensorsLimits lenient;
    lenient.allow_trailing_bytes = true;
    CHECK(parsed(safetensors_text("{}", "xxxx"), lenient).trailing_bytes() == 4);
  }
  SUBCASE("sizes that overflow") {
    for (const char* shape :
         {"[4611686018427387904,4]", "[4294967296,4294967296]", "[18446744073709551615]", "[9223372036854775807,2]",
          "[0,4294967296,4294967296]", "[1152921504606846977]", "[2,1152921504606846976]"})
      CHECK_MESSAGE(
          id_of(safetensors_text(concat(R"({"a":{"dtype":"F64","shape":)", shape, R"(,"data_offsets":[0,0]}})"), "")) ==
              "safetensors.shape",
          shape);
    CHECK(id_of(safetensors_text(R"({"a":{"dtype":"F64","shape":[1152921504606846976],"data_offsets":[0,8]}})",
                                 data)) == "safetensors.size");
    CHECK(id_of(safetensors_text(R"({"a":{"dtype":"F64","shape":[0,1152921504606846976],"data_offsets":[0,8]}})",
                                 data)) == "safetensors.size");
  }
  SUBCASE("limits") {
    SafetensorsLimits tight;
    tight.tensors = 1;
    tight.name_bytes = 3;
    tight.rank = 2;
    const std::string zero = R"({"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
    CHECK_NOTHROW(parsed(safetensors_text("{\"abc\":" + zero + "}", ""), tight));
    CHECK(id_of(safetensors_text("{\"a\":" + zero + ",\"b\":" + zero + "}", ""), tight) == "safetensors.count");
    CHECK(id_of(safetensors_text("{\"abcd\":" + zero + "}", ""), tight) == "safetensors.name");
    CHECK(id_of(safetensors_text("{\"\":" + zero + "}", ""), tight) == "safetensors.name");
    CHECK(id_of(safetensors_text(R"({"a":{"dtype":"U8","shape":[1,1,1],"data_offsets":[0,1]}})", "x"), tight) ==
          "safetensors.rank");
  }
  SUBCASE("messages never carry control characters") {
    const Error e = error_of([&] {
      parsed(safetensors_text("{\"a\\u001b[31m\":{\"dtype\":\"\\u0007\",\"shape\":[],\"data_offsets\":[0,0]}}", ""));
    });
    CHECK(std::string(e.what()).find('\x1b') == std::string::npos);
    CHECK(std::string(e.what()).find('\x07') == std::string::npos);
  }
}

TEST_CASE("safetensors: thousands of mutations never crash and never pass unnoticed") {
  const ScratchFolder folder;
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  const std::vector<std::int64_t> ids{7, 8};
  const std::vector<NamedTensor> tensors{named_tensor<float>("weight", {2, 3}, values),
                                         named_tensor<std::int64_t>("ids", {2}, ids)};
  write_safetensors(folder / "small", tensors, {{"kind", "test"}}, {}, true);
  const std::string whole = content_of(folder / "small");
  REQUIRE(SafetensorsFile(folder / "small").verify_checksum());
  const Philox rng(3, Purpose::test);
  std::uint64_t draw = 0;
  int accepted = 0, unchecked = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string mutant = whole;
    const std::uint32_t flips = 1 + rng.integer(draw++) % 3;
    for (std::uint32_t i = 0; i < flips; ++i) {
      const std::size_t at = rng.integer(draw++) % mutant.size();
      switch (rng.integer(draw++) % 4) {
        case 0:
          mutant[at] = static_cast<char>(rng.integer(draw++));
          break;
        case 1:
          mutant[at] = static_cast<char>(mutant[at] ^ (1 << (rng.integer(draw++) % 8)));
          break;
        case 2:
          mutant.erase(at, 1 + rng.integer(draw++) % 4);
          break;
        default:
          mutant.insert(at, 1, "0123456789[]{}\",:"[rng.integer(draw++) % 17]);
          break;
      }
      if (mutant.empty()) mutant = "x";
    }
    if (mutant == whole) continue;
    try {
      const SafetensorsFile file = parsed(mutant);
      std::size_t covered = 0;
      for (const NamedTensor& t : file.tensors()) {
        covered += t.bytes.size();
        (void)file.read<double>(t.name);
      }
      REQUIRE(covered <= mutant.size());
      ++accepted;
      if (!file.verify_checksum()) ++unchecked;  // the key of the checksum itself was hit
      else CHECK_MESSAGE(false, "a changed file passed its checksum");
    } catch (const Error&) {
    }
  }
  CHECK(accepted > 0);
  CHECK(unchecked < accepted + 1);
}

TEST_CASE("safetensors: what is written is read back, bit for bit") {
  const ScratchFolder folder;
  const std::vector<double> d{1.0, -0.0, std::numeric_limits<double>::quiet_NaN(), 1e300};
  const std::vector<bfloat16> h{bfloat16(1.5f), bfloat16(-3.0f)};
  const std::vector<std::uint8_t> u{1, 2, 3};
  std::vector<NamedTensor> tensors{named_tensor<std::uint8_t>("u", {3}, u), named_tensor<bfloat16>("h", {2, 1}, h),
                                   named_tensor<double>("d", {2, 2}, d),
                                   named_tensor<float>("owned", {1}, std::vector<float>{4.0f}),
                                   named_tensor<float>("none", {0, 3}, std::vector<float>{})};
  write_safetensors(folder / "a.safetensors", tensors, {{"note", "quote \" backslash \\ newline \n"}}, {}, true);
  const SafetensorsFile file(folder / "a.safetensors");
  CHECK(file.verify_checksum());
  CHECK(file.metadata().at("note") == "quote \" backslash \\ newline \n");
  REQUIRE(file.tensors().size() == 5);
  for (const NamedTensor& t : tensors) {
    const NamedTensor& back = file.info(t.name);
    CHECK(back.dtype == t.dtype);
    CHECK(back.shape == t.shape);
    REQUIRE(back.bytes.size() == t.bytes.size());
    if (!t.bytes.empty()) CHECK(std::memcmp(back.bytes.data(), t.bytes.data(), t.bytes.size()) == 0);
    CHECK(reinterpret_cast<std::uintptr_t>(back.bytes.data()) % size_of(back.dtype) ==
          0);  // aligned whatever the order was
  }
  CHECK(file.read<float>("h") == std::vector<float>{1.5f, -3.0f});
  CHECK(error_of([&] { file.read<float>("d"); }).id() == "dtype.range");  // 1e300 is not a float

  SUBCASE("the same tensors give the same bytes") {
    write_safetensors(folder / "b", tensors, {{"note", "quote \" backslash \\ newline \n"}}, {}, true);
    CHECK(content_of(folder / "a.safetensors") == content_of(folder / "b"));
  }
  SUBCASE("one flipped bit anywhere is noticed") {
    const std::string whole = content_of(folder / "a.safetensors");
    for (std::size_t at = 0; at < whole.size(); ++at) {
      std::string mutant = whole;
      mutant[at] = static_cast<char>(mutant[at] ^ 4);
      bool passed = false;
      try {
        passed = parsed(mutant).verify_checksum();
      } catch (const Error&) {
      }
      CHECK_FALSE(passed);
    }
  }
  SUBCASE("nothing is overwritten unless told") {
    const std::string before = content_of(folder / "a.safetensors");
    const Error e = error_of([&] { write_safetensors(folder / "a.safetensors", {}, {}); });
    CHECK(e.kind() == ErrorKind::file);
    CHECK(e.id() == "file.exists");
    CHECK(content_of(folder / "a.safetensors") == before);
    WriteOptions force;
    force.overwrite = true;
    write_safetensors(folder / "a.safetensors", {}, {}, force);
    CHECK(content_of(folder / "a.safetensors") == safetensors_text("{}      ", ""));
    CHECK(file.read<std::uint8_t>("u") == u);  // the old mapping still holds the old file
  }
  SUBCASE("what cannot be written") {
    std::vector<NamedTensor> bad = tensors;
    bad[1].name = "u";
    CHECK(error_of([&] { write_safetensors(folder / "x", bad); }).id() == "safetensors.name");
    bad[1].name = "__metadata__";
    CHECK(error_of([&] { write_safetensors(folder / "x", bad); }).id() == "safetensors.name");
    bad[1].name = "\xff";
    CHECK(error_of([&] { write_safetensors(folder / "x", bad); }).id() == "safetensors.name");
    bad[1].name = "h";
    bad[1].shape = {3};
    CHECK(error_of([&] { write_safetensors(folder / "x", bad); }).id() == "safetensors.size");
    bad[1].shape = {-2, -1};
    CHECK(error_of([&] { write_safetensors(folder / "x", bad); }).id() == "safetensors.shape");
    CHECK(error_of([&] { write_safetensors(folder / "no" / "x", tensors); }).kind() == ErrorKind::file);
    CHECK(folder.files() == 1);
  }
  SUBCASE("a writer that stops early leaves nothing; one that writes too much says so") {
    {
      SafetensorsWriter writer(folder / "w", tensors);
      writer.append(tensors[0].bytes);
      CHECK(error_of([&] { writer.finish(); }).id() == "safetensors.size");
      CHECK(error_of([&] { writer.append(std::vector<std::byte>(1000)); }).id() == "safetensors.size");
    }
    CHECK(folder.files() == 1);
  }
}
