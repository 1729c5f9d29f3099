#include "braing3n/format/npy_writer.hpp"
#include "braing3n/format/npz.hpp"

#include <doctest/doctest.h>

#include "braing3n/base/philox.hpp"
#include "tests/format/damage.hpp"

using namespace braing3n;
using namespace braing3n::test;

namespace {

std::string npy(const std::string& header, const std::string& data, int version = 1) {
  std::string s("\x93NUMPY", 6);
  s += static_cast<char>(version);
  s += '\0';
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i) s += static_cast<char>(header.size() >> (8 * i) & 255);
  return s + header + data;
}
std::string header(const std::string& descr, const std::string& shape, bool fortran = false) {
  return "{'descr': '" + descr + "', 'fortran_order': " + (fortran ? "True" : "False") + ", 'shape': " + shape +
         ", }   \n";
}
NpyArray array(const std::string& text) { return NpyArray(bytes_of(text), "a.npy", nullptr); }
std::string id_of(const std::string& text) {
  return error_of([&] { array(text).read<double>(); }).id();
}

template <class T>
std::string raw(std::initializer_list<T> values) {
  return {reinterpret_cast<const char*>(values.begin()), values.size() * sizeof(T)};
}

template <class T>
void put(std::string& s, T value) {
  s.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

std::string deflated(const std::string& data) {
  z_stream z{};
  REQUIRE(deflateInit2(&z, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&z, data.size()), '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  z.avail_in = static_cast<uInt>(data.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&z, Z_FINISH) == Z_STREAM_END);
  out.resize(out.size() - z.avail_out);
  deflateEnd(&z);
  return out;
}

struct Zip {
  std::string body, directory;
  std::uint16_t count = 0;
  void add(const std::string& name, const std::string& content, bool deflate, std::uint64_t claimed = ~std::uint64_t{0},
           bool zip64 = false, std::uint16_t flags = 0, std::uint16_t method_override = 0xffff) {
    const std::string packed = deflate ? deflated(content) : content;
    const auto method = static_cast<std::uint16_t>(method_override != 0xffff ? method_override : deflate ? 8 : 0);
    const std::uint32_t crc = crc32_of(bytes_of(content));
    const std::uint64_t size = claimed == ~std::uint64_t{0} ? content.size() : claimed;
    const auto local = static_cast<std::uint32_t>(body.size());
    put(body, std::uint32_t{0x04034b50});
    for (const std::uint16_t v : {std::uint16_t{20}, flags, method, std::uint16_t{0}, std::uint16_t{0}}) put(body, v);
    put(body, crc);
    put(body, static_cast<std::uint32_t>(packed.size()));
    put(body, static_cast<std::uint32_t>(size));
    put(body, static_cast<std::uint16_t>(name.size()));
    put(body, std::uint16_t{3});
    body += name + "ext" + packed;
    std::string extra;
    if (zip64) {
      put(extra, std::uint16_t{0x7777});
      put(extra, std::uint16_t{2});
      extra += "zz";
      put(extra, std::uint16_t{1});
      put(extra, std::uint16_t{24});
      put(extra, size);
      put(extra, static_cast<std::uint64_t>(packed.size()));
      put(extra, static_cast<std::uint64_t>(local));
    }
    put(directory, std::uint32_t{0x02014b50});
    for (const std::uint16_t v :
         {std::uint16_t{20}, std::uint16_t{20}, flags, method, std::uint16_t{0}, std::uint16_t{0}})
      put(directory, v);
    put(directory, crc);
    put(directory, zip64 ? 0xffffffffu : static_cast<std::uint32_t>(packed.size()));
    put(directory, zip64 ? 0xffffffffu : static_cast<std::uint32_t>(size));
    put(directory, static_cast<std::uint16_t>(name.size()));
    put(directory, static_cast<std::uint16_t>(extra.size()));
    for (int i = 0; i < 3; ++i) put(directory, std::uint16_t{0});
    put(directory, std::uint32_t{0});
    put(directory, zip64 ? 0xffffffffu : local);
    directory += name + extra;
    ++count;
  }
  std::string file(const std::string& comment = "") const {
    std::string s = body + directory;
    put(s, std::uint32_t{0x06054b50});
    for (const std::uint16_t v : {std::uint16_t{0}, std::uint16_t{0}, count, count}) put(s, v);
    put(s, static_cast<std::uint32_t>(directory.size()));
    put(s, static_cast<std::uint32_t>(body.size()));
    put(s, static_cast<std::uint16_t>(comment.size()));
    return s + comment;
  }
};

}  // namespace

TEST_CASE("npy: types, byte orders, versions") {
  CHECK(array(npy(header("<f4", "(2,)"), raw<float>({1.5f, -2.0f}))).read<double>() == std::vector<double>{1.5, -2.0});
  CHECK(array(npy(header("<f8", "(1, 2)"), raw<double>({1.5, -2.0}), 2)).shape() == std::vector<Index>{1, 2});
  CHECK(array(npy(header("<f2", "()"), raw<std::uint16_t>({0x3c00}), 3)).read<float>() == std::vector<float>{1.0f});
  CHECK(array(npy(header("<i8", "(0, 3)"), "")).read<float>().empty());
  CHECK(array(npy(header("|u1", "(3L,)"), "\x01\x02\xff")).read<std::int64_t>() ==
        std::vector<std::int64_t>{1, 2, 255});
  CHECK(array(npy(header("|b1", "(2,)"), std::string("\0\1", 2))).read<std::uint8_t>() ==
        std::vector<std::uint8_t>{0, 1});
  CHECK(array(npy(header(">f4", "(2,)"), std::string("\x3f\xc0\x00\x00\xc0\x00\x00\x00", 8))).read<float>() ==
        std::vector<float>{1.5f, -2.0f});
  CHECK(array(npy(header(">i2", "(1,)"), std::string("\x01\x02", 2))).read<std::int32_t>() ==
        std::vector<std::int32_t>{0x0102});
  CHECK(array(npy("{\"shape\":(1),'fortran_order':False,'descr':'<i4'}", raw<std::int32_t>({5}))).read<Index>() ==
        std::vector<Index>{5});
}

TEST_CASE("npy: column-major arrays are transposed") {
  // a[i][j][k] = 100 i + 10 j + k with shape (2, 3, 2), first index fastest in the file
  std::string data;
  for (int k = 0; k < 2; ++k)
    for (int j = 0; j < 3; ++j)
      for (int i = 0; i < 2; ++i) put(data, static_cast<std::int32_t>(100 * i + 10 * j + k));
  const std::vector<float> rows = array(npy(header("<i4", "(2, 3, 2)", true), data)).read<float>();
  std::size_t at = 0;
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 3; ++j)
      for (int k = 0; k < 2; ++k) CHECK(rows[at++] == static_cast<float>(100 * i + 10 * j + k));
}

TEST_CASE("npy: damage") {
  const std::string good = npy(header("<f4", "(2,)"), raw<float>({1, 2}));
  for (std::size_t n = 0; n < good.size(); ++n) CHECK_THROWS_AS(array(good.substr(0, n)), Error);
  CHECK(id_of(good + "x") == "npy.size");
  CHECK(id_of("PK\x03\x04 not this one") == "npy.magic");
  CHECK(id_of(npy(header("<f4", "(2,)"), "12345678", 4)) == "npy.version");
  for (const char* descr : {"|O", "<U", "<U5x", "<U99999999999", "<c8", "<f16", "<f3", "f4", "", "<M8[ns]", "<f4 "})
    CHECK_MESSAGE(id_of(npy(header(descr, "(0,)"), "")) == "npy.dtype", descr);
  CHECK(id_of(npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", "")) == "npy.dtype");
  for (const char* shape : {"(-1,)", "2", "(2", "(2,,)", "(2 3)", "(99999999999999999999,)", "('2',)", "(2.0,)"})
    CHECK_MESSAGE(id_of(npy(header("<f4", shape), "12345678")) == "npy.header", shape);
  for (const char* text :
       {"", "{", "{}", "{'descr': '<f4', 'shape': (2,)}", "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': 1}"})
    CHECK_MESSAGE(id_of(npy(text, "12345678")) == "npy.header", text);
  CHECK(id_of(npy(header("<f8", "(4294967296, 4294967296)"), "")) == "npy.shape");
  CHECK(id_of(npy(header("<f8", "(0, 4294967296, 4294967296)"), "")) == "npy.shape");
  CHECK(id_of(npy(header("<f8", "(1152921504606846976,)"), "")) == "npy.size");
}

TEST_CASE("npy: written and read back") {
  const ScratchFolder folder;
  const std::vector<float> v{1, 2, 3, 4, 5, 6};
  write_npy<float>(folder / "a.npy", {3, 2}, v);
  const NpyArray a = read_npy(folder / "a.npy");
  CHECK(a.shape() == std::vector<Index>{3, 2});
  CHECK(a.dtype() == DType::f32);
  CHECK(a.read<float>() == v);
  CHECK((content_of(folder / "a.npy").size() - 24) % 64 == 0);
  const std::vector<std::uint8_t> u{7};
  write_npy<std::uint8_t>(folder / "u.npy", {}, u);
  CHECK(read_npy(folder / "u.npy").shape().empty());
  CHECK(read_npy(folder / "u.npy").read<int>() == std::vector<int>{7});
  CHECK(error_of([&] { write_npy<float>(folder / "x.npy", {4}, v); }).id() == "npy.size");
  CHECK(error_of([&] { write_npy<float>(folder / "a.npy", {6}, v); }).id() == "file.exists");
}

TEST_CASE("npz: stored, deflated, zip64") {
  const std::string a = npy(header("<f4", "(2,)"), raw<float>({1, 2})),
                    b = npy(header("<i8", "(5000,)"), std::string(40000, '\0'));
  Zip zip;
  zip.add("a.npy", a, false);
  zip.add("b.npy", b, true);
  zip.add("c.npy", a, true, ~std::uint64_t{0}, true);
  const std::string text = zip.file("a comment");
  const NpzFile file(bytes_of(text), "z.npz");
  CHECK(file.names() == std::vector<std::string>{"a", "b", "c"});
  CHECK(file.array("a").read<float>() == std::vector<float>{1, 2});
  CHECK(file.array("b").read<double>() == std::vector<double>(5000, 0.0));
  CHECK(file.array("c").read<float>() == std::vector<float>{1, 2});
  CHECK(error_of([&] { file.array("d"); }).id() == "npz.missing");
}

TEST_CASE("npz: damage") {
  const std::string a = npy(header("<f4", "(2,)"), raw<float>({1, 2}));
  const auto id = [](const std::string& text, const NpzLimits& limits = {}) {
    return error_of([&] {
             const NpzFile file(bytes_of(text), "z.npz", limits);
             for (const std::string& name : file.names()) (void)file.array(name).read<double>();
           })
        .id();
  };
  const auto made = [&](auto... more) {
    Zip zip;
    zip.add("a.npy", a, more...);
    return zip.file();
  };
  REQUIRE_NOTHROW(NpzFile(bytes_of(made(true)), "z"));
  CHECK(id("") == "npz.magic");
  CHECK(id(std::string(100, 'x')) == "npz.magic");
  CHECK(id(made(false, a.size() + 1)) == "npz.size");
  CHECK(id(made(true, std::uint64_t{1} << 31)) == "npz.size");        // beyond what deflate can do
  CHECK(id(made(true, std::uint64_t{1} << 60, true)) == "npz.size");  // beyond the limit
  CHECK(id(made(true, a.size() + 1)) == "npz.inflate");
  CHECK(id(made(true, a.size() - 1)) == "npz.inflate");
  CHECK(id(made(true, a.size(), false, std::uint16_t{1})) == "npz.encrypted");
  CHECK(id(made(true, a.size(), false, std::uint16_t{0}, std::uint16_t{12})) == "npz.method");
  NpzLimits tight;
  tight.entry_bytes = 50;
  CHECK(id(made(true), tight) == "npz.size");
  tight.entries = 0;
  CHECK(id(made(true), tight) == "npz.count");
  Zip twice;
  twice.add("a.npy", a, true);
  twice.add("a.npy", a, true);
  CHECK(id(twice.file()) == "npz.duplicate");
  std::string flipped = made(false);
  flipped[30 + 8 + a.size() - 1] ^= 1;
  CHECK(id(flipped) == "npz.checksum");
  const std::string whole = made(true);
  for (std::size_t n = 0; n < whole.size(); ++n) CHECK_THROWS_AS(NpzFile(bytes_of(whole.substr(0, n)), "z"), Error);
}

TEST_CASE("npy: texts of either byte order, every length in UTF-8, code points that do not exist") {
  const auto file_of = [](std::initializer_list<std::uint32_t> points, bool big) {
    std::string data;
    for (const std::uint32_t c : points)
      for (int b = 0; b < 4; ++b) data += static_cast<char>(c >> 8 * (big ? 3 - b : b) & 0xff);
    return npy(header(concat(big ? '>' : '<', "U", points.size()), "(1,)"), data);
  };
  const auto text = [&](std::initializer_list<std::uint32_t> points, bool big) {
    const std::string file = file_of(points, big);  // an array is a view of it
    return array(file).texts();
  };
  for (const bool big : {false, true}) {
    CHECK(text({'a', 0xe9, 0x20ac, 0x1f600, 0}, big) ==
          std::vector<std::string>{"a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"});
    CHECK(text({0x7f, 0x80, 0x7ff, 0x800, 0xffff, 0x10000}, big) ==
          std::vector<std::string>{"\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80"});
    for (const std::uint32_t good : {0xd7ffu, 0xe000u, 0x10ffffu}) CHECK(text({good}, big)[0].size() >= 3);
    for (const std::uint32_t none : {0xd800u, 0xdbffu, 0xdfffu, 0x110000u, 0xffffffffu})
      CHECK(error_of([&] { (void)text({none}, big); }).id() == "npy.text");
  }
  const std::string letter = file_of({'a'}, false);
  CHECK(error_of([&] { (void)array(letter).read<double>(); }).id() == "npy.dtype");
}

TEST_CASE("npz: names of members are theirs, less one .npy") {
  const std::string a = npy(header("<f4", "(1,)"), raw<float>({1}));
  Zip zip;
  for (const char* name : {"ages.npy", "scores", "abc.npz", "twice.npy.npy", ".npy", "folder/x.npy", "NPY"})
    zip.add(name, a, false);
  const std::string text = zip.file();
  const NpzFile file(bytes_of(text), "z.npz");
  CHECK(file.names() == std::vector<std::string>{"", "NPY", "abc.npz", "ages", "folder/x", "scores", "twice.npy"});
  CHECK(file.array("scores").read<float>() == std::vector<float>{1});
  CHECK(error_of([&] { (void)file.array("score"); }).id() == "npz.missing");
}

TEST_CASE("npz: a directory of another size than it states, a comment that looks like the end of a zip") {
  const std::string a = npy(header("<f4", "(1,)"), raw<float>({1}));
  Zip zip;
  zip.add("a.npy", a, false);
  const std::string whole = zip.file();
  const auto changed = [&](int more) {  // bytes between the directory and the end record
    std::string text = whole.substr(0, whole.size() - 22) + std::string(static_cast<std::size_t>(more), 'z') +
                       whole.substr(whole.size() - 22);
    text[text.size() - 10] = static_cast<char>(text[text.size() - 10] + more);  // of the size of the directory
    return error_of([&] { NpzFile(bytes_of(text), "z"); }).id();
  };
  CHECK(changed(2) == "npz.directory");
  std::string shorter = whole;
  shorter[shorter.size() - 10] = static_cast<char>(shorter[shorter.size() - 10] - 1);
  CHECK(error_of([&] { NpzFile(bytes_of(shorter), "z"); }).id() == "npz.directory");
  const std::string end = whole.substr(whole.size() - 22);
  for (const std::string& comment : {end, "x" + end + "y", end.substr(0, 4) + std::string(40, 'z'), end + end}) {
    const std::string text = zip.file(comment);
    const NpzFile file(bytes_of(text), "z");
    CHECK(file.array("a").read<float>() == std::vector<float>{1});
  }
}

TEST_CASE("npz: mutations never crash the reader") {
  const std::string a = npy(header("<f4", "(64,)"), std::string(256, 'q'));
  Zip zip;
  zip.add("a.npy", a, true);
  zip.add("b.npy", a, false, ~std::uint64_t{0}, true);
  const std::string whole = zip.file();
  const Philox rng(5, Purpose::test);
  std::uint64_t draw = 0;
  int read = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string mutant = whole;
    const std::uint32_t flips = 1 + rng.integer(draw++) % 3;
    for (std::uint32_t i = 0; i < flips; ++i) {
      const std::size_t at = rng.integer(draw++) % mutant.size();
      mutant[at] = static_cast<char>(rng.integer(draw++));
    }
    try {
      const NpzFile file(bytes_of(mutant), "z");
      for (const std::string& name : file.names()) {
        (void)file.array(name).read<double>();
        ++read;
      }
    } catch (const Error&) {
    }
  }
  CHECK(read > 0);
}
