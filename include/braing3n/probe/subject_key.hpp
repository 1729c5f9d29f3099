// A person in a file without the person's identifier.
#pragma once

#include <algorithm>
#include <cctype>
#include <set>
#include <string>
#include <string_view>

#include "braing3n/format/sha256.hpp"
#include "braing3n/format/text.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Sixteen digits in place of a subject's identifier, to tell the same person again. Not a secret: who has a list of identifiers can find them.
inline std::string subject_key(std::string_view subject) { return sha256_hex(subject).substr(0, 16); }

/// Other identifiers that are often the same person: with and without "sub-" and what follows the first '_', in other capitals, the number
/// at the end with more or fewer leading zeros. A key shows nothing of its identifier, so that each spelling has to be tried.
inline std::set<std::string> other_spellings(const std::string& subject) {
  std::set<std::string> out;
  for (const std::string& part : {subject, subject.substr(0, subject.find('_', 1))}) {
    const std::string core = lower_case(part.substr(0, 4)) == "sub-" ? part.substr(4) : part;
    std::size_t digits = core.size();
    while (digits > 0 && std::isdigit(static_cast<unsigned char>(core[digits - 1])) != 0) --digits;
    std::string number = core.substr(digits), name = core.substr(0, digits), capitals = name;
    number.erase(0, std::min(number.find_first_not_of('0'), number.empty() ? 0 : number.size() - 1));
    for (char& c : capitals) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    for (const std::string& prefix : {std::string(), std::string("sub-"), std::string("SUB-")})
      for (const std::string& spelt : {name, lower_case(name), capitals})
        for (std::size_t zeros = 0; zeros == 0 || (!number.empty() && number.size() + zeros <= 8); ++zeros)
          if (!spelt.empty() || !number.empty()) out.insert(prefix + spelt + std::string(zeros, '0') + number);
  }
  out.erase(subject);
  return out;
}

}  // namespace braing3n::inline BRAING3N_ABI
