# Headers, targets and the package files. Header-only, so the package files stand in share/ and fit every architecture.
include(CMakePackageConfigHelpers)
set(package_dir "${CMAKE_INSTALL_DATADIR}/cmake/braing3n")

foreach(name IN LISTS braing3n_targets)
  install(TARGETS braing3n_${name} EXPORT braing3nTargets FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
endforeach()
install(EXPORT braing3nTargets NAMESPACE braing3n:: DESTINATION "${package_dir}")

if(TARGET braing3n_compiled)
  install(TARGETS braing3n_compiled EXPORT braing3nCompiledTargets ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
  install(EXPORT braing3nCompiledTargets NAMESPACE braing3n:: DESTINATION "${package_dir}")
endif()

if(TARGET braing3n_compiled_cuda)
  install(TARGETS braing3n_compiled_cuda EXPORT braing3nCompiledCudaTargets ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
  install(EXPORT braing3nCompiledCudaTargets NAMESPACE braing3n:: DESTINATION "${package_dir}")
endif()

# The program for the shell; it takes no part in the package that find_package reads.
if(TARGET braing3n_program)
  install(TARGETS braing3n_program RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
endif()

configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/braing3nConfig.cmake.in" "${PROJECT_BINARY_DIR}/braing3nConfig.cmake"
  INSTALL_DESTINATION "${package_dir}" NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/braing3nConfigVersion.cmake" COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES
  "${PROJECT_BINARY_DIR}/braing3nConfig.cmake"
  "${PROJECT_BINARY_DIR}/braing3nConfigVersion.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/Braing3nCuda20.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/Braing3nNiftiClib.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/Braing3nOneDnnClib.cmake"
  DESTINATION "${package_dir}")
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/braing3n")

# For plain compiler calls: everything on the CPU. Paths are relative to the file, so an installation can be moved.
set(pc_dir "${CMAKE_INSTALL_DATADIR}/pkgconfig")
file(RELATIVE_PATH pc_to_prefix "/${pc_dir}" "/")
string(REGEX REPLACE "/$" "" pc_to_prefix "${pc_to_prefix}")
find_path(BRAING3N_NIFTI2_INCLUDE_DIR nifti2_io.h PATH_SUFFIXES nifti)
mark_as_advanced(BRAING3N_NIFTI2_INCLUDE_DIR)
if(BRAING3N_NIFTI2_INCLUDE_DIR)
  set(pc_nifti_cflags " -I${BRAING3N_NIFTI2_INCLUDE_DIR}")  # libnifti2 has no file of its own for pkg-config
endif()
configure_file("${PROJECT_SOURCE_DIR}/cmake/braing3n.pc.in" "${PROJECT_BINARY_DIR}/braing3n.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/braing3n.pc" DESTINATION "${pc_dir}")
