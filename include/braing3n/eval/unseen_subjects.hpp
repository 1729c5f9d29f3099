// Who trained a model, and who may therefore not be scored as unseen.
//
// The training subjects of a model are those of its own run and of every model under it: a transformer's include those of its tokenizer,
// a tokenizer's those of its encoder. Two sources name them:
//   the model file   metadata "people": a JSON list of subject keys (probe/subject_key.hpp), its own subjects and those of models under it
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
  std::set<std::string> keys;  // see subject_key()
  bool known = false;          // a source names them

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

/// The subjects of the set "train".
inline TrainedSubjects trained_subjects(const Split& split) {
  TrainedSubjects trained;
  for (const auto& [subject, part] : split)
    if (part == "train") trained.keys.insert(subject_key(subject));
  trained.known = !trained.keys.empty();
  return trained;
}

/// model: a model file, or the folder of a run. Throws Error (file, format): no such model, a damaged list, a split.csv of a run that
/// cannot be read (one beside a single file may be anything).
inline TrainedSubjects trained_subjects(const std::filesystem::path& model) {
  TrainedSubjects trained;
  const ModelFile file(model_path(model), false);
  if (const auto found = file.info().extra.find("people"); found != file.info().extra.end()) {
    std::vector<std::string> keys;
    json_into(parse_json(found->second, file.path()), keys, file.path() + ": people");
    trained.keys.insert(keys.begin(), keys.end());
    trained.known = true;
  }
  std::error_code ignored;
  const bool folder = std::filesystem::is_directory(model, ignored);
  const std::filesystem::path split = model_path(model).parent_path() / "split.csv";
  if (!std::filesystem::exists(split, ignored)) return trained;
  try {
    trained.add(trained_subjects(read_split(split)));
  } catch (const Error&) {
    if (folder) throw;
  }
  return trained;
}

/// For the metadata "people" of a model file.
inline std::string subject_keys_text(const TrainedSubjects& trained) {
  return Json(std::vector<std::string>(trained.keys.begin(), trained.keys.end())).dump();
}

/// One of the models behind a result. role: "model", "tokenizer": its name in messages.
struct ModelBehind {
  std::string role;
  std::filesystem::path path;
};

/// Subjects that trained one of the models are not unseen. Returns sentences about what cannot be checked. Throws Error (argument) that
/// names the subjects, and what trained_subjects() throws.
inline std::vector<std::string> require_unseen(std::span<const ModelBehind> models,
                                               const std::set<std::string>& subjects) {
  std::string silent;
  std::vector<std::string> sentences;
  for (const ModelBehind& m : models) {
    const TrainedSubjects trained = trained_subjects(m.path);
    if (!trained.known) {
      silent += (silent.empty() ? "" : ", ") + m.path.string();
      continue;
    }
    std::vector<std::string> seen, alike;
    for (const std::string& s : subjects) {
      if (trained.contains(s)) seen.push_back(s);
      else if (trained.contains_alike(s)) alike.push_back(s);
    }
    if (!seen.empty())
      throw Error(ErrorKind::argument, "evaluate.unseen",
                  concat(seen.size(), " of the subjects that should be unseen trained the ", m.role, ": ",
                         detail::some_of(seen)),
                  m.path.string());
    if (!alike.empty())
      sentences.push_back(
          concat(m.path.string(), ": ", alike.size(), " of the subjects that should be unseen trained the ", m.role,
                 " if subjects with and without \"sub-\", capitals, leading zeros or an ending after _ are "
                 "the same: ",
                 detail::some_of(alike)));
  }
  if (!silent.empty())
    sentences.push_back(
        concat("the training subjects of ", silent,
               " are unknown (no list in the file, no split.csv beside it): whether these subjects are unseen is not "
               "checked"));
  return sentences;
}

/// The same for rows of a manifest.
inline std::vector<std::string> require_unseen(std::span<const ModelBehind> models, const std::vector<Index>& rows,
                                               const Manifest& manifest) {
  std::set<std::string> subjects;
  for (const Index i : rows) subjects.insert(manifest.scans[static_cast<std::size_t>(i)].subject_id);
  return require_unseen(models, subjects);
}

/// The subjects that should have trained a model, and are not among its training subjects; empty where these are unknown.
inline std::vector<std::string> subjects_not_trained(const std::filesystem::path& model,
                                                     const std::set<std::string>& subjects) {
  const TrainedSubjects trained = trained_subjects(model);
  std::vector<std::string> strangers;
  if (trained.known)
    for (const std::string& s : subjects)
      if (!trained.contains(s)) strangers.push_back(s);
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
