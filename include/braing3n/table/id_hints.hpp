// Why the identifiers of two tables do not meet: a prefix, leading zeros, capitals, a table of scans beside one of subjects.
//
// Nothing here pairs anything. "sub-01" and "1" are often one person and sometimes two, and only the user knows.
#pragma once

#include <algorithm>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "braing3n/format/csv.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

enum class IdForm { letters, plain, stem, digits };

/// An identifier without capitals (letters); also without a prefix, separators, leading zeros and ".0" (plain); of that only what comes
/// before the session or modality (stem); only its digits (digits).
inline std::string id_form(std::string_view id, IdForm form) {
  std::string lower = lower_case(trimmed(id));
  if (form == IdForm::letters) return lower;
  if (lower.size() > 2 && lower.ends_with(".0")) lower.resize(lower.size() - 2);
  if (form == IdForm::stem) {
    const std::size_t skip = lower.starts_with("sub_") ? 4 : 0;
    const std::size_t end =
        std::min({lower.find('_', skip), lower.find('.', skip), lower.find("-ses", skip), lower.find('/', skip)});
    lower = lower.substr(0, end);
  }
  std::string_view rest = lower;
  if (form != IdForm::digits)
    for (const std::string_view prefix : {"subject", "participant", "patient", "subj", "sub", "id"})
      if (rest.starts_with(prefix) && rest.size() > prefix.size()) {
        rest.remove_prefix(prefix.size());
        break;
      }
  std::string out;
  bool in_number = false;
  for (std::size_t i = 0; i < rest.size(); ++i) {
    const char c = rest[i];
    const bool digit = c >= '0' && c <= '9', letter = c >= 'a' && c <= 'z';
    if (!digit && (form == IdForm::digits || (!letter && static_cast<unsigned char>(c) < 0x80))) {
      in_number = false;
      continue;
    }
    const bool more = i + 1 < rest.size() && rest[i + 1] >= '0' && rest[i + 1] <= '9';
    if (digit && c == '0' && !in_number && more) continue;
    in_number = digit;
    out += c;
  }
  return out;
}

}  // namespace detail

/// "; "sub-01" of the features and "1" of the labels would be one identifier without prefix and leading zeros (12 rows)", or nothing.
inline std::string identifier_hint(std::span<const std::string> features, std::span<const std::string> labels) {
  using detail::IdForm;
  const auto words = [](IdForm form) {
    switch (form) {
      case IdForm::letters:
        return "if capitals did not count";
      case IdForm::plain:
        return "without prefix, separators and leading zeros";
      case IdForm::stem:
        return "if only the subject counted, not the session or modality after it";
      case IdForm::digits:
        return "if only their digits counted";
    }
    return "";
  };
  for (const IdForm form : {IdForm::letters, IdForm::plain, IdForm::stem, IdForm::digits}) {
    std::map<std::string, const std::string*> known;
    for (const std::string& label : labels) known.emplace(detail::id_form(label, form), &label);
    std::size_t count = 0;
    const std::string *first = nullptr, *second = nullptr;
    for (const std::string& feature : features) {
      const std::string reduced = detail::id_form(feature, form);
      const auto found = known.find(reduced);
      if (reduced.empty() || found == known.end()) continue;
      if (count++ == 0) {
        first = &feature;
        second = found->second;
      }
    }
    if (count == 0 || (form == IdForm::digits && 2 * count < features.size())) continue;
    return concat("; ", in_quotes(*first, 60), " of the features and ", in_quotes(*second, 60),
                  " of the labels would be one identifier ", words(form), " (", count, count == 1 ? " row)" : " rows)");
  }
  return {};
}

}  // namespace braing3n::inline BRAING3N_ABI
