// What a program writes, held against what it reads before anything is written: no result may replace an input, no two results may
// have one name, and a name must end in a format that can be written.
#pragma once

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "braing3n/format/mapped_file.hpp"
#include "braing3n/format/text.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// The path with links resolved as far as it exists, without "." and "..".
inline std::filesystem::path resolved_path(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::path whole =
      std::filesystem::weakly_canonical(std::filesystem::absolute(link_target(path), error), error);
  return error || whole.empty() ? path.lexically_normal() : whole;
}

class OutputGuard {
 public:
  /// A file, or a folder, that is read. Empty paths are passed over.
  void input(const std::filesystem::path& path) {
    if (path.empty()) return;
    inputs_.emplace(resolved_path(path).string(), path.string());
    if (const auto id = identity(path)) identities_.emplace(*id, path.string());
  }
  /// Throws Error (argument) when `path` is an input by any of its names (links among them), or an output that was named before. Empty paths
  /// are passed over: this result is not asked for. Name the inputs first.
  void output(const std::filesystem::path& path) {
    if (path.empty()) return;
    if (path == "-")
      throw Error(ErrorKind::argument, "output.name",
                  "expected the name of a file, got -: results have no standard output", path.string());
    struct stat status{};
    if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode))
      return;  // a pipe, /dev/null
    const std::string whole = resolved_path(path).string();
    const auto refuse = [&](const std::string& input) {
      throw Error(
          ErrorKind::argument, "output.input",
          concat("would be replaced by a result, but is an input",
                 input == path.string() ? std::string() : " (" + input + ")", "; choose another name for the result"),
          path.string());
    };
    if (const auto found = inputs_.find(whole); found != inputs_.end()) refuse(found->second);
    if (const auto id = identity(path))
      if (const auto found = identities_.find(*id); found != identities_.end()) refuse(found->second);
    if (const auto [place, fresh] = outputs_.emplace(whole, path.string()); !fresh)
      throw Error(ErrorKind::argument, "output.twice", "two results would have this name; expected one name each",
                  path.string());
  }

 private:
  using Identity = std::pair<dev_t, ino_t>;
  static std::optional<Identity> identity(const std::filesystem::path& path) {
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0) return std::nullopt;
    return Identity{status.st_dev, status.st_ino};
  }

  std::map<std::string, std::string> inputs_, outputs_;  // resolved path -> as given
  std::map<Identity, std::string> identities_;
};

/// Throws Error (argument) when one of `inputs` lies in a part of `folder` that is about to be removed.
inline void require_kept(const std::filesystem::path& folder, std::initializer_list<const char*> removed,
                         std::initializer_list<std::filesystem::path> inputs) {
  for (const auto& input : inputs)
    for (const char* name : removed) {
      if (input.empty()) continue;
      const std::string part = resolved_path(folder / name).string(), whole = resolved_path(input).string();
      if (whole == part || whole.starts_with(part + "/"))
        throw Error(ErrorKind::argument, "output.input",
                    concat("is an input, but lies in ", part,
                           ", which would be made anew; choose another folder for the results"),
                    input.string());
    }
}

/// The ending of a name in small letters, ".csv" of "A.CSV"; ".nii.gz" and its like as a whole.
inline std::string file_ending(const std::filesystem::path& path) {
  const std::string last = lower_case(path.extension().string());
  return last == ".gz" ? lower_case(path.stem().extension().string()) + last : last;
}

/// The ending of an output, which must be one of `known` ("": a name without one). Devices and pipes may have any name.
/// Throws Error (argument) that names the endings.
inline std::string require_ending(const std::filesystem::path& path, std::initializer_list<std::string_view> known) {
  const std::string ending = file_ending(path);
  struct stat status{};
  if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) return ending;
  if (std::find(known.begin(), known.end(), ending) != known.end()) return ending;
  std::string list;
  for (const std::string_view k : known)
    if (!k.empty()) list += concat(list.empty() ? "" : ", ", k);
  throw Error(ErrorKind::argument, "output.ending",
              concat("cannot be written as ", ending.empty() ? std::string("a name without an ending") : ending,
                     "; expected a name in ", list),
              path.string());
}

/// An identifier as part of a file name: slashes and control characters become '_', a leading '.' too, so that no identifier leaves its
/// folder or hides. Two identifiers may become one; OutputGuard says so.
inline std::string file_name_part(std::string_view id) {
  std::string plain;
  for (const char c : id) {
    const auto u = static_cast<unsigned char>(c);
    plain += c == '/' || c == '\\' || u < 0x20 || u == 0x7f || (c == '.' && plain.empty()) ? '_' : c;
  }
  return plain;
}

}  // namespace braing3n::inline BRAING3N_ABI
