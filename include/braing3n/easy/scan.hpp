// A scan as a session reads it.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/volume/nifti/read.hpp"
#include "braing3n/volume/preprocess.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct Scan {
  Volume volume;
  std::string name;   // the file, for messages; empty for a volume made in memory
  Findings findings;  // of the file's header and geometry
  Index index = -1;   // which volume of a file with several

  Scan() = default;
  Scan(Volume v, std::string n = {}, Findings f = {})  // NOLINT: a volume is a scan
      : volume(std::move(v)), name(std::move(n)), findings(std::move(f)) {}
};

/// The scan on a model's grid. Throws Error (format) that names the scan when it cannot be used.
inline Preprocessed preprocess_scan(Context<Cpu>& context, const Scan& scan, const PreprocessingContract& contract,
                                    bool strict = false) {
  try {
    return preprocess(context, scan.volume, contract, strict);
  } catch (const Error& e) {
    if (scan.name.empty()) throw;
    throw e.at(scan.name);
  }
}

/// data (X, Y, Z) as a batch of one volume with one channel (1, X, Y, Z, 1).
inline Tensor<float, Cpu> batch_of_one(const Tensor<float, Cpu>& data) {
  return data.reshape({1, data.dim(0), data.dim(1), data.dim(2), 1});
}

}  // namespace braing3n::inline BRAING3N_ABI
