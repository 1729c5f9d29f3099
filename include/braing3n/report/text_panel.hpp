// Lines of text under a picture: a small table, in letters of one width.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "braing3n/report/image.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// The picture with lines of text below it, in letters of one width; it becomes wider where a line is longer.
inline Image with_text(const Image& image, const std::vector<std::string>& lines) {
  constexpr Index gap = 4;
  const Index line = text_height() + gap;
  Index width = image.width;
  for (const std::string& text : lines) width = std::max(width, text_width(text) + 2 * gap);
  Image all(width, image.height + std::ssize(lines) * line + (lines.empty() ? 0 : gap), {24, 24, 24});
  all.place(image, 0, 0);
  for (std::size_t i = 0; i < lines.size(); ++i)
    draw_text(all, gap, image.height + static_cast<Index>(i) * line, lines[i]);
  return all;
}

}  // namespace braing3n::inline BRAING3N_ABI
