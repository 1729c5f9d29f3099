// What the bodies of linalg/ need of Eigen: that it is there, and that it keeps to one thread. Bodies use dynamic matrices only, whose
// layout no compiler flag changes. All of them are templates on the type of the values: a file that includes them and factors nothing then
// compiles the declarations of Eigen and none of its functions, which is a third of the time of an umbrella header.
#pragma once

#if !__has_include(<Eigen/Core>)
#error "braing3n: linalg/ needs Eigen 3.4 (Debian: libeigen3-dev and -I/usr/include/eigen3), or link braing3n::compiled"
#endif
#if defined(_OPENMP) && !defined(EIGEN_DONT_PARALLELIZE)
#error \
    "braing3n: results must not depend on threads: define EIGEN_DONT_PARALLELIZE with -fopenmp, or link braing3n::compiled"
#endif
#include <Eigen/Core>

#include "braing3n/base/error.hpp"

namespace braing3n::inline BRAING3N_ABI::detail {

template <class T>
using ColumnMatrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>;
template <class T>
using RowMatrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
using ColumnVector = Eigen::Matrix<T, Eigen::Dynamic, 1>;

}  // namespace braing3n::inline BRAING3N_ABI::detail
