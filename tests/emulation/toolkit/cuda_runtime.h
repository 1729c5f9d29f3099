// In place of the CUDA Toolkit's header of the same name.
#pragma once
#include "cuda_runtime_api.h"
