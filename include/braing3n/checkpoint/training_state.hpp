// Everything a training run needs to go on bit for bit, in one checksummed file that is replaced as a whole.
//
// Tensors in the library's own layout under group names ("weights/...", "ema/...", "moment1/...", "moment2/..."), counters,
// the config as JSON and a hash of the data manifest. Saving keeps the state before as NAME.previous; at every moment at
// least one of the two is whole. A file under NAME that is no readable state is moved to NAME.damaged, never overwritten.
#pragma once

#include <concepts>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/base/text.hpp"
#include "braing3n/checkpoint/model_file.hpp"
#include "braing3n/format/json_differences.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Where a run stands. Random numbers are a function of (seed, purpose, step, sample id), so these counters are their state.
struct TrainingProgress {
  std::uint64_t seed = 0;
  Index step = 0;              // optimiser steps done
  Index epoch = 0;             // passes over the data begun before this one
  Index data_position = 0;     // samples taken in this pass
  Index samples = 0;           // samples taken in all
  std::optional<double> best;  // best validation loss so far

  static void visit(auto& self, auto&& v) {
    v("seed", self.seed);
    v("step", self.step);
    v("epoch", self.epoch);
    v("data_position", self.data_position);
    v("samples", self.samples);
    v("best", self.best);
  }
};

struct TrainingInfo {
  std::string kind;           // which program and model: "mae3d"
  std::string config;         // JSON of everything that shapes the run
  std::string manifest_hash;  // of the list of volumes
  TrainingProgress progress;
  Metadata extra;
};

class TrainingStateFile {
 public:
  /// Reads the whole file once for its checksum. Throws Error: file, format (damaged, foreign).
  explicit TrainingStateFile(const std::filesystem::path& path, bool verify = true) : file_(path) {
    detail::require_own_file(file_, "training_state");
    if (verify && !file_.verify_checksum())
      throw file_.error(ErrorKind::format, "training_state.checksum", "the training state carries no checksum");
    const Metadata& m = file_.metadata();
    std::string progress;
    detail::take_own(m, "kind", info_.kind);
    detail::take_own(m, "config", info_.config);
    detail::take_own(m, "manifest_hash", info_.manifest_hash);
    detail::take_own(m, "progress", progress);
    detail::copy_extra(m, info_.extra);
    info_.progress = config_from_text<TrainingProgress>(progress, file_.path() + ": progress");
  }

  const TrainingInfo& info() const { return info_; }
  const SafetensorsFile& file() const { return file_; }

  /// The tensors of one group with their names inside it: group("ema") holds "norm.weight" for "ema/norm.weight".
  std::vector<NamedTensor> group(const std::string& name) const {
    std::vector<NamedTensor> members;
    const std::string prefix = name + "/";
    for (const NamedTensor& t : file_.tensors())
      if (t.name.starts_with(prefix)) {
        members.push_back(t);
        members.back().name.erase(0, prefix.size());
      }
    return members;
  }

 private:
  SafetensorsFile file_;
  TrainingInfo info_;
};

/// The tensors of a group under their file names.
inline std::vector<NamedTensor> in_group(const std::string& group, std::vector<NamedTensor> tensors) {
  for (NamedTensor& t : tensors) t.name = group + "/" + t.name;
  return tensors;
}

/// Where a file that is no readable state is moved to.
inline std::filesystem::path damaged_path(const std::filesystem::path& path) {
  std::filesystem::path damaged = path;
  damaged += ".damaged";
  return damaged;
}

/// Throws Error: environment (disk full; the old states stay), file, config.
inline void save_training_state(const std::filesystem::path& path, const TrainingInfo& info,
                                std::span<const NamedTensor> tensors) {
  (void)parse_json(info.config, "training config");
  Metadata metadata = info.extra;
  metadata[detail::own_key("format")] = std::to_string(detail::model_format);
  metadata[detail::own_key("type")] = "training_state";
  metadata[detail::own_key("kind")] = info.kind;
  metadata[detail::own_key("config")] = info.config;
  metadata[detail::own_key("manifest_hash")] = info.manifest_hash;
  metadata[detail::own_key("progress")] = json_text(info.progress);
  metadata[detail::own_key("version")] = BRAING3N_VERSION_STRING;
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored)) {
    try {
      TrainingStateFile(path, false);  // structure only: truncated and foreign files show here
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::format && e.kind() != ErrorKind::config) throw;
      if (::rename(path.c_str(), damaged_path(path).c_str()) != 0)
        detail::fail_errno(errno, "file.rename", path, "move the unreadable file away");
    }
  }
  WriteOptions options;
  options.keep_previous = true;
  write_safetensors(path, tensors, metadata, options, true);
}

struct ResumeChoice {
  std::optional<TrainingStateFile> state;  // nothing: there is no state yet, start from the beginning
  std::vector<std::string> rejected;       // why newer files were passed over
};

/// The newest whole state of `path` and its previous one. Throws Error (format) when there are files and none is whole: starting
/// again from nothing must be the user's decision.
inline ResumeChoice newest_training_state(const std::filesystem::path& path) {
  ResumeChoice choice;
  for (const std::filesystem::path& candidate : {path, previous_path(path)}) {
    std::error_code ignored;
    if (!std::filesystem::exists(candidate, ignored)) continue;
    try {
      choice.state.emplace(candidate);
      return choice;
    } catch (const Error& e) {
      choice.rejected.emplace_back(e.what());
    }
  }
  if (!choice.rejected.empty()) {
    throw Error(ErrorKind::format, "training_state.none",
                "no whole training state to resume from: " + joined(choice.rejected, "; "), path.string());
  }
  return choice;
}

/// Throws Error (config) that says everything that differs when a state belongs to another run: kind, seed, config or data.
template <std::same_as<TrainingStateFile> State = TrainingStateFile>
void require_same_run(const State& state, const TrainingInfo& here) {
  const TrainingInfo& there = state.info();
  const auto refuse = [&](const std::string& text) {
    throw Error(ErrorKind::config, "training_state.run", "the state belongs to another run: " + text,
                state.file().path());
  };
  if (there.kind != here.kind)
    refuse(concat("kind ", in_quotes(there.kind, 60), " there, ", in_quotes(here.kind, 60), " here"));
  std::vector<std::string> differences;
  if (there.progress.seed != here.progress.seed)
    differences.push_back(concat("seed ", there.progress.seed, " there, ", here.progress.seed, " here"));
  std::vector<std::string> settings;
  detail::collect_differences(parse_json(there.config, state.file().path()), parse_json(here.config, "config"), {},
                              settings);
  constexpr std::size_t most = 8;
  if (!settings.empty()) {
    std::string list;
    for (std::size_t i = 0; i < std::min(most, settings.size()); ++i) list += (i > 0 ? ", " : "") + settings[i];
    differences.push_back(
        concat("config differs at ", list,
               settings.size() > most ? concat(" and ", settings.size() - most, " more") : std::string()));
  }
  if (there.manifest_hash != here.manifest_hash)
    differences.push_back(
        concat("data manifest ", in_quotes(there.manifest_hash, 80), " there, ", in_quotes(here.manifest_hash, 80),
               " here", there.progress.seed != here.progress.seed ? " (a split that is drawn follows the seed)" : ""));
  const auto before = there.extra.find("scan_files"),
             now = here.extra.find("scan_files");  // states of older versions do not say
  if (there.manifest_hash == here.manifest_hash && before != there.extra.end() && now != here.extra.end() &&
      before->second != now->second)
    differences.push_back("the files of scans have other sizes than when the training began: they were made again");
  if (differences.empty()) return;
  std::string all;
  for (const std::string& d : differences) all += (all.empty() ? "" : "; ") + d;
  refuse(all);
}

}  // namespace braing3n::inline BRAING3N_ABI
