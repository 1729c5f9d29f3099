// Identifiers and labels in the tables of a phantom cohort.
#pragma once

#include <optional>
#include <string>

#include "braing3n/phantom/scanner.hpp"

namespace braing3n::inline BRAING3N_ABI::phantom {

/// "sub-0001" for subject 0.
inline std::string subject_id(std::uint32_t subject) {
  std::string number = std::to_string(std::uint64_t{subject} + 1);
  return "sub-" + std::string(number.size() < 4 ? 4 - number.size() : 0, '0') + number;
}
inline std::string session_id(std::uint32_t visit) { return "ses-" + std::to_string(visit + 1); }
/// "sub-0001_ses-1_T1"
inline std::string volume_id(std::uint32_t subject, std::uint32_t visit, Modality modality) {
  return subject_id(subject) + "_" + session_id(visit) + "_" + std::string(enum_name(modality));
}

/// As in volumes.csv; none where the subject has no such label.
struct Labels {
  std::string sex, disease, site;
  std::optional<std::string> idh1;  // subjects with a tumour
  std::optional<double> cdr;        // HC, MCI, AD
};
inline Labels labels_at(const Subject& s, double age) {
  Labels l;
  l.sex = enum_name(s.sex);
  l.disease = enum_name(s.disease);
  l.site = "site-" + std::to_string(s.site + 1);
  if (s.idh1) l.idh1 = enum_name(*s.idh1);
  if (s.disease == Disease::HC || s.disease == Disease::MCI || s.disease == Disease::AD)
    l.cdr = dementia_rating(s, morphometry_at(s, age));
  return l;
}

}  // namespace braing3n::inline BRAING3N_ABI::phantom
