// CRC-32 (the polynomial of zlib, gzip and zip) over data that arrives in pieces.
#pragma once

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "braing3n/base/config.hpp"

namespace braing3n::inline BRAING3N_ABI {

class Crc32 {
 public:
  void update(std::span<const std::byte> bytes) {
    if (bytes.empty()) return;  // zlib takes a null pointer as the request to start again
    value_ = ::crc32_z(value_, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  }
  std::uint32_t value() const { return static_cast<std::uint32_t>(value_); }

  /// Eight lower-case hexadecimal digits.
  std::string hex() const {
    std::string digits(8, '0');
    for (std::size_t i = 0; i < 8; ++i) digits[i] = "0123456789abcdef"[(value() >> (28 - 4 * i)) & 15u];
    return digits;
  }

 private:
  unsigned long value_ = 0;
};

inline std::uint32_t crc32_of(std::span<const std::byte> bytes) {
  Crc32 crc;
  crc.update(bytes);
  return crc.value();
}

}  // namespace braing3n::inline BRAING3N_ABI
