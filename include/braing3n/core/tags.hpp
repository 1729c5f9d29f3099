// Where a computation runs. Tags are types: the choice is made once, at compile time, at the top of a program.
#pragma once

#include <concepts>

#include "braing3n/base/config.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct Cpu {
  static constexpr const char* name = "cpu";
};
struct Cuda {
  static constexpr const char* name = "cuda";
};

template <class B>
concept Backend = std::same_as<B, Cpu> || std::same_as<B, Cuda>;

/// What a backend keeps: its memory, its threads or streams, its table of kernels. Specialised in backend/.
/// A context must outlive every tensor made with it.
template <Backend B>
class Context;

}  // namespace braing3n::inline BRAING3N_ABI
