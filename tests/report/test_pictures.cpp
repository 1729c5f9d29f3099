// Pictures put together: letters, montages, rows of planes, samples and reconstructions.
#include <doctest/doctest.h>

#include <set>

#include "braing3n/report/reconstruction_picture.hpp"
#include "braing3n/report/sample_pictures.hpp"
#include "tests/support/check.hpp"

using namespace braing3n;

namespace {

/// A text as rows of dots.
std::string drawn(const std::string& text, Index size = 1) {
  Image image(std::max<Index>(text_width(text, size), 1), text_height(size));
  draw_text(image, 0, 0, text, {255, 255, 255}, size);
  std::string rows;
  for (Index y = 0; y < image.height; ++y, rows += '\n')
    for (Index x = 0; x < image.width; ++x) rows += *image.at(x, y) == 255 ? '#' : '.';
  return rows;
}

Index bright(const Image& image, Index x0, Index y0, Index x1, Index y1) {
  Index n = 0;
  for (Index y = y0; y < y1; ++y)
    for (Index x = x0; x < x1; ++x) n += *image.at(x, y) == 255;
  return n;
}

Colour colour(const Image& image, Index x, Index y) {
  const std::uint8_t* p = image.at(x, y);
  return {p[0], p[1], p[2]};
}

/// A grid of 8 x 10 x 12 voxels of 1 mm.
PreprocessingContract contract() {
  PreprocessingContract c;
  c.shape = {8, 10, 12};
  c.spacing = {1, 1, 1};
  return c;
}

/// All voxels `background`, those of the middle planes and their neighbours `value`.
Tensor<float, Cpu> volume_of(Context<Cpu>& ctx, float value, float background = 0) {
  Tensor<float, Cpu> t(ctx, {8, 10, 12});
  for (Index i = 0; i < t.size(); ++i)
    t.data()[i] = i / 120 >= 2 && i / 120 < 6 && i / 12 % 10 >= 2 && i / 12 % 10 < 8 ? value : background;
  return t;
}

/// The brightest value of each channel inside a part of a picture.
Colour largest(const Image& image, Index x0, Index y0, Index w, Index h) {
  Colour c{};
  for (Index y = y0; y < y0 + h; ++y)
    for (Index x = x0; x < x0 + w; ++x)
      for (std::size_t k = 0; k < 3; ++k) c[k] = std::max(c[k], image.at(x, y)[k]);
  return c;
}

}  // namespace

TEST_CASE("font: every character has a glyph of its own, and captions read as they are written") {
  std::set<std::string> glyphs;
  for (char c = 32; c < 127; ++c) glyphs.insert(drawn(std::string(1, c)));
  CHECK(glyphs.size() == 95);
  const std::string word = "RECONSTRUCTION", line = drawn(word);
  const std::size_t row = 6 * word.size();  // five dots and a gap; the last gap is the end of the line
  for (std::size_t k = 0; k < word.size(); ++k)
    for (std::size_t y = 0; y < 9; ++y)
      CHECK(line.substr(y * row + 6 * k, 5) == drawn(word.substr(k, 1)).substr(6 * y, 5));
  CHECK(drawn("N") == "#...#\n##..#\n##..#\n#.#.#\n#..##\n#..##\n#...#\n.....\n.....\n");
  CHECK(drawn("g").substr(0, 12) == ".....\n.....\n");
  CHECK(drawn("g").substr(48) == ".###.\n");  // below the base line
  // Twice the size: every dot is two by two.
  const std::string one = drawn("AD"), two = drawn("AD", 2);
  for (std::size_t y = 0; y < 18; ++y)
    for (std::size_t x = 0; x < 22; ++x) CHECK(two[y * 23 + x] == one[y / 2 * 12 + x / 2]);
}

TEST_CASE("font: accents are dropped, other letters are boxes, long texts end in dots") {
  CHECK(plain_letters("M\xc3\xbcller") == "Muller");
  CHECK(plain_letters(std::string("\xc2\xb1") + "2") == "+-2");
  CHECK(plain_letters(std::string("a\xe2\x82\xac") + "b") == std::string("a\x7f") + "b");
  CHECK(plain_letters("a\tb") == "a b");
  CHECK(text_width("abc") == 17);
  CHECK(text_width("abc", 2) == 34);
  CHECK(text_width("") == 0);
  CHECK(fitting_text("reconstruction", 83) == "reconstruction");
  CHECK(fitting_text("reconstruction", 82) == "reconstruct..");
  CHECK(fitting_text("reconstruction", 47) == "recons..");
  CHECK(fitting_text("abc", 11) == "ab");
  CHECK(fitting_text("abc", 3).empty());
}

TEST_CASE("montage: tiles in rows, each below its caption") {
  std::vector<Image> tiles;
  for (std::uint8_t i = 1; i <= 5; ++i) tiles.emplace_back(170, 30, Colour{static_cast<std::uint8_t>(10 * i), 0, 0});
  const Colour gap{24, 24, 24};

  const Image plain = montage(tiles, 3);
  CHECK(plain.width == 3 * 174 + 4);
  CHECK(plain.height == 2 * 34 + 4);
  CHECK(colour(plain, 3, 3) == gap);
  CHECK(colour(plain, 4, 4) == Colour{10, 0, 0});
  CHECK(colour(plain, 173, 33) == Colour{10, 0, 0});
  CHECK(colour(plain, 174, 33) == gap);
  CHECK(colour(plain, 178, 4) == Colour{20, 0, 0});
  CHECK(colour(plain, 4, 34) == gap);
  CHECK(colour(plain, 4, 38) == Colour{40, 0, 0});
  CHECK(colour(plain, 178, 38) == Colour{50, 0, 0});
  CHECK(colour(plain, 352, 38) == gap);
  CHECK(montage(tiles, 9).width == 5 * 174 + 4);  // no more columns than pictures

  // Captions of double size where all of them fit.
  const Image large = montage(tiles, 3, {"a", "b", "c", "d", "e"});
  CHECK(large.height == 2 * (30 + 22 + 4) + 4);
  CHECK(colour(large, 4, 26) == Colour{10, 0, 0});
  CHECK(colour(large, 4, 25) == gap);
  CHECK(bright(large, 4, 4, 174, 26) ==
        4 * bright(montage(tiles, 3, {"a", "b", "c", "d", std::string(20, 'e')}), 4, 4, 174, 15));
  const Image small = montage(tiles, 3, {"a", "b", "c", "d", std::string(20, 'e')});
  CHECK(small.height == 2 * (30 + 13 + 4) + 4);
  CHECK(bright(small, 178, 51, 348, 64) == bright(small, 178, 51, 178 + text_width(std::string(20, 'e')), 60));
  // A caption that does not fit is cut and never reaches the next picture's.
  const Image cut = montage(tiles, 3, {std::string(80, 'H'), "", "", "", ""});
  CHECK(bright(cut, 174, 4, cut.width, 17) == 0);
  CHECK(bright(cut, 4, 4, 174, 17) > 100);
}

TEST_CASE("samples: one grey scale for all, variants in columns with their differences below") {
  Context<Cpu> ctx({.threads = 1});
  const std::vector<Tensor<float, Cpu>> volumes{volume_of(ctx, 2), volume_of(ctx, 1), volume_of(ctx, 4),
                                                volume_of(ctx, 2), volume_of(ctx, 2), volume_of(ctx, 1)};
  const std::vector<std::string> captions{"a1", "a2", "a3", "b1", "b2", "b3"};
  const std::vector<Image> rows = preview_rows(ctx, contract(), volumes[0], volumes);
  const Index w = rows[0].width, h = rows[0].height;
  CHECK(w == 8 + 2 + 8 + 2 + 10);
  CHECK(h == 12);
  // Sagittal pictures have no letter in their upper half.
  CHECK(largest(rows[0], 20, 0, 10, 4) == Colour{255, 255, 255});
  CHECK(largest(rows[1], 20, 0, 10, 4) == Colour{128, 128, 128});  // half as bright as the first
  CHECK(largest(rows[2], 20, 0, 10, 4) == Colour{255, 255, 255});

  const Image two = sample_montage(ctx, contract(), volumes, captions, 1);
  CHECK(two.width == 2 * (w + 4) + 4);
  CHECK(two.height == 3 * (h + 13 + 4) + 4);

  const Image m = sample_montage(ctx, contract(), volumes, captions, 3);
  CHECK(m.width == 3 * (w + 4) + 4);
  CHECK(m.height == 4 * (h + 13 + 4) + 4);
  const auto part = [&](Index column, Index row) {
    return largest(m, 4 + column * (w + 4) + 20, 4 + row * (h + 17) + 13, 10, 4);
  };
  CHECK(part(1, 0) == Colour{128, 128, 128});
  // Differences to the first variant of the same noise: none, half of the largest below it (blue), the largest above it (red).
  CHECK(part(0, 1) == Colour{0, 0, 0});
  CHECK(part(1, 1)[0] == 0);
  CHECK(part(1, 1)[2] == 127);
  CHECK(part(2, 1)[0] == 255);
  CHECK(part(2, 1)[2] == 0);
  CHECK(part(1, 3) == Colour{0, 0, 0});
  CHECK(part(2, 3)[2] == 127);

  const auto refused = [&](std::vector<std::string> texts, std::size_t variants) {
    test::check_error("montage.samples", {"expected captions"},
                      [&] { sample_montage(ctx, contract(), volumes, texts, variants); });
  };
  refused({"a"}, 1);
  refused(captions, 4);
  test::check_error("preview.shape", {"does not fit the contract's 8 x 10 x 12"},
                    [&] { preview_rows(ctx, contract(), volumes[0], {Tensor<float, Cpu>(ctx, {8, 10, 11})}); });
}

TEST_CASE("reconstructions: input, reconstruction and a signed difference below each other") {
  Context<Cpu> ctx({.threads = 1});
  Volume scan(contract_grid(contract()));
  const Tensor<float, Cpu> values = volume_of(ctx, 8);
  std::copy_n(values.data(), values.size(), scan.data());
  PreprocessingContract c = contract();
  c.normalise = Normalisation::none;
  const Preprocessed p = preprocess(ctx, scan, c);
  const Image m = reconstruction_picture(ctx, p, volume_of(ctx, 6));
  const Index w = 30, h = 12;
  REQUIRE(m.width == w + 8);
  REQUIRE(m.height == 3 * (h + 17) + 4);
  const auto part = [&](Index row) { return largest(m, 4 + 20, 4 + row * (h + 17) + 13, 10, 4); };
  CHECK(part(0) == Colour{255, 255, 255});
  CHECK(part(1) == Colour{191, 191, 191});  // 6 of 8, in the grey scale of the input
  CHECK(part(2)[0] == 0);                   // darker than the input: blue, full at a quarter of the range
  CHECK(part(2)[2] == 255);
}
