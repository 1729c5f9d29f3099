// The training subjects of a model, for its file.
#pragma once

#include <iostream>
#include <string>
#include <vector>

#include "braing3n/eval/unseen_subjects.hpp"

namespace braing3n::examples {

/// The metadata "people" of a model file: the training subjects of its run and of the model under it. Warns where validation subjects
/// trained the model under it.
inline std::string trained_subjects_text(const std::string& program, const Split& split, const TrainedSubjects& under) {
  TrainedSubjects trained = trained_subjects(split);
  trained.add(under);
  if (const std::vector<std::string> seen = validation_subjects_seen(under, split); !seen.empty())
    std::cerr << program << ": warning: " << seen.size()
              << " of the validation subjects trained the model under this one, the validation loss is too good: "
              << braing3n::detail::some_of(seen) << '\n';
  return subject_keys_text(trained);
}

}  // namespace braing3n::examples
