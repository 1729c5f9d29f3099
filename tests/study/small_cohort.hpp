// Twenty-four subjects with one small scan each, and untrained models for them: what a study needs, on the disk.
#pragma once

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>
#include <vector>

#include "braing3n/checkpoint/saved_dit.hpp"
#include "braing3n/nn/initialize.hpp"
#include "braing3n/study/cohort.hpp"
#include "braing3n/volume/nifti/write.hpp"
#include "tests/support/saved_dit.hpp"
#include "tests/support/saved_tokenizer.hpp"
#include "tests/support/scratch_folder.hpp"

namespace braing3n::test {

/// Remembers what it is told.
struct RecordingObserver : study::Observer {
  std::vector<std::string> titles, notes, warnings, events;
  Index total = 0, units = 0;
  int open = 0, interrupt_after = -1;  // interrupt_after: questions until it throws; -1: never

  struct Interrupt {};
  void begin(const std::string& title, Index n) override { titles.push_back(title), total += n, ++open; }
  void advance(Index n, const std::string&) override { units += n; }
  void end() override { --open; }
  void check_interrupt() override {
    if (interrupt_after >= 0 && interrupt_after-- == 0) throw Interrupt{};
  }
  void note(const std::string& sentence) override { notes.push_back(sentence); }
  void warning(const std::string& sentence) override { warnings.push_back(sentence); }
  void event(const std::string& name, const Json&) override { events.push_back(name); }
};

/// People p01 to p24: twelve train, four validate, eight test. Heads are ellipsoids of grey and white matter with ventricles, larger for
/// M than for F; volumes.csv has age and sex, truth.csv the volumes of the parts.
struct SmallCohort {
  ScratchFolder scratch;
  Context<Cpu> ctx{{.threads = 2}};
  std::filesystem::path folder = scratch.path, tokenizer = saved_tokenizer(ctx, folder),
                        dit = folder / "dit.safetensors";
  study::CohortOptions cohort{(folder / "volumes.csv").string(), (folder / "split.csv").string(), {}, {}};
  std::string truth = (folder / "truth.csv").string();

  SmallCohort() {
    std::ofstream table(cohort.data), split(cohort.split), parts(truth);
    table << "volume_id,subject_id,path,age,sex\n";
    split << "subject_id,split\n";
    parts << "volume_id,brain_ml,grey_matter_ml,white_matter_ml,ventricles_ml\n";
    for (int p = 1; p <= 24; ++p) {
      const std::string id = (p < 10 ? "p0" : "p") + std::to_string(p);
      table << id << ',' << id << ',' << id << ".nii.gz," << 20 + 2 * p << ',' << (p % 2 == 0 ? 'F' : 'M') << '\n';
      split << id << ',' << (p <= 12 ? "train" : p <= 16 ? "validation" : "test") << '\n';
      parts << id;
      for (const double ml : write_head(folder / (id + ".nii.gz"), p)) parts << ',' << ml;
      parts << '\n';
    }
    save_transformer(load_tokenizer<F32>(ctx, tokenizer).hash);
  }

  /// Puts the record of a phantom cohort beside the tables.
  void call_phantoms() const {
    write_text(folder / "cohort.json", R"({"kind": "SYNTHETIC braing3n phantom cohort", "distribution": "phantom-2"})");
  }

 private:
  /// Returns the volumes of brain, grey matter, white matter and ventricles in ml.
  std::vector<double> write_head(const std::filesystem::path& path, int p) {
    Volume v(Grid{{16, 24, 16}, scaling({3, 3, 3})});
    std::fill(v.data(), v.data() + v.size(), 0.0f);
    const double size = (p % 2 == 0 ? 0.86 : 0.96) - 0.004 * (p % 5), ventricles = 0.2 + 0.012 * (p % 7);
    std::vector<double> ml(4, 0.0);
    for (Index x = 0, i = 0; x < 16; ++x)
      for (Index y = 0; y < 24; ++y)
        for (Index z = 0; z < 16; ++z, ++i) {
          const double r = std::hypot(static_cast<double>(x) / 7.5 - 1, static_cast<double>(y) / 11.5 - 1,
                                      static_cast<double>(z) / 7.5 - 1) /
                           size;
          if (r >= 1) continue;
          const std::size_t part = r < ventricles ? 3 : r < 0.75 ? 2 : 1;
          const float texture = static_cast<float>((i * 37 + p * 101) % 97) / 97.0f;
          v.data()[i] = (part == 3 ? 20.0f : part == 2 ? 100.0f : 60.0f) + 4 * texture;
          ml[part] += 0.027, ml[0] += part == 3 ? 0 : 0.027;
        }
    write_nifti(ctx, path, v);
    return ml;
  }

  void save_transformer(const std::string& hash) {
    save_small_dit(ctx, dit, hash, {std::vector<double>(5, 0.0), std::vector<double>(5, 1.0)});
  }
};

}  // namespace braing3n::test
