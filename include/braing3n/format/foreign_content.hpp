// What a file is when it is not what its name says: the pointer of a file that was never downloaded, a web page, text, another format.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "braing3n/format/text.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

inline bool begins_ignoring_case(std::string_view text, std::string_view start) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return text.size() >= start.size() &&
         std::equal(start.begin(), start.end(), text.begin(), [&](char a, char b) { return a == lower(b); });
}

/// No control characters but those of text, and no byte that UTF-8 never has.
inline bool looks_like_text(std::string_view bytes) {
  return !bytes.empty() && std::all_of(bytes.begin(), bytes.end(), [](char c) {
    const auto u = static_cast<unsigned char>(c);
    return (u >= 0x20 && u != 0x7f && u < 0xf5) || c == '\n' || c == '\r' || c == '\t';
  });
}

/// Formats that are known by their first bytes.
inline std::string foreign_magic(std::string_view b) {
  const auto at = [&](std::size_t place, std::string_view magic) {
    return b.size() >= place + magic.size() && b.substr(place, magic.size()) == magic;
  };
  static constexpr std::pair<std::string_view, const char*> known[] = {
      {"\x1f\x8b", "gzip-compressed data"},
      {"PK\x03\x04", "a zip archive (an Excel workbook, a PyTorch or a NumPy archive)"},
      {"\x93NUMPY", "a NumPy array"},
      {"\x89HDF\r\n", "an HDF5 file"},
      {"\x89PNG", "a PNG picture"},
      {"\xff\xd8\xff", "a JPEG picture"},
      {"%PDF", "a PDF document"},
      {"NRRD", "an NRRD volume"},
      {"BZh", "bzip2-compressed data"},
      {"\xfd"
       "7zXZ",
       "xz-compressed data"},
      {"\x28\xb5\x2f\xfd", "zstd-compressed data"},
      {"\xd0\xcf\x11\xe0", "an old Excel or Word document"}};
  for (const auto& [magic, name] : known)
    if (at(0, magic)) return name;
  if (at(128, "DICM")) return "a DICOM file";
  if (at(257, "ustar")) return "a tar archive";
  if (at(344, "n+1") || at(344, "ni1") || at(4, "n+2") || at(4, "ni2")) return "a NIfTI file";
  if (b.size() > 8 && b[8] == '{' && b[4] == '\0' && b[5] == '\0' && b[6] == '\0' && b[7] == '\0')
    return "a safetensors file";
  if (b.size() > 1 && b[0] == '\x80' && b[1] >= 2 && b[1] <= 5) return "a Python pickle";
  return {};
}

}  // namespace detail

/// "a Git LFS pointer, ..." for the first bytes of a file (some hundred are enough), empty when nothing is recognised. Text, JSON among it,
/// counts as foreign unless the caller's own format is text.
inline std::string describe_foreign_content(std::span<const std::byte> bytes, bool text_is_foreign = true) {
  constexpr std::size_t most = 1024;
  std::string_view b(reinterpret_cast<const char*>(bytes.data()), std::min(bytes.size(), most));
  if (b.starts_with("version https://git-lfs.github.com/spec/") ||
      b.starts_with("version https://hawser.github.com/spec/"))
    return "a Git LFS pointer, not the file itself: its content was not downloaded (git lfs pull does that)";
  const bool text = detail::looks_like_text(b);
  if (text && bytes.size() < 32768 && b.substr(0, b.find('\n')).find("annex/objects/") != std::string_view::npos)
    return "a git-annex pointer, not the file itself: its content was not downloaded (git annex get or datalad get "
           "does that)";
  if (!text) {
    if (b.size() >= 64 && b.find_first_not_of('\0') == std::string_view::npos)
      return "nothing but zero bytes at its start";
    return detail::foreign_magic(b);
  }
  if (b.starts_with("\xef\xbb\xbf")) b.remove_prefix(3);
  const std::size_t first = b.find_first_not_of(" \t\r\n");
  const std::string_view body = b.substr(std::min(first, b.size()));
  if (detail::begins_ignoring_case(body, "<!doctype html") || detail::begins_ignoring_case(body, "<html"))
    return "an HTML page, perhaps what a server answered instead of the file";
  if (detail::begins_ignoring_case(body, "<?xml")) return "an XML document";
  if (body.starts_with("%PDF")) return "a PDF document";
  if (!text_is_foreign) return {};
  if (body.starts_with("{") || body.starts_with("[")) return "JSON text";
  return "plain text that begins with " + in_quotes(std::string(body.substr(0, body.find_first_of("\r\n"))), 40);
}

}  // namespace braing3n::inline BRAING3N_ABI
