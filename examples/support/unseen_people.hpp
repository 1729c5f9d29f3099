// Who may be called unseen, on standard error where nothing is known.
#pragma once

#include <initializer_list>
#include <iostream>
#include <string>
#include <vector>

#include "braing3n/eval/unseen_people.hpp"

namespace braing3n::examples {

/// Throws what braing3n::require_unseen() throws.
inline void require_unseen(const std::vector<ModelBehind>& models, const std::vector<Index>& test,
                           const Manifest& manifest) {
  for (const std::string& sentence : braing3n::require_unseen(std::span<const ModelBehind>(models), test, manifest))
    std::cerr << "evaluate: warning: " << sentence << '\n';
}

/// What a model file says about its people: those of its training and of the model under it. A warning where people of the validation
/// trained the model under it, or nothing says who did.
inline std::string people_of_training(const std::string& program, const Split& split, const TrainedPeople& under) {
  TrainedPeople people = trained_people(split);
  people.add(under);
  if (const std::vector<std::string> seen = validation_people_seen(under, split); !seen.empty())
    std::cerr << program << ": warning: " << seen.size()
              << " of the people of the validation trained the model under this one, the validation loss is too good: "
              << braing3n::detail::some_of(seen) << '\n';
  return people_text(people);
}

}  // namespace braing3n::examples
