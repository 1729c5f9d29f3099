// What features of scans mean, as their files say it and saved probes ask for it.
#pragma once

#include <string>

#include "braing3n/format/json.hpp"
#include "braing3n/volume/contract.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// kind, hash: of the model file. representation: encoder or projected tokens; pooling: mean, or none. precision: named unless it is f32.
inline Json feature_contract(const PreprocessingContract& preprocessing, const std::string& kind,
                             const std::string& hash, const std::string& representation, const std::string& pooling,
                             const std::string& precision = "f32") {
  Json json = {{"preprocessing", json_from(preprocessing)},
               {"model", kind},
               {"model_hash", hash},
               {"representation", representation},
               {"pooling", pooling}};
  if (precision != "f32") json["precision"] = precision;  // rows of two precisions never share a file
  return json;
}

}  // namespace braing3n::inline BRAING3N_ABI
