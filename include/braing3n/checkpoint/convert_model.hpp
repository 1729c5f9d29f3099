// From a state dict of another library to a model file: opening it, holding fixed parameters against ours, writing.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "braing3n/checkpoint/convert.hpp"
#include "braing3n/checkpoint/model_file.hpp"
#include "braing3n/checkpoint/peer_config.hpp"
#include "braing3n/format/mapped_file.hpp"
#include "braing3n/format/safetensors.hpp"
#include "braing3n/nn/visit.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Throws Error: file, format (damaged; a pickle of torch.save, which can run code and is never read).
inline SafetensorsFile open_state_dict(const std::string& path) {
  {
    const MappedFile file(path);
    const auto bytes = file.bytes();
    if (bytes.size() > 4 &&
        (std::memcmp(bytes.data(), "PK\x03\x04", 4) == 0 || std::memcmp(bytes.data(), "\x80\x02", 2) == 0))
      throw Error(ErrorKind::format, "convert.pickle",
                  "is a PyTorch pickle, which can hold code and is not read; save the state dict as safetensors first "
                  "(docs/file-formats.md shows the four lines of Python)",
                  path);
  }
  SafetensorsLimits limits;
  limits.allow_trailing_bytes = true;  // some writers leave a few
  return SafetensorsFile(path, limits);
}

/// Which tensor becomes which parameter of the model. A fixed parameter that the source holds with other values is noted.
template <class Model>
ConversionPlan plan_model_conversion(const SafetensorsFile& source, WeightSource from, WeightTarget target,
                                     const Model& model) {
  ConversionPlan plan = plan_conversion(source.tensors(), from, target, expected_tensors(model));
  for_each_parameter(model, [&](const std::string& name, const auto& parameter) {
    if (!parameter.spec().fixed) return;
    for (const auto& m : plan.matched) {
      if (m.target != name) continue;
      const std::vector<double> stored = source.read<double>(m.source);
      double largest = 0;
      for (std::size_t i = 0; i < stored.size(); ++i)
        largest = std::max(largest, std::abs(stored[i] - parameter.spec().init.element(static_cast<Index>(i))));
      if (!(largest < 1e-4))
        plan.notes.push_back(concat(name, " differs by up to ", largest,
                                    " from the sine-cosine table of this library; the stored table is kept"));
    }
  });
  return plan;
}

}  // namespace braing3n::inline BRAING3N_ABI
