// The names of the enumerators of a small `enum class`, so that files, options and messages spell them.
//
// Without more, a name is the one in the source. The compiler knows it: __PRETTY_FUNCTION__ of a function template with the value
// as argument contains the name when there is an enumerator of that value and a cast or a number when there is none. Values 0 to
// 63. An enum whose names are no identifiers ("zscore-nonzero"), or that people spell in several ways, specialises EnumText.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "braing3n/base/text.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Another spelling of the enumerator with the value `index`, in lower case.
struct EnumAlias {
  std::string_view text;
  std::size_t index;
};

/// Specialisations give `names`, an array in the order of the enumerators (0, 1, ...), and may give `aliases`, an array of EnumAlias.
template <class E>
struct EnumText {};

namespace detail {

template <auto Value>
constexpr std::string_view value_signature() {
  return __PRETTY_FUNCTION__;
}

/// The name between `begin` characters and `rest` characters of a signature.
constexpr std::string_view name_in_signature(std::string_view text, std::size_t begin, std::size_t rest) {
  text = text.substr(begin, text.size() - begin - rest);
  // A value without a name is spelled as a cast, "(Kind)5"; an unnamed namespace has brackets too, but before the last colon.
  const std::string_view last = text.substr(text.rfind(':') + 1);
  const bool is_name = last.find(')') == std::string_view::npos && (last[0] < '0' || last[0] > '9') && last[0] != '-';
  return is_name ? last : std::string_view{};
}

template <class E>
constexpr auto enumerator_table() {
  if constexpr (requires { EnumText<E>::names; }) {
    return EnumText<E>::names;
  } else {
    return []<std::size_t... I>(std::index_sequence<I...>) {
      // Signatures differ in the value alone: where it stands is searched once.
      constexpr std::string_view first = value_signature<static_cast<E>(0)>();
      constexpr std::size_t begin = first.find("Value = ") + 8, rest = first.size() - first.find_first_of(";]", begin);
      return std::array<std::string_view, sizeof...(I)>{
          name_in_signature(value_signature<static_cast<E>(I)>(), begin, rest)...};
    }(std::make_index_sequence<64>{});
  }
}

/// Made once per enum: the compiler takes as long for a table as for a small header.
template <class E>
inline constexpr auto enumerator_names = enumerator_table<E>();

/// The place of a name, names.size() where it is none of them.
constexpr std::size_t place_of_name(std::span<const std::string_view> names, std::string_view name) {
  std::size_t i = 0;
  while (i < names.size() && (name.empty() || names[i] != name)) ++i;
  return i;
}

inline std::vector<std::string> list_of_names(std::span<const std::string_view> table) {
  std::vector<std::string> names;
  for (const std::string_view name : table)
    if (!name.empty()) names.emplace_back(name);
  return names;
}

/// The last part of a type's name, without template arguments.
template <class T>
constexpr std::string_view type_spelling() {
  std::string_view text = __PRETTY_FUNCTION__;
  text.remove_prefix(text.find("T = ") + 4);
  text = text.substr(0, text.find_first_of(";]<"));
  return text.substr(text.rfind(':') + 1);
}

}  // namespace detail

/// "sincos" for PositionKind::sincos; empty when the value has no name.
template <class E>
  requires std::is_enum_v<E>
constexpr std::string_view enum_name(E value) {
  constexpr auto& table = detail::enumerator_names<E>;
  const auto i = static_cast<std::size_t>(value);
  return i < table.size() ? table[i] : std::string_view{};
}

template <class E>
  requires std::is_enum_v<E>
constexpr std::optional<E> enum_from_name(std::string_view name) {
  const std::size_t i = detail::place_of_name(detail::enumerator_names<E>, name);
  if (i < detail::enumerator_names<E>.size()) return static_cast<E>(i);
  return std::nullopt;
}

template <class E>
  requires std::is_enum_v<E>
std::vector<std::string> enum_names() {
  return detail::list_of_names(detail::enumerator_names<E>);
}

/// "expected one of a, b, c"
template <class E>
  requires std::is_enum_v<E>
std::string expected_names() {
  return "expected one of " + joined(enum_names<E>());
}

/// A name in any case, or an alias; none for other text.
template <class E>
  requires std::is_enum_v<E>
std::optional<E> find_enum(std::string_view text) {
  const std::string lower = lower_case(text);
  constexpr auto& table = detail::enumerator_names<E>;
  for (std::size_t i = 0; i < table.size(); ++i)
    if (!lower.empty() && lower_case(table[i]) == lower) return static_cast<E>(i);
  if constexpr (requires { EnumText<E>::aliases; })
    for (const EnumAlias& alias : EnumText<E>::aliases)
      if (alias.text == lower) return static_cast<E>(alias.index);
  return std::nullopt;
}

/// As find_enum. `what` begins the message: "modality". Throws Error (argument) that lists the names.
template <class E>
  requires std::is_enum_v<E>
E parse_enum(std::string_view what, std::string_view text) {
  if (const auto value = find_enum<E>(text)) return *value;
  fail(ErrorKind::argument, "enum.name", what, ": ", expected_names<E>(), ", got ", in_quotes(text, 60));
}

}  // namespace braing3n::inline BRAING3N_ABI
