// The solver of the probes for float32 and float64 features.
#include "braing3n/probe/newton.hpp"

namespace braing3n::inline BRAING3N_ABI {

template class NewtonSolver<float, Cpu>;
template class NewtonSolver<double, Cpu>;

}  // namespace braing3n::inline BRAING3N_ABI
