// cohort.json, the record that lies beside the tables of a phantom cohort: which distribution its subjects come from.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "braing3n/format/json.hpp"
#include "braing3n/phantom/rates.hpp"

namespace braing3n::inline BRAING3N_ABI::phantom {

inline constexpr const char* cohort_kind = "SYNTHETIC braing3n phantom cohort";

/// The distribution of the cohort whose table (volumes.csv, truth.csv) is `table`; none where no phantom cohort lies there. A cohort
/// without the entry was made before there was a second one. Throws Error (format) for a name that this version does not know.
inline std::optional<PhantomDistribution> distribution_beside(const std::filesystem::path& table) {
  const std::filesystem::path path = table.parent_path() / "cohort.json";
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return std::nullopt;
  const Json record = read_json(path);
  const auto kind = record.find("kind");  // end() of what is no object
  if (kind == record.end() || !kind->is_string() || kind->get_ref<const std::string&>() != cohort_kind)
    return std::nullopt;
  if (!record.contains("distribution")) return PhantomDistribution::phantom_1;
  const Json& name = record["distribution"];
  const auto known = name.is_string() ? find_enum<PhantomDistribution>(name.get<std::string>()) : std::nullopt;
  if (!known)
    throw Error(ErrorKind::format, "phantom.distribution",
                concat("distribution: ", expected_names<PhantomDistribution>(), ", got ", name.dump()), path.string());
  return *known;
}

/// Its name, for reports; empty where no phantom cohort lies there. Throws what distribution_beside() throws.
inline std::string distribution_name_beside(const std::filesystem::path& table) {
  const auto distribution = distribution_beside(table);
  return distribution ? std::string(enum_name(*distribution)) : std::string();
}

}  // namespace braing3n::inline BRAING3N_ABI::phantom
