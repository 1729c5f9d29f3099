// Who may be called unseen.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "braing3n/data/split.hpp"

namespace braing3n::examples {

/// Nobody who trained the model counts as unseen: the folder of a training says who did (a model file alone says nothing). Throws Error
/// (argument) that names the people.
inline void require_unseen(const std::string& model, const std::vector<Index>& test, const Manifest& manifest) {
  std::error_code ignored;
  const std::filesystem::path path = std::filesystem::path(model) / "split.csv";
  if (!std::filesystem::is_directory(model, ignored) || !std::filesystem::exists(path, ignored)) return;
  const Split split = read_split(path);
  std::set<std::string> seen;
  for (const Index i : test) {
    const std::string& subject = manifest.scans[static_cast<std::size_t>(i)].subject_id;
    if (const auto found = split.find(subject); found != split.end() && found->second == "train") seen.insert(subject);
  }
  if (!seen.empty())
    throw Error(ErrorKind::argument, "evaluate.unseen",
                concat(seen.size(),
                       " of the people that should be unseen trained the model: ", braing3n::detail::some_of({seen.begin(), seen.end()})),
                path.string());
}

}  // namespace braing3n::examples
