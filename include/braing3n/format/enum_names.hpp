// The names of the enumerators of a small `enum class`, as written in the source, so that config files can spell them.
//
// The compiler knows them: __PRETTY_FUNCTION__ of a function template with the value as argument contains the name when there
// is an enumerator of that value and a cast or a number when there is none. Values 0 to 63.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "braing3n/base/config.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

template <auto Value>
constexpr std::string_view value_spelling() {
  std::string_view text = __PRETTY_FUNCTION__;
  const std::size_t begin = text.find("Value = ");
  text.remove_prefix(begin + 8);
  text = text.substr(0, text.find_first_of(";]"));
  // A value without a name is spelled as a cast, "(Kind)5"; an unnamed namespace has brackets too, but before the last colon.
  const std::string_view last = text.substr(text.rfind(':') + 1);
  const bool is_name = last.find(')') == std::string_view::npos && (last[0] < '0' || last[0] > '9') && last[0] != '-';
  return is_name ? last : std::string_view{};
}

template <class E>
constexpr auto enumerator_table() {
  return []<std::size_t... I>(std::index_sequence<I...>) {
    return std::array<std::string_view, sizeof...(I)>{value_spelling<static_cast<E>(I)>()...};
  }(std::make_index_sequence<64>{});
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
  constexpr auto table = detail::enumerator_table<E>();
  const auto i = static_cast<std::size_t>(value);
  return i < table.size() ? table[i] : std::string_view{};
}

template <class E>
  requires std::is_enum_v<E>
constexpr std::optional<E> enum_from_name(std::string_view name) {
  constexpr auto table = detail::enumerator_table<E>();
  for (std::size_t i = 0; i < table.size(); ++i)
    if (!name.empty() && table[i] == name) return static_cast<E>(i);
  return std::nullopt;
}

template <class E>
  requires std::is_enum_v<E>
std::vector<std::string> enum_names() {
  std::vector<std::string> names;
  for (const std::string_view name : detail::enumerator_table<E>())
    if (!name.empty()) names.emplace_back(name);
  return names;
}

}  // namespace braing3n::inline BRAING3N_ABI
