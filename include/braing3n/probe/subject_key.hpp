// A person in a file without the person's identifier.
#pragma once

#include <string>
#include <string_view>

#include "braing3n/format/sha256.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Sixteen digits in place of a subject's identifier, to tell the same person again. Not a secret: who has a list of identifiers can find them.
inline std::string subject_key(std::string_view subject) { return sha256_hex(subject).substr(0, 16); }

}  // namespace braing3n::inline BRAING3N_ABI
