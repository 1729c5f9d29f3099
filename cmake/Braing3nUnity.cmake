# Several sources as one translation unit, for builds that compile everything once: headers are read once and what they
# instantiate is compiled once. Unlike UNITY_BUILD of CMake, each source keeps a namespace of its own, so equal names in
# unnamed namespaces do not collide.
option(BRAING3N_UNITY "Compile the tests, and the program, in few translation units" OFF)

# braing3n_unity(RESULT PROGRAM SOURCES... [BATCH N] [ENTRY SUFFIX] [ENDING .cu])
# Sets RESULT to the sources to compile. Without BRAING3N_UNITY these are SOURCES. With it, a unit has at least N of them, and as many as give
# one unit per processor; without BATCH all. A source with a named namespace is compiled alone.
# With ENTRY, a source NAME.cpp defines the function NAME_SUFFIX(int, char**) for the rest of the program; those with a named namespace
# share units of their own, in which they keep it: the names in their unnamed namespaces must differ. One that does not define the function
# is compiled alone.
function(braing3n_unity result program)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "BATCH;ENTRY;ENDING" "SOURCES")
  if(NOT BRAING3N_UNITY)
    set(${result} ${arg_SOURCES} PARENT_SCOPE)
    return()
  endif()
  if(NOT arg_ENDING)
    set(arg_ENDING .cpp)
  endif()
  if(arg_BATCH)
    # Most of a unit is what it shares with the others: more units than processors only cost time.
    cmake_host_system_information(RESULT processors QUERY NUMBER_OF_LOGICAL_CORES)
    list(LENGTH arg_SOURCES length)
    math(EXPR share "(${length} + ${processors} - 1) / ${processors}")
    if(share GREATER arg_BATCH)
      set(arg_BATCH ${share})
    endif()
  endif()
  # The lists of includes below are made when CMake runs.
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${arg_SOURCES})
  set(units)
  set(includes "")
  set(bodies "")
  set(count 0)
  set(share_names)
  set(compiled_alone)
  foreach(source IN LISTS arg_SOURCES)
    file(STRINGS "${source}" own_namespaces REGEX "^namespace [A-Za-z]")
    file(STRINGS "${source}" alone REGEX "^(template <>|int main[(]|#define DOCTEST_CONFIG_IMPLEMENT)")
    if(own_namespaces AND arg_ENTRY AND NOT alone)
      list(APPEND share_names "${source}")
    elseif(own_namespaces OR alone)
      list(APPEND compiled_alone "${source}")
    endif()
  endforeach()
  foreach(source IN LISTS share_names)
    string(APPEND bodies "#include \"${source}\"\n")
    braing3n_unity_counted()
  endforeach()
  if(count GREATER 0)
    braing3n_unity_file(units)
  endif()
  list(REMOVE_ITEM arg_SOURCES ${share_names})
  foreach(source IN LISTS arg_SOURCES)
    cmake_path(GET source STEM name)
    set(entry "no entry asked for")
    if(arg_ENTRY)
      file(STRINGS "${source}" entry REGEX "^int ${name}_${arg_ENTRY}[(]")
    endif()
    if(source IN_LIST compiled_alone OR NOT entry)
      list(APPEND units "${source}")
      continue()
    endif()
    braing3n_unity_includes("${source}")
    cmake_path(GET source PARENT_PATH folder)
    cmake_path(GET folder FILENAME folder)
    string(MAKE_C_IDENTIFIER "unit_${folder}_${name}" unit)
    string(APPEND bodies "namespace ${unit} {\n#include \"${source}\"\n}\n")
    if(arg_ENTRY)
      string(APPEND bodies "int ${name}_${arg_ENTRY}(int argc, char** argv) { return ${unit}::${name}_${arg_ENTRY}(argc, argv); }\n")
    endif()
    braing3n_unity_counted()
  endforeach()
  if(count GREATER 0)
    braing3n_unity_file(units)
  endif()
  set(${result} ${units} PARENT_SCOPE)
endfunction()

# Appends the includes of a source.
macro(braing3n_unity_includes source)
  file(STRINGS "${source}" lines REGEX "^#include ")
  string(REPLACE ";" "\n" lines "${lines}")
  string(APPEND includes "${lines}\n")
endmacro()

# One source more; a full unit is written.
macro(braing3n_unity_counted)
  math(EXPR count "${count} + 1")
  if(count EQUAL arg_BATCH)
    braing3n_unity_file(units)
  endif()
endmacro()

# Writes what braing3n_unity() has gathered, and starts anew.
macro(braing3n_unity_file units)
  list(LENGTH ${units} number)
  set(unit "${CMAKE_CURRENT_BINARY_DIR}/unity/${program}_${number}${arg_ENDING}")
  file(CONFIGURE OUTPUT "${unit}" CONTENT "${includes}\n${bodies}" @ONLY)
  list(APPEND ${units} "${unit}")
  set(includes "")
  set(bodies "")
  set(count 0)
endmacro()

# braing3n_unity_programs(RESULT NAME SOURCES...)
# Sets RESULT to one unit of SOURCES, each of them a program NAME.cpp. The name by which the unit is called, that of a link to it, chooses.
function(braing3n_unity_programs result name)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${ARGN})
  set(includes "#include <cstdio>\n#include <string_view>\n")
  set(bodies "")
  set(calls "")
  foreach(source IN LISTS ARGN)
    braing3n_unity_includes("${source}")
    cmake_path(GET source STEM program)
    string(APPEND bodies "namespace program_${program} {\n#include \"${source}\"\n}\n")
    string(APPEND calls "  if (called == \"${program}\") return call(program_${program}::main, argc, argv);\n")
  endforeach()
  set(unit "${CMAKE_CURRENT_BINARY_DIR}/unity/${name}.cpp")
  file(CONFIGURE OUTPUT "${unit}" CONTENT "${includes}
${bodies}
static int call(int (*program)(), int, char**) { return program(); }
static int call(int (*program)(int, char**), int argc, char** argv) { return program(argc, argv); }
int main(int argc, char** argv) {
  std::string_view called = argc > 0 ? argv[0] : \"\";
  called.remove_prefix(called.rfind('/') + 1);
${calls}  std::fputs(\"expected the name of one of the programs: call it by a link\\n\", stderr);
  return 2;
}
" @ONLY)
  set(${result} "${unit}" PARENT_SCOPE)
endfunction()
