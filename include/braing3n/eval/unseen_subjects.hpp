// Who trained a model, and who may therefore not be scored as unseen.
//
// A model knows the people of its own training and of every model under it: a transformer those of its tokenizer, a tokenizer those of
// its encoder. Two sources say who they are:
//   the model file   metadata "people": a JSON list of subject keys (probe/subject_key.hpp), its own people and those of models under it
//   split.csv        in the same folder: the set "train"; files written before there were keys have only this
#pragma once

#include <algorithm>
#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "braing3n/checkpoint/saved_model.hpp"
#include "braing3n/data/split.hpp"
#include "braing3n/probe/subject_key.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct TrainedSubjects {
  std::set<std::string> keys;  // of people, see subject_key()
  bool known = false;          // a source says who they are

  bool contains(const std::string& subject) const { return keys.contains(subject_key(subject)); }
  /// Under another spelling of the identifier.
  bool contains_alike(const std::string& subject) const {
    const std::set<std::string> others = other_spellings(subject);
    return std::any_of(others.begin(), others.end(), [&](const std::string& other) { return contains(other); });
  }
  void add(const TrainedSubjects& other) {
    keys.insert(other.keys.begin(), other.keys.end());
    known = known || other.known;
  }
};

/// The people of the set "train".
inline TrainedSubjects trained_subjects(const Split& split) {
  TrainedSubjects people;
  for (const auto& [subject, part] : split)
    if (part == "train") people.keys.insert(subject_key(subject));
  people.known = !people.keys.empty();
  return people;
}

/// model: a model file, or the folder of a training. Throws Error (file, format): no such model, a damaged list, a split.csv of a
/// training that cannot be read (one beside a single file may be anything).
inline TrainedSubjects trained_subjects(const std::filesystem::path& model) {
  TrainedSubjects people;
  const ModelFile file(model_path(model), false);
  if (const auto found = file.info().extra.find("people"); found != file.info().extra.end()) {
    std::vector<std::string> keys;
    json_into(parse_json(found->second, file.path()), keys, file.path() + ": people");
    people.keys.insert(keys.begin(), keys.end());
    people.known = true;
  }
  std::error_code ignored;
  const bool folder = std::filesystem::is_directory(model, ignored);
  const std::filesystem::path split = model_path(model).parent_path() / "split.csv";
  if (!std::filesystem::exists(split, ignored)) return people;
  try {
    people.add(trained_subjects(read_split(split)));
  } catch (const Error&) {
    if (folder) throw;
  }
  return people;
}

/// For the metadata "people" of a model file.
inline std::string people_text(const TrainedSubjects& people) {
  return Json(std::vector<std::string>(people.keys.begin(), people.keys.end())).dump();
}

/// One of the models behind a result. role: "model", "tokenizer": how sentences call it.
struct ModelBehind {
  std::string role;
  std::filesystem::path path;
};

/// Nobody who trained one of the models counts as unseen. Returns sentences about what cannot be known. Throws Error (argument) that
/// names the people, and what trained_subjects() throws.
inline std::vector<std::string> require_unseen(std::span<const ModelBehind> models,
                                               const std::set<std::string>& subjects) {
  std::string silent;
  std::vector<std::string> sentences;
  for (const ModelBehind& m : models) {
    const TrainedSubjects people = trained_subjects(m.path);
    if (!people.known) {
      silent += (silent.empty() ? "" : ", ") + m.path.string();
      continue;
    }
    std::vector<std::string> seen, alike;
    for (const std::string& s : subjects) {
      if (people.contains(s)) seen.push_back(s);
      else if (people.contains_alike(s)) alike.push_back(s);
    }
    if (!seen.empty())
      throw Error(
          ErrorKind::argument, "evaluate.unseen",
          concat(seen.size(), " of the people that should be unseen trained the ", m.role, ": ", detail::some_of(seen)),
          m.path.string());
    if (!alike.empty())
      sentences.push_back(
          concat(m.path.string(), ": ", alike.size(), " of the people that should be unseen trained the ", m.role,
                 " if subjects with and without \"sub-\", capitals, leading zeros or an ending after _ are "
                 "the same: ",
                 detail::some_of(alike)));
  }
  if (!silent.empty())
    sentences.push_back(concat("nothing says who trained ", silent,
                               " (no list in the file, no split.csv beside it): are these people really unseen?"));
  return sentences;
}

/// The same for rows of a manifest.
inline std::vector<std::string> require_unseen(std::span<const ModelBehind> models, const std::vector<Index>& rows,
                                               const Manifest& manifest) {
  std::set<std::string> subjects;
  for (const Index i : rows) subjects.insert(manifest.scans[static_cast<std::size_t>(i)].subject_id);
  return require_unseen(models, subjects);
}

/// The people that should have trained a model, and did not by what it says of itself; empty where nothing is known.
inline std::vector<std::string> people_not_trained(const std::filesystem::path& model,
                                                   const std::set<std::string>& subjects) {
  const TrainedSubjects people = trained_subjects(model);
  std::vector<std::string> strangers;
  if (people.known)
    for (const std::string& s : subjects)
      if (!people.contains(s)) strangers.push_back(s);
  return strangers;
}

/// Those of the set "validation" who trained a model under the one that is trained now: its validation loss is then too good.
inline std::vector<std::string> validation_subjects_seen(const TrainedSubjects& under, const Split& split) {
  std::vector<std::string> seen;
  for (const auto& [subject, part] : split)
    if (part == "validation" && under.contains(subject)) seen.push_back(subject);
  return seen;
}

}  // namespace braing3n::inline BRAING3N_ABI
