// PNG files, decoded chunk by chunk, and what is drawn.
#include <doctest/doctest.h>
#include <zlib.h>

#include <cstring>

#include "braing3n/report/planes.hpp"
#include "braing3n/report/png.hpp"
#include "tests/support/nifti_bytes.hpp"

using namespace braing3n;

namespace {

std::uint32_t big_endian(const std::string& s, std::size_t at) {
  std::uint32_t v = 0;
  for (std::size_t i = 0; i < 4; ++i) v = v << 8 | static_cast<unsigned char>(s[at + i]);
  return v;
}

/// A decoder for what the encoder may write, from the PNG specification: checks every chunk's CRC, undoes filter 2.
std::vector<std::uint8_t> decode(const std::string& png, Index& width, Index& height, int& channels) {
  REQUIRE(png.substr(0, 8) == std::string("\x89PNG\r\n\x1a\n", 8));
  std::string data;
  for (std::size_t at = 8; at < png.size();) {
    const std::uint32_t size = big_endian(png, at);
    const std::string body = png.substr(at + 4, size + 4);
    REQUIRE(big_endian(png, at + 8 + size) ==
            ::crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size())));
    if (body.substr(0, 4) == "IHDR") {
      width = big_endian(body, 4), height = big_endian(body, 8);
      REQUIRE(body[12] == 8);
      channels = body[13] == 2 ? 3 : 1;
    }
    if (body.substr(0, 4) == "IDAT") data += body.substr(4);
    at += 12 + size;
  }
  const std::size_t row = static_cast<std::size_t>(width * channels);
  std::vector<std::uint8_t> raw((row + 1) * static_cast<std::size_t>(height)), pixels;
  uLongf n = static_cast<uLongf>(raw.size());
  REQUIRE(::uncompress(raw.data(), &n, reinterpret_cast<const Bytef*>(data.data()), static_cast<uLong>(data.size())) ==
          Z_OK);
  REQUIRE(n == raw.size());
  for (std::size_t y = 0; y < static_cast<std::size_t>(height); ++y) {
    REQUIRE(raw[y * (row + 1)] == 2);
    for (std::size_t i = 0; i < row; ++i)
      pixels.push_back(static_cast<std::uint8_t>(raw[y * (row + 1) + 1 + i] + (y > 0 ? pixels[(y - 1) * row + i] : 0)));
  }
  return pixels;
}

}  // namespace

TEST_CASE("pixels come back, in colour and in grey") {
  for (const bool colour : {true, false}) {
    Image image(37, 23);
    for (Index y = 0; y < 23; ++y)
      for (Index x = 0; x < 37; ++x) {
        const std::uint8_t v = static_cast<std::uint8_t>(x * y * 7 + x);
        image.set(x, y, {v, colour ? static_cast<std::uint8_t>(v + 90) : v, v});
      }
    Index w = 0, h = 0;
    int channels = 0;
    const auto pixels = decode(encode_png(image), w, h, channels);
    CHECK(w == 37);
    CHECK(h == 23);
    REQUIRE(channels == (colour ? 3 : 1));
    bool same = true;
    for (std::size_t i = 0; i < pixels.size(); ++i) same = same && pixels[i] == image.pixels[colour ? i : 3 * i];
    CHECK(same);
  }
  const test::ScratchFolder folder;
  write_png(folder / "a.png", Image(2, 2));
  CHECK_THROWS_AS(write_png(folder / "a.png", Image(2, 2)), Error);
  write_png(folder / "a.png", Image(2, 2), {.overwrite = true});
  CHECK_THROWS_AS(Image(0, 3), Error);
  CHECK_THROWS_AS(montage({}, 2), Error);
}

TEST_CASE("planes show the patient's right on the left, the front and the top up, in every orientation") {
  Context<Cpu> ctx({.threads = 2});
  // A bright voxel to the right, in front and on top of the centre.
  Affine ras = scaling({2, 2, 2});
  Volume scan(Grid{{20, 22, 24}, ras});
  std::fill(scan.data(), scan.data() + scan.size(), 0.0f);
  scan.values(15, 17, 19) = 100;
  const Vec3 centre = ras * Vec3{15, 17, 19};
  PlaneOptions options;
  options.low = 0, options.high = 100, options.centre = &centre, options.labels = false;
  const Image first = draw_planes(ctx, scan, options);
  CHECK(first.width == 40 + 2 + 40 + 2 + 44);
  CHECK(first.height == 48);
  // Axial picture 40 x 44, 2 pixels below the top of the row: x = 15 lies 4 voxels from the right side, so near the left
  // edge; y = 17 lies 4 voxels from the front, so near the top.
  CHECK(*first.at(9, 2 + 9) == 143);
  CHECK(*first.at(30, 2 + 9) == 0);
  CHECK(*first.at(9, 2 + 34) == 0);
  // Coronal picture 40 x 48: right side left, top up. Sagittal 44 x 48: front left.
  CHECK(*first.at(42 + 9, 9) == 143);  // a quarter voxel beside the centre in both directions: 255 * 0.75 * 0.75
  CHECK(*first.at(84 + 9, 9) == 143);
  for (const Orientation& o : all_orientations()) {
    const Image other = draw_planes(ctx, reorient(ctx, scan, o), options);
    CHECK(other.pixels == first.pixels);
  }
  PlaneOptions difference;
  difference.diverging = true, difference.low = -100, difference.high = 100, difference.centre = &centre,
  difference.labels = false;
  scan.values(15, 17, 19) = -100;
  const Image blue = draw_planes(ctx, scan, difference);
  CHECK(blue.at(9, 11)[2] == 143);
  CHECK(blue.at(9, 11)[0] == 0);
}

TEST_CASE("the letters have one size on all planes") {
  Context<Cpu> ctx({.threads = 2});
  for (const Index slices : {31, 20}) {  // 155 or 100 mm high, 200 mm in the other directions
    Volume scan(Grid{{40, 40, slices}, scaling({5, 5, 5})});
    std::fill(scan.data(), scan.data() + scan.size(), 50.0f);
    const Image row = draw_planes(ctx, scan);
    const auto letter = [&](Index x0, Index x1) {
      Index pixels = 0;
      for (Index y = 0; y < row.height; ++y)
        for (Index x = x0; x < x1; ++x) pixels += row.at(x, y)[0] == 255 && row.at(x, y)[2] == 0;
      return pixels;
    };
    const Index axial = letter(0, 100), coronal = letter(202, 302);  // the R of both
    CHECK(axial > 0);
    CHECK(axial == coronal);
  }
}

TEST_CASE("montage and captions") {
  const std::vector<Image> tiles(3, Image(50, 30, {10, 20, 30}));
  const Image m = montage(tiles, 2, {"age 25", "age 55", "AD"});
  CHECK(m.width == 4 + 2 * 54);
  Index white = 0;
  for (std::size_t i = 0; i < m.pixels.size(); i += 3) white += m.pixels[i] == 255 && m.pixels[i + 1] == 255;
  CHECK(white > 100);
  CHECK_THROWS_AS(montage(tiles, 2, {"one"}), Error);
}
