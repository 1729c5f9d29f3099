// Config structs to JSON and back. A struct names its fields once:
//
//   struct Options {
//     Index steps = 100;
//     std::optional<double> clip;
//     static void visit(auto& self, auto&& v) { v("steps", self.steps);  v("clip", self.clip); }
//   };
//
// Fields are integers, floating-point numbers, bool, text, enums (by the name of the enumerator), other such structs, Json itself,
// and optional, vector, array and map<string, ...> of these. A key that is missing keeps its default; an unknown key, a value
// of another type or out of range is an Error (config) that names the field, what was expected and what came.
#pragma once

#include <array>
#include <charconv>
#include <cmath>
#include <concepts>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "braing3n/base/enum_names.hpp"
#include "braing3n/base/text.hpp"
#include "braing3n/format/atomic_file.hpp"
#include "braing3n/format/json_text.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

struct AnyField {
  void operator()(const char*, auto&) const {}
};
template <class T>
concept Visited = requires(T& t) { T::visit(t, AnyField{}); };

template <class T>
struct JsonShape {
  static constexpr int kind = 0;
};
template <class T>
struct JsonShape<std::optional<T>> {
  static constexpr int kind = 1;
};
template <class T>
struct JsonShape<std::vector<T>> {
  static constexpr int kind = 2;
};
template <class T, std::size_t N>
struct JsonShape<std::array<T, N>> {
  static constexpr int kind = 3;
};
template <class T>
struct JsonShape<std::map<std::string, T>> {
  static constexpr int kind = 4;
};

/// The double that prints with the digits of the float: 0.1f becomes 0.1 and not 0.10000000149011612.
template <std::floating_point T>
double shortest_double(T value) {
  if constexpr (std::same_as<T, double>) return value;
  std::array<char, 64> digits{};
  const auto [end, status] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  double result = 0;
  std::from_chars(digits.data(), end, result);
  return result;
}

/// "the text "x"", "3.5", "a list of 2": what came, for a message.
inline std::string json_description(const Json& j) {
  if (j.is_null()) return "null";
  if (j.is_boolean()) return j.get<bool>() ? "true" : "false";
  if (j.is_string()) return "the text " + in_quotes(j.get_ref<const std::string&>(), 60);
  if (j.is_array()) return concat("a list of ", j.size());
  if (j.is_object()) return "an object";
  return "the number " + j.dump();
}

struct JsonPlace {
  const std::string& where;  // file
  std::string field;         // path inside it

  JsonPlace key(const std::string& name) const { return {where, field.empty() ? name : field + "." + name}; }
  JsonPlace item(std::size_t i) const { return {where, concat(field, "[", i, "]")}; }
  Error error(const char* id, const std::string& sentence) const {
    return Error(ErrorKind::config, id, field.empty() ? sentence : field + ": " + sentence, where);
  }
  Error expected(const std::string& what, const Json& came) const {
    return error("json.type", concat("expected ", what, ", got ", json_description(came)));
  }
  Error expected_one_of(const std::vector<std::string>& names, const Json& came) const {
    return expected("one of " + joined(names, ", ", [](const std::string& name) { return in_quotes(name); }), came);
  }
};

template <class T>
void json_to_value(const Json& j, T& value, const JsonPlace& at);

template <class T>
struct JsonFieldReader {
  const Json& object;
  const JsonPlace& at;
  std::vector<std::string>& names;
  void operator()(const char* name, auto& field) const {
    names.emplace_back(name);
    if (const auto found = object.find(name); found != object.end()) json_to_value(*found, field, at.key(name));
  }
};

template <class T>
void json_to_value(const Json& j, T& value, const JsonPlace& at) {
  if constexpr (std::same_as<T, Json>) {
    value = j;
  } else if constexpr (std::same_as<T, bool>) {
    if (!j.is_boolean()) throw at.expected("true or false", j);
    value = j.get<bool>();
  } else if constexpr (std::integral<T>) {
    const bool fits = j.is_number_unsigned() ? std::in_range<T>(j.get<std::uint64_t>())
                                             : j.is_number_integer() && std::in_range<T>(j.get<std::int64_t>());
    if (!fits)
      throw at.expected(j.is_number_integer() ? concat("a whole number in [", +std::numeric_limits<T>::min(), ", ",
                                                       +std::numeric_limits<T>::max(), "]")
                                              : std::string("a whole number"),
                        j);
    value = j.is_number_unsigned() ? static_cast<T>(j.get<std::uint64_t>()) : static_cast<T>(j.get<std::int64_t>());
  } else if constexpr (std::floating_point<T>) {
    if (!j.is_number()) throw at.expected("a number", j);
    const double number = j.get<double>();
    if (!std::isfinite(number) || std::abs(number) > static_cast<double>(std::numeric_limits<T>::max()))
      throw at.expected("a finite number", j);
    value = static_cast<T>(number);
  } else if constexpr (std::same_as<T, std::string>) {
    if (!j.is_string()) throw at.expected("a text", j);
    value = j.get_ref<const std::string&>();
  } else if constexpr (std::is_enum_v<T>) {
    const auto found = j.is_string() ? enum_from_name<T>(j.get_ref<const std::string&>()) : std::nullopt;
    if (!found) throw at.expected_one_of(enum_names<T>(), j);
    value = *found;
  } else if constexpr (JsonShape<T>::kind == 1) {
    if (j.is_null()) {
      value.reset();
    } else {
      typename T::value_type inner{};
      json_to_value(j, inner, at);
      value = std::move(inner);
    }
  } else if constexpr (JsonShape<T>::kind == 2) {
    if (!j.is_array()) throw at.expected("a list", j);
    T list;
    for (std::size_t i = 0; i < j.size(); ++i) {
      typename T::value_type item{};
      json_to_value(j[i], item, at.item(i));
      list.push_back(std::move(item));
    }
    value = std::move(list);
  } else if constexpr (JsonShape<T>::kind == 3) {
    if (!j.is_array() || j.size() != value.size()) throw at.expected(concat("a list of ", value.size()), j);
    for (std::size_t i = 0; i < value.size(); ++i) json_to_value(j[i], value[i], at.item(i));
  } else if constexpr (JsonShape<T>::kind == 4) {
    if (!j.is_object()) throw at.expected("an object", j);
    value.clear();
    for (const auto& [name, item] : j.items()) json_to_value(item, value[name], at.key(name));
  } else {
    static_assert(Visited<T>, "this type has no visit() and no JSON form");
    if (!j.is_object()) throw at.expected(concat("an object (", type_spelling<T>(), ")"), j);
    std::vector<std::string> names;
    T::visit(value, JsonFieldReader<T>{j, at, names});
    for (const auto& [name, item] : j.items())
      if (std::find(names.begin(), names.end(), name) == names.end())
        throw at.key(name).error("json.unknown_key", concat("unknown key ", in_quotes(name), " of ", type_spelling<T>(),
                                                            did_you_mean(name, names)));
  }
}

}  // namespace detail

/// Throws Error (numeric) for a number that is not finite: JSON has no way to write it.
template <class T>
Json json_from(const T& value) {
  if constexpr (std::same_as<T, Json>) {
    return value;
  } else if constexpr (std::floating_point<T>) {
    if (!std::isfinite(value)) fail(ErrorKind::numeric, "json.number", "JSON cannot hold the number ", value);
    return detail::shortest_double(value);
  } else if constexpr (std::is_arithmetic_v<T> || std::same_as<T, std::string>) {
    return value;
  } else if constexpr (std::is_enum_v<T>) {
    if (enum_name(value).empty())
      fail(ErrorKind::config, "json.enum", detail::type_spelling<T>(), ": ", static_cast<long long>(value),
           " has no name");
    return std::string(enum_name(value));
  } else if constexpr (detail::JsonShape<T>::kind == 1) {
    return value ? json_from(*value) : Json();
  } else if constexpr (detail::JsonShape<T>::kind == 2 || detail::JsonShape<T>::kind == 3) {
    Json list = Json::array();
    for (const typename T::value_type& item : value) list.push_back(json_from(item));
    return list;
  } else if constexpr (detail::JsonShape<T>::kind == 4) {
    Json object = Json::object();
    for (const auto& [name, item] : value) object[name] = json_from(item);
    return object;
  } else {
    static_assert(detail::Visited<const T>, "this type has no visit() and no JSON form");
    Json object = Json::object();
    T::visit(value, [&object](const char* name, const auto& field) { object[name] = json_from(field); });
    return object;
  }
}

/// Sets what `json` names and keeps the rest. `where` names the source in messages. Throws Error (config); `value` may then be
/// partly changed.
template <class T>
void json_into(const Json& json, T& value, const std::string& where = "config") {
  detail::json_to_value(json, value, detail::JsonPlace{where, {}});
}

/// One line without, several lines with indent.
template <class T>
std::string json_text(const T& value, int indent = -1) {
  return json_from(value).dump(indent);
}

template <class T>
T config_from_text(std::string_view text, const std::string& where = "config") {
  T value{};
  json_into(parse_json(text, where), value, where);
  return value;
}

template <class T>
T config_from_file(const std::filesystem::path& path) {
  T value{};
  json_into(read_json(path), value, path.string());
  return value;
}

template <class T>
void write_json(const std::filesystem::path& path, const T& value, const WriteOptions& options = {}) {
  write_text(path, json_text(value, 2) + "\n", options);
}

}  // namespace braing3n::inline BRAING3N_ABI
