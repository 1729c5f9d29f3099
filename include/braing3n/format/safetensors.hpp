// The safetensors format: named tensors and text metadata in one file that holds no code.
//
//   8 bytes  N, the length of the header, little-endian
//   N bytes  JSON: {"__metadata__": {string: string}, NAME: {"dtype": "F32", "shape": [..], "data_offsets": [begin, end]}, ...}
//   the rest data, row-major and little-endian; the offsets count from its start
//
// Format: https://github.com/huggingface/safetensors (format section of its README).
#pragma once

#include "braing3n/format/safetensors_reader.hpp"
#include "braing3n/format/safetensors_writer.hpp"
