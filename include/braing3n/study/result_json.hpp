// Results of studies as JSON. As json_from(), with two differences: a number that is not finite (nothing could be measured) becomes null,
// and a list of named values becomes an object that keeps its order.
#pragma once

#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/format/json.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

/// Values by name, in the order of insertion.
template <class T>
using Named = std::vector<std::pair<std::string, T>>;

/// The JSON form of a visited result.
template <class T>
Json result_json(const T& value);

template <class T>
struct ResultJson {
  static Json of(const T& value) {
    if constexpr (std::floating_point<T>) {
      return std::isfinite(value) ? json_from(value) : Json();
    } else if constexpr (braing3n::detail::Visited<const T>) {
      Json object = Json::object();
      T::visit(value, [&object](const char* name, const auto& field) { object[name] = result_json(field); });
      return object;
    } else {
      return json_from(value);
    }
  }
};
template <class T>
struct ResultJson<std::optional<T>> {
  static Json of(const std::optional<T>& value) { return value ? result_json(*value) : Json(); }
};
template <class T>
struct ResultJson<std::vector<T>> {
  static Json of(const std::vector<T>& values) {
    Json list = Json::array();
    for (const T& v : values) list.push_back(result_json(v));
    return list;
  }
};
template <class T>
struct ResultJson<Named<T>> {
  static Json of(const Named<T>& values) {
    Json object = Json::object();
    for (const auto& [name, value] : values) object[name] = result_json(value);
    return object;
  }
};

template <class T>
Json result_json(const T& value) {
  return ResultJson<T>::of(value);
}

}  // namespace braing3n::inline BRAING3N_ABI::study
