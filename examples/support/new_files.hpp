// Results that exist already: refused before anything is computed, with the option that replaces them.
#pragma once

#include <filesystem>

#include "examples/support/program.hpp"

namespace braing3n::examples {

/// Throws Error (file) when `path` exists and may not be replaced.
inline void require_new(const std::filesystem::path& path, const CommonOptions& common,
                        const char* id = "file.exists") {
  if (!common.force && std::filesystem::exists(path))
    throw Error(ErrorKind::file, id, "exists already; --force replaces it", path.string());
}

}  // namespace braing3n::examples
