// The tables of kernels that benchmarks know by name: the built-in ones, Eigen, and oneDNN where it is installed.
#pragma once

#include <string_view>
#include <vector>

#include "braing3n/backend/cpu/providers/eigen_provider.hpp"
#include "braing3n/backend/cpu/providers/providers.hpp"
#if __has_include(<dnnl.h>)
#include "braing3n/backend/cpu/providers/onednn.hpp"
#endif

namespace braing3n::bench {

/// Throws Error (argument) for an unknown name, with the known ones. "default" is the fastest built in.
inline const CpuProvider& provider(std::string_view name) {
  std::vector<const CpuProvider*> more = {&eigen_cpu_provider()};
#if __has_include(<dnnl.h>)
  more.push_back(&onednn_cpu_provider());
#endif
  return name == "default" ? default_cpu_provider() : find_cpu_provider(name, more);
}

}  // namespace braing3n::bench
