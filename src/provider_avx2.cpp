#include "braing3n/backend/cpu.hpp"

namespace braing3n::inline BRAING3N_ABI {

template const CpuProvider& detail::builtin_provider<Isa::avx2>();

}  // namespace braing3n::inline BRAING3N_ABI
