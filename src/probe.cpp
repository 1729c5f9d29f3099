// Probes: the solver and the estimators for float32 and float64 features, panels and the search for near-duplicates for float32.
#include "braing3n/probe/leakage.hpp"
#include "braing3n/probe/panel.hpp"

namespace braing3n::inline BRAING3N_ABI {

template class NewtonSolver<float, Cpu>;
template class NewtonSolver<double, Cpu>;
template class LogisticRegression<float, Cpu>;
template class LogisticRegression<double, Cpu>;
template class Ridge<float, Cpu>;
template class Ridge<double, Cpu>;
template std::vector<TaskResult> Panel::run(Context<Cpu>&, FeatureView<float>, std::span<const Index>) const;
template std::vector<LinearFit> Panel::fit_all(Context<Cpu>&, FeatureView<float>, std::span<const Index>,
                                               const std::vector<TaskResult>&) const;
template std::vector<Leak> find_near_duplicates(Context<Cpu>&, FeatureView<float>, std::span<const Index>,
                                                const std::vector<std::string>&, const std::vector<std::int32_t>&,
                                                const std::vector<std::int32_t>&, const LeakageOptions&);

}  // namespace braing3n::inline BRAING3N_ABI
