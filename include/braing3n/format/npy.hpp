// NumPy arrays: .npy, format versions 1 to 3.
//
// Read: bool, integers, f2, f4, f8 of either byte order, and texts (U, S); column-major arrays are transposed to row-major. Structured
// types and pickled objects are refused. Every size is checked before memory is asked for.
// Write: row-major, little-endian, version 1.
// Format: numpy/lib/format.py (NEP 1).
#pragma once

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "braing3n/format/atomic_file.hpp"
#include "braing3n/format/dtype.hpp"
#include "braing3n/format/foreign_content.hpp"
#include "braing3n/format/mapped_file.hpp"
#include "braing3n/format/text.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// An array as it lies in a file.
class NpyArray {
 public:
  /// Over `bytes`, which `owner` keeps alive. `label` stands in front of messages. Throws Error (format).
  NpyArray(std::span<const std::byte> bytes, std::string label, std::shared_ptr<const void> owner)
      : label_(std::move(label)), owner_(std::move(owner)) {
    parse(bytes);
  }

  /// Of numbers; meaningless for an array of texts.
  DType dtype() const { return dtype_; }
  /// The elements are texts (NumPy's U or S), read by texts().
  bool is_text() const { return text_kind_ != '\0'; }
  const std::vector<Index>& shape() const { return shape_; }
  Index elements() const { return elements_; }

  /// The elements in row-major order, converted by the rules of dtype.hpp.
  template <class T>
  std::vector<T> read() const {
    if (is_text()) throw bad("npy.dtype", "expected numbers, got texts");
    std::vector<T> values(static_cast<std::size_t>(elements()));
    try {
      if (!swapped_) {
        convert_elements(dtype_, data_, std::span<T>(values));
      } else {
        std::vector<std::byte> little(data_.begin(), data_.end());
        const std::size_t width = size_of(dtype_);
        for (std::size_t i = 0; i < little.size(); i += width)
          std::reverse(little.begin() + static_cast<std::ptrdiff_t>(i),
                       little.begin() + static_cast<std::ptrdiff_t>(i + width));
        convert_elements(dtype_, std::span<const std::byte>(little), std::span<T>(values));
      }
    } catch (const Error& e) {
      throw e.at(label_);
    }
    return fortran_ && shape_.size() > 1 ? transposed(values) : values;
  }

  /// The elements of an array of texts as UTF-8, without NumPy's padding. Throws Error (format): numbers, a code point that does not exist.
  std::vector<std::string> texts() const {
    if (!is_text()) throw bad("npy.dtype", "expected texts, got numbers");
    std::vector<std::string> out;
    out.reserve(static_cast<std::size_t>(elements_));
    for (Index i = 0; i < elements_; ++i) {
      const std::span<const std::byte> element = data_.subspan(static_cast<std::size_t>(i) * item_bytes_, item_bytes_);
      out.push_back(text_kind_ == 'U' ? from_utf32(element)
                                      : std::string(reinterpret_cast<const char*>(element.data()), element.size()));
      while (!out.back().empty() && out.back().back() == '\0') out.back().pop_back();
    }
    return fortran_ && shape_.size() > 1 ? transposed(out) : out;
  }

 private:
  std::string from_utf32(std::span<const std::byte> element) const {
    std::string out;
    for (std::size_t at = 0; at < element.size(); at += 4) {
      std::uint32_t c = 0;
      for (std::size_t b = 0; b < 4; ++b)
        c = c << 8 | std::to_integer<std::uint32_t>(element[at + (swapped_ ? b : 3 - b)]);
      if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        throw bad("npy.text", "a text holds a code point that does not exist");
      const auto tail = [&](unsigned shift) { out += static_cast<char>(0x80 | (c >> shift & 0x3f)); };
      if (c < 0x80) {
        out += static_cast<char>(c);
      } else if (c < 0x800) {
        out += static_cast<char>(0xc0 | c >> 6);
        tail(0);
      } else if (c < 0x10000) {
        out += static_cast<char>(0xe0 | c >> 12);
        tail(6);
        tail(0);
      } else {
        out += static_cast<char>(0xf0 | c >> 18);
        tail(12);
        tail(6);
        tail(0);
      }
    }
    return out;
  }

  Error bad(const char* id, const std::string& text) const {
    return Error(ErrorKind::format, id, "npy: " + text, label_);
  }

  void parse(std::span<const std::byte> bytes) {
    constexpr std::string_view magic("\x93NUMPY", 6);
    if (bytes.size() < 10 || std::memcmp(bytes.data(), magic.data(), magic.size()) != 0) {
      const std::string foreign = describe_foreign_content(bytes);
      throw bad("npy.magic", concat("not a NumPy array file", foreign.empty() ? "" : ": it is ", foreign));
    }
    const int major = std::to_integer<int>(bytes[6]);
    if (major < 1 || major > 3) throw bad("npy.version", concat("format version ", major, ", expected 1, 2 or 3"));
    const std::size_t prefix = major == 1 ? 10 : 12;
    if (bytes.size() < prefix) throw bad("npy.truncated", "the file ends inside its header");
    std::size_t header = 0;
    for (std::size_t i = prefix; i-- > 8;) header = header << 8 | std::to_integer<std::size_t>(bytes[i]);
    if (header > bytes.size() - prefix)
      throw bad("npy.truncated",
                concat("a header of ", header, " bytes, but only ", bytes.size() - prefix, " bytes follow"));
    parse_header({reinterpret_cast<const char*>(bytes.data()) + prefix, header});
    std::uint64_t elements = 1, nonzero = 1;
    for (const Index extent : shape_) {
      const auto n = static_cast<std::uint64_t>(extent);
      if (n != 0 && nonzero > (std::uint64_t{1} << 60) / n) throw bad("npy.shape", "the shape has too many elements");
      nonzero *= std::max<std::uint64_t>(n, 1);
      elements *= n;
    }
    data_ = bytes.subspan(prefix + header);
    if (item_bytes_ == 0 ? !data_.empty() : data_.size() % item_bytes_ != 0 || elements != data_.size() / item_bytes_)
      throw bad("npy.size", concat("the shape needs ", elements * item_bytes_, " bytes of ",
                                   is_text() ? "text" : to_string(dtype_), ", the file holds ", data_.size()));
    if (item_bytes_ == 0 && elements > (std::uint64_t{1} << 24))
      throw bad("npy.shape", "the shape has too many elements");
    elements_ = static_cast<Index>(elements);
  }

  /// A Python dictionary literal with exactly the keys descr, fortran_order and shape.
  void parse_header(std::string_view text) {
    std::size_t at = 0;
    const auto skip = [&] { at = std::min(text.find_first_not_of(" \t\n\r\f", at), text.size()); };
    const auto next = [&](char c) {
      skip();
      if (at == text.size() || text[at] != c) return false;
      ++at;
      return true;
    };
    const auto word = [&](std::string_view w) {
      skip();
      if (!text.substr(at).starts_with(w)) return false;
      at += w.size();
      return true;
    };
    const auto literal = [&]() -> std::optional<std::string_view> {
      skip();
      if (at == text.size() || (text[at] != '\'' && text[at] != '"')) return std::nullopt;
      const std::size_t end = text.find(text[at], at + 1);
      if (end == std::string_view::npos) return std::nullopt;
      const std::string_view inside = text.substr(at + 1, end - at - 1);
      at = end + 1;
      return inside;
    };
    bool has_descr = false, has_order = false, has_shape = false;
    const auto broken = [&] {
      return bad("npy.header", "the header is not a NumPy array description: " + in_quotes(text.substr(0, 100)));
    };
    if (!next('{')) throw broken();
    while (!next('}')) {
      const auto key = literal();
      if (!key || !next(':')) throw broken();
      if (*key == "descr" && !has_descr) {
        has_descr = true;
        skip();
        if (at < text.size() && text[at] == '[') throw bad("npy.dtype", "a structured array; expected plain numbers");
        const auto descr = literal();
        if (!descr) throw broken();
        set_dtype(*descr);
      } else if (*key == "fortran_order" && !has_order) {
        has_order = true;
        fortran_ = word("True");
        if (!fortran_ && !word("False")) throw broken();
      } else if (*key == "shape" && !has_shape) {
        has_shape = true;
        if (!next('(')) throw broken();
        while (!next(')')) {
          skip();
          Index extent = 0;
          const auto [end, status] = std::from_chars(text.data() + at, text.data() + text.size(), extent);
          if (status != std::errc() || extent < 0 || shape_.size() == 32) throw broken();
          at = static_cast<std::size_t>(end - text.data());
          word("L");  // Python 2 wrote long integers like this
          shape_.push_back(extent);
          if (!next(',') && !(skip(), at < text.size() && text[at] == ')')) throw broken();
        }
      } else {
        throw broken();
      }
      if (!next(',') && !(skip(), at < text.size() && text[at] == '}')) throw broken();
    }
    skip();
    if (at != text.size() || !has_descr || !has_order || !has_shape) throw broken();
  }

  void set_dtype(std::string_view descr) {
    constexpr std::pair<std::string_view, DType> known[] = {
        {"b1", DType::boolean}, {"f2", DType::f16}, {"f4", DType::f32}, {"f8", DType::f64},
        {"i1", DType::i8},      {"i2", DType::i16}, {"i4", DType::i32}, {"i8", DType::i64},
        {"u1", DType::u8},      {"u2", DType::u16}, {"u4", DType::u32}, {"u8", DType::u64}};
    if (descr.find('O') != std::string_view::npos)
      throw bad("npy.dtype", "Python objects (pickle); they are never read");
    const char order = descr.empty() ? '?' : descr[0];
    for (const auto& [name, type] : known)
      if (descr.size() == 3 && descr.substr(1) == name &&
          (order == '<' || order == '>' || order == '|' || order == '=')) {
        dtype_ = type;
        item_bytes_ = size_of(type);
        swapped_ = order == '>' && size_of(type) > 1;
        return;
      }
    if (descr.size() > 2 && (descr[1] == 'U' || descr[1] == 'S')) {
      std::size_t length = 0;
      const auto [end, status] = std::from_chars(descr.data() + 2, descr.data() + descr.size(), length);
      if (status == std::errc() && end == descr.data() + descr.size() && length <= (std::size_t{1} << 24)) {
        text_kind_ = descr[1];
        item_bytes_ = descr[1] == 'U' ? 4 * length : length;
        swapped_ = order == '>';
        return;
      }
    }
    throw bad("npy.dtype",
              concat("element type ", in_quotes(descr, 20), "; expected bool, an integer, f2, f4, f8 or a text"));
  }

  /// From first-axis-fastest to last-axis-fastest.
  template <class T>
  std::vector<T> transposed(const std::vector<T>& columns) const {
    std::vector<T> rows(columns.size());
    std::vector<std::size_t> index(shape_.size(), 0), stride(shape_.size(), 1);
    for (std::size_t a = 1; a < shape_.size(); ++a) stride[a] = stride[a - 1] * static_cast<std::size_t>(shape_[a - 1]);
    std::size_t from = 0;
    for (T& value : rows) {
      value = columns[from];
      for (std::size_t a = shape_.size(); a-- > 0;) {
        from += stride[a];
        if (++index[a] < static_cast<std::size_t>(shape_[a])) break;
        from -= stride[a] * index[a];
        index[a] = 0;
      }
    }
    return rows;
  }

  std::string label_;
  std::shared_ptr<const void> owner_;
  std::span<const std::byte> data_;
  std::vector<Index> shape_;
  DType dtype_ = DType::f32;
  std::size_t item_bytes_ = 4;  // of one element
  Index elements_ = 0;
  char text_kind_ = '\0';  // U, S; '\0': numbers
  bool fortran_ = false, swapped_ = false;
};

inline NpyArray read_npy(const std::filesystem::path& path) {
  auto file = std::make_shared<const MappedFile>(path);
  return NpyArray(file->bytes(), path.string(), file);
}

}  // namespace braing3n::inline BRAING3N_ABI
