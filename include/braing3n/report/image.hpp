// 8-bit pictures: pixels, text, montages.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "braing3n/base/error.hpp"
#include "braing3n/report/font.hpp"

namespace braing3n::inline BRAING3N_ABI {

using Colour = std::array<std::uint8_t, 3>;

/// RGB, rows from top to bottom.
struct Image {
  Index width = 0, height = 0;
  std::vector<std::uint8_t> pixels;  // (height, width, 3)

  Image() = default;
  Image(Index w, Index h, Colour fill = {0, 0, 0}) : width(w), height(h) {
    if (w < 1 || h < 1 || w > 65535 || h > 65535)
      fail(ErrorKind::argument, "image.size", "image: ", w, " x ", h, " pixels, expected 1 to 65535 each");
    pixels.resize(static_cast<std::size_t>(3 * w * h));
    for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = fill[i % 3];
  }

  std::uint8_t* at(Index x, Index y) { return pixels.data() + 3 * (y * width + x); }
  const std::uint8_t* at(Index x, Index y) const { return pixels.data() + 3 * (y * width + x); }
  void set(Index x, Index y, Colour c) {
    if (x >= 0 && y >= 0 && x < width && y < height) std::copy(c.begin(), c.end(), at(x, y));
  }
  /// Copies `other` to (x, y); what does not fit is cropped.
  void place(const Image& other, Index x, Index y) {
    for (Index j = 0; j < other.height; ++j)
      for (Index i = 0; i < other.width; ++i) {
        const std::uint8_t* p = other.at(i, j);
        set(x + i, y + j, {p[0], p[1], p[2]});
      }
  }
};

/// Pixels that a line of text takes at this size: the width of its characters, without the gap behind the last.
inline Index text_width(std::string_view text, Index size = 1) {
  return text.empty() ? 0 : size * (glyph_advance * static_cast<Index>(plain_letters(text).size()) - 1);
}
inline constexpr Index text_height(Index size = 1) { return size * glyph_height; }

/// Writes text with its upper left corner at (x, y); a dot of a letter is size x size pixels. What does not fit is cropped.
inline void draw_text(Image& image, Index x, Index y, std::string_view text, Colour colour = {255, 255, 255},
                      Index size = 1) {
  for (const char c : plain_letters(text)) {
    for (Index d = 0; d < glyph_width * glyph_height; ++d) {
      if (!detail::glyph_dot(c, d % glyph_width, d / glyph_width)) continue;
      for (Index j = 0; j < size; ++j)
        for (Index i = 0; i < size; ++i)
          image.set(x + d % glyph_width * size + i, y + d / glyph_width * size + j, colour);
    }
    x += glyph_advance * size;
  }
}

/// The beginning of a text that fits into `width` pixels, with ".." where something is missing.
inline std::string fitting_text(std::string_view text, Index width, Index size = 1) {
  std::string plain = plain_letters(text);
  if (text_width(plain, size) <= width) return plain;
  const Index letters = (width / size + 1) / glyph_advance;
  if (letters < 3) return plain.substr(0, static_cast<std::size_t>(std::max<Index>(letters, 0)));
  return plain.substr(0, static_cast<std::size_t>(letters - 2)) + "..";
}

/// Pictures in rows of `columns`, each under its caption (as many captions as pictures, or none). Captions are written in double size
/// where all of them fit, else in single size, and are cut where they still do not fit.
inline Image montage(const std::vector<Image>& tiles, Index columns, const std::vector<std::string>& captions = {}) {
  if (tiles.empty() || columns < 1)
    fail(ErrorKind::argument, "image.montage", "montage: expected pictures and columns, got ", tiles.size(),
         " pictures in ", columns, " columns");
  if (!captions.empty() && captions.size() != tiles.size())
    fail(ErrorKind::argument, "image.montage", "montage: expected a caption for each of ", tiles.size(),
         " pictures, got ", captions.size());
  constexpr Index gap = 4;
  const Index count = static_cast<Index>(tiles.size()), rows = (count + columns - 1) / columns;
  columns = std::min(columns, count);
  Index w = 0, h = 0;
  for (const Image& t : tiles) w = std::max(w, t.width), h = std::max(h, t.height);
  const bool large = w >= 160 && std::all_of(captions.begin(), captions.end(),
                                             [&](const std::string& c) { return text_width(c, 2) <= w; });
  const Index size = large ? 2 : 1, line = captions.empty() ? 0 : text_height(size) + gap;
  Image all(columns * (w + gap) + gap, rows * (h + line + gap) + gap, {24, 24, 24});
  for (Index i = 0; i < count; ++i) {
    const Index x = gap + i % columns * (w + gap), y = gap + i / columns * (h + line + gap);
    if (line > 0)
      draw_text(all, x, y, fitting_text(captions[static_cast<std::size_t>(i)], w, size), {255, 255, 255}, size);
    all.place(tiles[static_cast<std::size_t>(i)], x, y + line);
  }
  return all;
}

}  // namespace braing3n::inline BRAING3N_ABI
