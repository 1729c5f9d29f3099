// Arrays written as .npy files, which NumPy reads.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "braing3n/base/error.hpp"
#include "braing3n/format/atomic_file.hpp"
#include "braing3n/format/dtype.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Row-major. Throws Error (shape) when the shape does not fit the number of values.
template <class T>
void write_npy(const std::filesystem::path& path, const std::vector<Index>& shape, std::span<const T> values,
               const WriteOptions& options = {}) {
  constexpr DType type = dtype_of<T>();
  static_assert(type != DType::bf16, "NumPy has no bfloat16");
  constexpr char kind = type == DType::boolean                                           ? 'b'
                        : type == DType::f64 || type == DType::f32 || type == DType::f16 ? 'f'
                        : std::is_signed_v<T>                                            ? 'i'
                                                                                         : 'u';
  std::size_t elements = 1;
  std::string extents;
  for (const Index extent : shape) {
    elements *= static_cast<std::size_t>(extent);
    extents += std::to_string(extent) + ",";
  }
  if (elements != values.size())
    fail(ErrorKind::shape, "npy.size", path.string(), ": npy: ", values.size(), " values for shape (", extents, ")");
  std::string header = concat("{'descr': '", sizeof(T) == 1 ? '|' : '<', kind, sizeof(T),
                              "', 'fortran_order': False, 'shape': (", extents, "), }");
  header.append(64 - (10 + header.size() + 1) % 64, ' ');
  header += '\n';
  std::string prefix("\x93NUMPY\x01\x00", 8);
  prefix += static_cast<char>(header.size() & 255);
  prefix += static_cast<char>(header.size() >> 8);
  AtomicFile file(path, options);
  file.write(prefix);
  file.write(header);
  file.write(std::as_bytes(values));
  file.commit();
}

}  // namespace braing3n::inline BRAING3N_ABI
