// Who trained a model, for its file.
#pragma once

#include <iostream>
#include <string>
#include <vector>

#include "braing3n/eval/unseen_subjects.hpp"

namespace braing3n::examples {

/// What a model file says about its people: those of its training and of the model under it. A warning where people of the validation
/// trained the model under it.
inline std::string people_of_training(const std::string& program, const Split& split, const TrainedSubjects& under) {
  TrainedSubjects people = trained_subjects(split);
  people.add(under);
  if (const std::vector<std::string> seen = validation_subjects_seen(under, split); !seen.empty())
    std::cerr << program << ": warning: " << seen.size()
              << " of the people of the validation trained the model under this one, the validation loss is too good: "
              << braing3n::detail::some_of(seen) << '\n';
  return people_text(people);
}

}  // namespace braing3n::examples
