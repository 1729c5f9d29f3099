#include "braing3n/backend/cpu/context.hpp"

namespace braing3n::inline BRAING3N_ABI {

template const CpuProvider& detail::builtin_provider<Isa::avx512bf16>();

}  // namespace braing3n::inline BRAING3N_ABI
