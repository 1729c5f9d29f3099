# CMake 3.25.1 does not know the flag of CUDA C++20: without this, .cu files are compiled as C++17 and concepts fail.
# Included by our own build and by the installed config; works before and after enable_language(CUDA).
if(CMAKE_VERSION VERSION_LESS 3.25.2)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
endif()

# CMake before 3.26 sets a property of this target, which it does not make where there is no such library: CUDA 13 has none.
macro(braing3n_name_nvtools)
  if(CMAKE_VERSION VERSION_LESS 3.26 AND NOT TARGET CUDA::nvToolsExt)
    add_library(CUDA::nvToolsExt INTERFACE IMPORTED)
  endif()
endmacro()
