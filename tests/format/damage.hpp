// Files built by hand, byte by byte, for the tests of the readers.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include "braing3n/base/error.hpp"
#include "tests/support/scratch_folder.hpp"

namespace braing3n::test {

inline std::string content_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  REQUIRE(in.good());
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void put_file(const std::filesystem::path& path, const std::string& content) {
  std::ofstream out(path, std::ios::binary);
  out << content;
  REQUIRE(out.good());
}

inline std::span<const std::byte> bytes_of(const std::string& s) {
  return std::as_bytes(std::span<const char>(s.data(), s.size()));
}

/// A safetensors file from header text and data; the length may lie.
inline std::string safetensors_text(const std::string& header, const std::string& data, std::int64_t stated = -1) {
  const std::uint64_t n = stated < 0 ? header.size() : static_cast<std::uint64_t>(stated);
  std::string s(8, '\0');
  std::memcpy(s.data(), &n, 8);
  return s + header + data;
}

/// Runs f, which must throw Error, and returns it.
template <class F>
Error error_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e;
  }
  FAIL("no error was thrown");
  return Error(ErrorKind::state, "none", "none");
}

}  // namespace braing3n::test
