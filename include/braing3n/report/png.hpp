// Pictures as PNG files: 8-bit RGB, or grey when every pixel is.
//
// Source: the PNG specification (W3C, third edition): signature, IHDR, IDAT (zlib, filter "up" on every row), IEND. Written
// with zlib, a dependency already: a header-only library cannot carry the function definitions of an image library without
// breaking the one-definition rule, and zlib compresses better.
#pragma once

#include <zlib.h>

#include <filesystem>
#include <string>
#include <vector>

#include "braing3n/format/atomic_file.hpp"
#include "braing3n/report/image.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// The bytes of a PNG file.
inline std::string encode_png(const Image& image) {
  if (image.width < 1 || image.height < 1 || static_cast<Index>(image.pixels.size()) != 3 * image.width * image.height)
    fail(ErrorKind::argument, "png.size", "png: ", image.width, " x ", image.height, " pixels with ",
         image.pixels.size(), " bytes");
  bool grey = true;
  for (std::size_t i = 0; grey && i < image.pixels.size(); i += 3)
    grey = image.pixels[i] == image.pixels[i + 1] && image.pixels[i] == image.pixels[i + 2];
  const std::size_t channels = grey ? 1 : 3, step = grey ? 3 : 1;
  const std::size_t row = static_cast<std::size_t>(image.width) * channels,
                    rows = static_cast<std::size_t>(image.height);
  std::vector<unsigned char> raw(rows * (row + 1));
  for (std::size_t y = 0; y < rows; ++y) {
    unsigned char* out = raw.data() + y * (row + 1);
    *out++ = 2;  // filter "up": the difference to the row above
    const std::uint8_t* in = image.pixels.data() + y * 3 * static_cast<std::size_t>(image.width);
    const std::uint8_t* above = y > 0 ? in - 3 * image.width : nullptr;
    for (std::size_t i = 0; i < row; ++i)
      out[i] = static_cast<unsigned char>(in[i * step] - (above != nullptr ? above[i * step] : 0));
  }
  uLongf packed_size = ::compressBound(static_cast<uLong>(raw.size()));
  std::vector<unsigned char> packed(packed_size);
  if (::compress2(packed.data(), &packed_size, raw.data(), static_cast<uLong>(raw.size()), 6) != Z_OK)
    fail(ErrorKind::environment, "png.memory", "png: no memory to compress");

  const auto number = [](std::uint32_t v) {
    return std::string{static_cast<char>(v >> 24), static_cast<char>(v >> 16 & 255), static_cast<char>(v >> 8 & 255),
                       static_cast<char>(v & 255)};
  };
  const auto chunk = [&](const std::string& type, const std::string& data) {
    const std::string body = type + data;
    return number(static_cast<std::uint32_t>(data.size())) + body +
           number(static_cast<std::uint32_t>(
               ::crc32(0, reinterpret_cast<const unsigned char*>(body.data()), static_cast<uInt>(body.size()))));
  };
  const std::string header = number(static_cast<std::uint32_t>(image.width)) +
                             number(static_cast<std::uint32_t>(image.height)) +
                             std::string{8, grey ? '\0' : '\2', 0, 0, 0};
  return std::string("\x89PNG\r\n\x1a\n", 8) + chunk("IHDR", header) +
         chunk("IDAT", std::string(reinterpret_cast<const char*>(packed.data()), packed_size)) + chunk("IEND", "");
}

/// Throws Error (file, environment) when it cannot be written; nothing is left half-written.
inline void write_png(const std::filesystem::path& path, const Image& image, const WriteOptions& options = {}) {
  AtomicFile file(path, options);
  file.write(encode_png(image));
  file.commit();
}

}  // namespace braing3n::inline BRAING3N_ABI
