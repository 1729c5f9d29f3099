# The INTERFACE targets. Each owns the headers that need what it links: tests/tools/check_tree.py reads the table below and follows
# the includes.
set(include_dir "${PROJECT_SOURCE_DIR}/include")

file(GLOB_RECURSE all_headers RELATIVE "${include_dir}" CONFIGURE_DEPENDS "${include_dir}/braing3n/*.hpp" "${include_dir}/braing3n/*.cuh")

# The first pattern that matches decides.
set(header_owners
  "nifti    braing3n/phantom/cohort_files"
  "probe    braing3n/phantom/change_oracle"
  "cuda     braing3n/backend/cuda/"
  "cuda     [.]cuh$"
  "onednn   braing3n/backend/cpu/providers/onednn"
  "linalg   braing3n/(linalg/|backend/cpu/providers/eigen|interop/eigen)"
  "nifti    braing3n/(volume/nifti|data)/"
  "nifti    braing3n/report/(file|manifest|volume)_report"
  "probe    braing3n/((probe|eval)/|report/panel_|probe[.]hpp$)"
  "xtensor  braing3n/((volume|phantom|table|report)/|report[.]hpp$)"
  "xtensor  braing3n/interop/xtensor"
  "xtensor  braing3n/checkpoint/(any_model|volume_model|saved_dit|saved_forecaster)"
  "io       braing3n/(format|checkpoint)/"
  "braing3n braing3n/((device|easy|study|train)/|(braing3n|train|generate|forecast|easy|study)[.]hpp$)"
  "core     braing3n/(base|core)/"
  "cpu      braing3n/")
foreach(header IN LISTS all_headers)
  foreach(rule IN LISTS header_owners)
    string(REGEX MATCH "^([a-z0-9]+) +(.*)$" matched "${rule}")
    set(owner "${CMAKE_MATCH_1}")
    if(header MATCHES "${CMAKE_MATCH_2}")
      list(APPEND headers_${owner} "${include_dir}/${header}")
      break()
    endif()
  endforeach()
endforeach()

set(braing3n_targets core cpu linalg io xtensor nifti probe onednn cuda braing3n)

foreach(name IN LISTS braing3n_targets)
  add_library(braing3n_${name} INTERFACE)
  add_library(braing3n::${name} ALIAS braing3n_${name})
  set_property(TARGET braing3n_${name} PROPERTY EXPORT_NAME ${name})
  target_sources(braing3n_${name} INTERFACE FILE_SET HEADERS BASE_DIRS "${include_dir}" FILES ${headers_${name}})
endforeach()

target_compile_features(braing3n_core INTERFACE cxx_std_20)
target_link_libraries(braing3n_core INTERFACE Threads::Threads)
# clang reports every loop that it declines to vectorise after being told that it may; that is no news for a user.
target_compile_options(braing3n_core INTERFACE "$<$<COMPILE_LANG_AND_ID:CXX,Clang,AppleClang>:-Wno-pass-failed>")
target_link_libraries(braing3n_cpu INTERFACE braing3n_core)
target_link_libraries(braing3n_linalg INTERFACE braing3n_cpu Eigen3::Eigen Spectra::Spectra)
target_link_libraries(braing3n_io INTERFACE braing3n_cpu nlohmann_json::nlohmann_json ZLIB::ZLIB)
target_link_libraries(braing3n_xtensor INTERFACE braing3n_io xtensor)
target_link_libraries(braing3n_nifti INTERFACE braing3n_xtensor braing3n::nifti_clib)
target_link_libraries(braing3n_probe INTERFACE braing3n_xtensor braing3n_linalg)
target_link_libraries(braing3n_onednn INTERFACE braing3n_cpu braing3n::onednn_clib)
target_link_libraries(braing3n_braing3n INTERFACE braing3n_nifti braing3n_probe)

# The CPU target comes along: a .cu program moves data from the host. EIGEN_NO_CUDA keeps Eigen host-only and free of warnings.
target_compile_definitions(braing3n_cuda INTERFACE "$<$<COMPILE_LANGUAGE:CUDA>:EIGEN_NO_CUDA>")
target_compile_options(braing3n_cuda INTERFACE "$<$<COMPILE_LANGUAGE:CUDA>:--extended-lambda;--expt-relaxed-constexpr>")
target_link_libraries(braing3n_cuda INTERFACE braing3n_cpu CUDA::cudart CUDA::cublasLt)
