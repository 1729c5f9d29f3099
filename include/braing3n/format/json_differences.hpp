// Where two JSON values differ, in words.
#pragma once

#include <concepts>
#include <string>
#include <vector>

#include "braing3n/format/json_text.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// "encoder.depth (12 there, 8 here)" for every place where two JSON values differ.
template <std::same_as<Json> J>
void collect_differences(const J& there, const J& here, const std::string& at, std::vector<std::string>& found) {
  if (there.is_object() && here.is_object()) {
    for (const auto& [key, value] : there.items()) {
      const std::string place = at.empty() ? key : at + "." + key;
      if (const auto other = here.find(key); other == here.end())
        found.push_back(concat(place, " (", value.dump(), " there, nothing here)"));
      else collect_differences(value, *other, place, found);
    }
    for (const auto& [key, value] : here.items())
      if (!there.contains(key))
        found.push_back(concat(at.empty() ? key : at + "." + key, " (nothing there, ", value.dump(), " here)"));
  } else if (there != here) {
    found.push_back(concat(at.empty() ? "the value" : at, " (", there.dump(), " there, ", here.dump(), " here)"));
  }
}

/// The first of them, empty when the two are equal.
template <std::same_as<Json> J>
std::string first_difference(const J& there, const J& here) {
  std::vector<std::string> found;
  collect_differences(there, here, {}, found);
  return found.empty() ? std::string() : found.front();
}

}  // namespace detail

}  // namespace braing3n::inline BRAING3N_ABI
