// The CPU backend in one include: the context with its built-in kernels, and everything that ops launch on it.
//
// Headers of ops and models are neutral: they name the primary templates of backend/. A file that runs them on the CPU includes this
// header once (the umbrella headers do), a .cu file braing3n/cuda.cuh.
#pragma once

#include "braing3n/backend/cpu/attention/attention.hpp"
#include "braing3n/backend/cpu/context/context.hpp"
#include "braing3n/backend/cpu/conv/conv.hpp"
#include "braing3n/backend/cpu/gemm/product.hpp"
#include "braing3n/backend/cpu/loops/map.hpp"
#include "braing3n/backend/cpu/loops/random.hpp"
#include "braing3n/backend/cpu/loops/reduce.hpp"
#include "braing3n/backend/cpu/norm/norm.hpp"
