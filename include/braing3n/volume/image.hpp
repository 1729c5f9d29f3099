// 8-bit pictures, for people to look at: pixels, text, putting several together.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "braing3n/base/error.hpp"

namespace braing3n::inline BRAING3N_ABI {

using Colour = std::array<std::uint8_t, 3>;

/// RGB, rows from top to bottom.
struct Image {
  Index width = 0, height = 0;
  std::vector<std::uint8_t> pixels;  // (height, width, 3)

  Image() = default;
  Image(Index w, Index h, Colour fill = {0, 0, 0}) : width(w), height(h) {
    if (w < 1 || h < 1 || w > 65535 || h > 65535) fail(ErrorKind::argument, "image.size", "image: ", w, " x ", h, " pixels, expected 1 to 65535 each");
    pixels.resize(static_cast<std::size_t>(3 * w * h));
    for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = fill[i % 3];
  }

  std::uint8_t* at(Index x, Index y) { return pixels.data() + 3 * (y * width + x); }
  const std::uint8_t* at(Index x, Index y) const { return pixels.data() + 3 * (y * width + x); }
  void set(Index x, Index y, Colour c) {
    if (x >= 0 && y >= 0 && x < width && y < height) std::copy(c.begin(), c.end(), at(x, y));
  }
  /// Copies `other` to (x, y); what does not fit is cut off.
  void place(const Image& other, Index x, Index y) {
    for (Index j = 0; j < other.height; ++j)
      for (Index i = 0; i < other.width; ++i) {
        const std::uint8_t* p = other.at(i, j);
        set(x + i, y + j, {p[0], p[1], p[2]});
      }
  }
};

namespace detail {

/// A glyph of 3 x 5 dots, rows from the top, "#" set. Unknown characters are a box.
inline std::string_view glyph(char c) {
  if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  switch (c) {
    case 'A': return ".#.#.#####.##.#";
    case 'B': return "##.#.###.#.###.";
    case 'C': return ".###..#..#...##";
    case 'D': return "##.#.##.##.###.";
    case 'E': return "####..##.#..###";
    case 'F': return "####..##.#..#..";
    case 'G': return ".###..#.##.#.##";
    case 'H': return "#.##.#####.##.#";
    case 'I': return "###.#..#..#.###";
    case 'J': return "..#..#..##.#.#.";
    case 'K': return "#.##.###.#.##.#";
    case 'L': return "#..#..#..#..###";
    case 'M': return "#.#####.##.##.#";
    case 'N': return "##.#.##.##.##.#";
    case 'O': return ".#.#.##.##.#.#.";
    case 'P': return "##.#.###.#..#..";
    case 'Q': return ".#.#.##.####.##";
    case 'R': return "##.#.###.#.##.#";
    case 'S': return ".###...#...###.";
    case 'T': return "###.#..#..#..#.";
    case 'U': return "#.##.##.##.####";
    case 'V': return "#.##.##.##.#.#.";
    case 'W': return "#.##.##.#####.#";
    case 'X': return "#.##.#.#.#.##.#";
    case 'Y': return "#.##.#.#..#..#.";
    case 'Z': return "###..#.#.#..###";
    case '0': return "####.##.##.####";
    case '1': return ".#.##..#..#.###";
    case '2': return "##...#.#.#..###";
    case '3': return "##...#.#...###.";
    case '4': return "#.##.####..#..#";
    case '5': return "####..##...###.";
    case '6': return ".###..####.####";
    case '7': return "###..#.#..#..#.";
    case '8': return "####.#####.####";
    case '9': return "####.####..###.";
    case ' ': return "...............";
    case '.': return ".............#.";
    case ',': return "..........#.#..";
    case ':': return "....#.....#....";
    case '-': return "......###......";
    case '+': return "....#.###.#....";
    case '=': return "...###...###...";
    case '_': return "............###";
    case '/': return "..#..#.#.#..#..";
    case '%': return "#.#..#.#.#..#.#";
    case '(': return ".#.#..#..#...#.";
    case ')': return ".#...#..#..#.#.";
    case '|': return ".#..#..#..#..#.";
    case '<': return "..#.#.#...#...#";
    case '>': return "#...#...#.#.#..";
    default: return "####.##.##.####";
  }
}

}  // namespace detail

inline constexpr Index text_height = 10;  // pixels of a line of text at size 2

/// Writes text with its upper left corner at (x, y); a character is 4 x 5 dots of `size` pixels.
inline void draw_text(Image& image, Index x, Index y, std::string_view text, Colour colour = {255, 255, 255}, Index size = 2) {
  for (const char c : text) {
    const std::string_view dots = detail::glyph(c);
    for (Index d = 0; d < 15; ++d) {
      if (dots[static_cast<std::size_t>(d)] != '#') continue;
      for (Index j = 0; j < size; ++j)
        for (Index i = 0; i < size; ++i) image.set(x + (d % 3) * size + i, y + (d / 3) * size + j, colour);
    }
    x += 4 * size;
  }
}

/// Pictures in rows of `columns`, each under its caption (as many captions as pictures, or none).
inline Image montage(const std::vector<Image>& tiles, Index columns, const std::vector<std::string>& captions = {}) {
  if (tiles.empty() || columns < 1) fail(ErrorKind::argument, "image.montage", "montage: ", tiles.size(), " pictures in ", columns, " columns");
  if (!captions.empty() && captions.size() != tiles.size())
    fail(ErrorKind::argument, "image.montage", "montage: ", captions.size(), " captions for ", tiles.size(), " pictures");
  constexpr Index gap = 4;
  const Index count = static_cast<Index>(tiles.size()), rows = (count + columns - 1) / columns, line = captions.empty() ? 0 : text_height + gap;
  columns = std::min(columns, count);
  Index w = 0, h = 0;
  for (const Image& t : tiles) w = std::max(w, t.width), h = std::max(h, t.height);
  Image all(columns * (w + gap) + gap, rows * (h + line + gap) + gap, {24, 24, 24});
  for (Index i = 0; i < count; ++i) {
    const Index x = gap + i % columns * (w + gap), y = gap + i / columns * (h + line + gap);
    if (line > 0) {
      const std::string& caption = captions[static_cast<std::size_t>(i)];
      draw_text(all, x, y, std::string_view(caption).substr(0, static_cast<std::size_t>(w / 8)));
    }
    all.place(tiles[static_cast<std::size_t>(i)], x, y + line);
  }
  return all;
}

}  // namespace braing3n::inline BRAING3N_ABI
