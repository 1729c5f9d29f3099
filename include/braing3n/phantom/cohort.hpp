// What the tables of a phantom cohort say: names, labels and truth columns.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "braing3n/format/text.hpp"
#include "braing3n/phantom/scanner.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// "sub-0001" for subject 0.
inline std::string phantom_subject_id(std::uint32_t subject) {
  std::string number = std::to_string(std::uint64_t{subject} + 1);
  return "sub-" + std::string(number.size() < 4 ? 4 - number.size() : 0, '0') + number;
}
inline std::string phantom_session_id(std::uint32_t visit) { return "ses-" + std::to_string(visit + 1); }
/// "sub-0001_ses-1_T1"
inline std::string phantom_volume_id(std::uint32_t subject, std::uint32_t visit, Modality modality) {
  return phantom_subject_id(subject) + "_" + phantom_session_id(visit) + "_" +
         modality_names[static_cast<std::size_t>(modality)];
}

/// Throws Error (argument) naming the known ones.
inline Modality phantom_modality(const std::string& name) {
  for (std::size_t m = 0; m < modality_names.size(); ++m)
    if (name == modality_names[m]) return static_cast<Modality>(m);
  fail(ErrorKind::argument, "phantom.modality", "phantom: unknown modality ", in_quotes(name),
       "; known: T1, T2, FLAIR, T1c");
}

/// As in volumes.csv; empty where the person has no such label.
struct PhantomLabels {
  std::string sex, disease, site;
  std::optional<std::string> idh1;  // people with a tumour
  std::optional<double> cdr;        // HC, MCI, AD
};
inline PhantomLabels phantom_labels(const PhantomPerson& p, double age) {
  PhantomLabels l;
  l.sex = p.male ? "M" : "F";
  l.disease = disease_names[static_cast<std::size_t>(p.disease)];
  l.site = "site-" + std::to_string(p.site + 1);
  if (p.idh1 != Idh1::none) l.idh1 = p.idh1 == Idh1::wild ? "wildtype" : "mutant";
  if (p.disease == Disease::HC || p.disease == Disease::MCI || p.disease == Disease::AD)
    l.cdr = dementia_rating(p, state_at(p, age));
  return l;
}

}  // namespace braing3n::inline BRAING3N_ABI
