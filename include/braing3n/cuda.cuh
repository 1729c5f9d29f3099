// The CUDA side in one include, for .cu files compiled by nvcc. Host code needs only braing3n/braing3n.hpp: there, Cuda types can
// be named and passed, and launching is one readable error.
//
// Every op has a form for the GPU; products, attention and convolutions go through cuBLASLt. Nothing has run on a GPU yet (docs/cuda.md).
#pragma once

#if !defined(__CUDACC__) && !defined(BRAING3N_EMULATE_CUDA)
#error "braing3n/cuda.cuh needs nvcc: include it from a .cu file and link braing3n::cuda"
#endif

#include "braing3n/backend/cuda/attention.cuh"
#include "braing3n/backend/cuda/conv.cuh"
#include "braing3n/backend/cuda/device.cuh"
#include "braing3n/backend/cuda/group_norm.cuh"
#include "braing3n/backend/cuda/linear.cuh"
#include "braing3n/backend/cuda/map.cuh"
#include "braing3n/backend/cuda/masked_patch.cuh"
#include "braing3n/backend/cuda/norm.cuh"
#include "braing3n/backend/cuda/norm_modulate.cuh"
#include "braing3n/backend/cuda/product.cuh"
#include "braing3n/backend/cuda/random.cuh"
#include "braing3n/backend/cuda/reduce.cuh"
