// Strict JSON parsing: a key that appears twice, a value nested too deep and anything after the value are errors.
#pragma once

#include <nlohmann/json.hpp>

#include <concepts>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "braing3n/base/error.hpp"
#include "braing3n/format/foreign_content.hpp"
#include "braing3n/format/mapped_file.hpp"
#include "braing3n/format/text.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Keeps the order of keys, so that a written file reads like the struct it came from.
using Json = nlohmann::ordered_json;

struct JsonLimits {
  std::size_t bytes = std::size_t{64} << 20;
  int depth = 64;
};

namespace detail {

/// "[json.exception.parse_error.101] parse error at line 1, column 2: ..." without the bracket.
inline std::string plain_json_message(const char* what) {
  std::string text = what;
  if (const std::size_t end = text.find("] "); text.starts_with("[") && end != std::string::npos)
    text.erase(0, end + 2);
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  if (text.size() > 300) text = text.substr(0, 300) + "...";
  return text;
}

}  // namespace detail

// Templates on the limits: a file that parses nothing compiles no parser.

/// Throws Error (format); `where` names the source in the message.
template <std::same_as<JsonLimits> Limits = JsonLimits>
Json parse_json(std::string_view text, const std::string& where, const Limits& limits = {}) {
  if (text.size() > limits.bytes)
    throw Error(ErrorKind::format, "json.size", concat("JSON of ", text.size(), " bytes, the limit is ", limits.bytes),
                where);
  // The parser takes a zero byte for the end of its input.
  if (const std::size_t zero = text.find('\0'); zero != std::string_view::npos)
    throw Error(ErrorKind::format, "json.syntax",
                concat("a zero byte at byte ", zero + 1, "; JSON is text, and nothing may follow its value"), where);
  std::vector<std::set<std::string, std::less<>>> keys;
  const auto check = [&](int depth, nlohmann::json::parse_event_t event, Json& parsed) {
    using Event = nlohmann::json::parse_event_t;
    if (event == Event::object_start || event == Event::array_start) {
      if (depth >= limits.depth)
        throw Error(ErrorKind::format, "json.depth", concat("JSON nested deeper than ", limits.depth, " levels"),
                    where);
      if (event == Event::object_start) keys.emplace_back();
    } else if (event == Event::object_end) {
      keys.pop_back();
    } else if (event == Event::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!keys.back().insert(key).second)
        throw Error(ErrorKind::format, "json.duplicate", concat("key ", in_quotes(key), " appears twice"), where);
    }
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), check);
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::format, "json.syntax", detail::plain_json_message(error.what()), where);
  }
}

template <std::same_as<JsonLimits> Limits = JsonLimits>
Json read_json(const std::filesystem::path& path, const Limits& limits = {}) {
  const MappedFile file(path);
  if (const std::string foreign = describe_foreign_content(file.bytes(), false); !foreign.empty())
    throw Error(ErrorKind::format, "json.foreign", concat(foreign, "; expected JSON"), path.string());
  return parse_json({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, path.string(), limits);
}

}  // namespace braing3n::inline BRAING3N_ABI
