// What labels of subjects and scans may say: sex, disease, modality, IDH1 status.
//
// Tables, conditions of generative models and phantoms spell these values alike, because all take them from here. A name is what files
// hold; an alias is read as well. Names are read in any case: find_enum and parse_enum (enum_names.hpp).
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "braing3n/base/enum_names.hpp"

namespace braing3n::inline BRAING3N_ABI {

enum class Sex { female, male };

template <>
struct EnumText<Sex> {
  static constexpr std::array<std::string_view, 2> names = {"F", "M"};
  static constexpr std::array<EnumAlias, 4> aliases = {EnumAlias{"female", 0}, {"woman", 0}, {"male", 1}, {"man", 1}};
};

/// HC: healthy control. MCI: mild cognitive impairment. AD, PD: Alzheimer's and Parkinson's disease. GBM: glioblastoma; glioma: of a lower
/// grade. SCZ: schizophrenia. ASD: autism spectrum disorder. ADHD: attention deficit hyperactivity disorder.
enum class Disease { HC, MCI, AD, PD, GBM, glioma, SCZ, ASD, ADHD };

template <>
struct EnumText<Disease> {
  static constexpr std::array<std::string_view, 9> names = {"HC",     "MCI", "AD",  "PD",  "GBM",
                                                            "glioma", "SCZ", "ASD", "ADHD"};
};

/// The eight classes of the paper's condition and of the phantoms. Their order is that of the rows in an embedding table.
inline constexpr std::array<Disease, 8> paper_diseases = {Disease::HC,  Disease::MCI,    Disease::AD,  Disease::PD,
                                                          Disease::GBM, Disease::glioma, Disease::SCZ, Disease::ASD};

constexpr bool has_tumour(Disease disease) { return disease == Disease::GBM || disease == Disease::glioma; }

/// T1c: T1-weighted, after contrast agent.
enum class Modality { T1, T2, FLAIR, T1c };

template <>
struct EnumText<Modality> {
  static constexpr std::array<std::string_view, 4> names = {"T1", "T2", "FLAIR", "T1c"};
  static constexpr std::array<EnumAlias, 8> aliases = {EnumAlias{"t1w", 0}, {"t2w", 1},  {"flairw", 2}, {"t2flair", 2},
                                                       {"t2-flair", 2},     {"t1ce", 3}, {"t1gd", 3},   {"t1post", 3}};
};

/// Mutation status of a tumour's isocitrate dehydrogenase 1.
enum class Idh1 { wildtype, mutant };

template <>
struct EnumText<Idh1> {
  static constexpr std::array<std::string_view, 2> names = {"wildtype", "mutant"};
  static constexpr std::array<EnumAlias, 7> aliases = {EnumAlias{"wt", 0},  {"wild-type", 0}, {"wild type", 0},
                                                       {"idh-wildtype", 0}, {"mut", 1},       {"mutated", 1},
                                                       {"idh1-mutant", 1}};
};

/// The names of some values: {"HC", "AD"}.
template <class Values>
std::vector<std::string> names_of(const Values& values) {
  std::vector<std::string> names;
  for (const auto& value : values) names.emplace_back(enum_name(value));
  return names;
}

}  // namespace braing3n::inline BRAING3N_ABI
