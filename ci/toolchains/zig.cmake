# Systems that are built and linked here, but not run, and musl: zig's clang with its headers and linker for them (ci/setup macos, freebsd,
# windows-arm64, musl).
# ECRU_ZIG_TARGET: aarch64-macos, x86_64-macos, x86_64-freebsd, aarch64-windows-gnu, x86_64-linux-musl.
#
# libuv comes from build/zig/<target>, where ci/setup has built and installed it.
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES ECRU_ZIG_TARGET)
string(REGEX MATCH "^([a-z0-9_]+)-([a-z]+)" ignored "${ECRU_ZIG_TARGET}")
set(CMAKE_SYSTEM_PROCESSOR ${CMAKE_MATCH_1})
if(CMAKE_MATCH_2 STREQUAL "macos")
  set(CMAKE_SYSTEM_NAME Darwin)
elseif(CMAKE_MATCH_2 STREQUAL "freebsd")
  set(CMAKE_SYSTEM_NAME FreeBSD)
  set(CMAKE_C_STANDARD_LIBRARIES_INIT -lunwind) # which FreeBSD's own compiler adds by itself
elseif(CMAKE_MATCH_2 STREQUAL "windows")
  set(CMAKE_SYSTEM_NAME Windows)
  set(CMAKE_C_STANDARD_LIBRARIES -lunwind CACHE STRING "for backtraces in C; the system's are zig's default")
elseif(CMAKE_MATCH_2 STREQUAL "linux")
  set(CMAKE_SYSTEM_NAME Linux)
  set(CMAKE_CROSSCOMPILING_EMULATOR env) # it runs here
  set(CMAKE_C_STANDARD_LIBRARIES_INIT -lunwind) # which programs in C need for backtraces
else()
  message(FATAL_ERROR "ECRU_ZIG_TARGET=${ECRU_ZIG_TARGET}: no such system here")
endif()

get_filename_component(zig ${CMAKE_CURRENT_LIST_DIR}/../../build/zig ABSOLUTE)
foreach(tool cc c++ ar ranlib) # one file each: CMake wants commands of one word for the last two
  list(APPEND tools ${zig}/bin/zig-${tool})
endforeach()
list(GET tools 0 CMAKE_C_COMPILER)
list(GET tools 1 CMAKE_CXX_COMPILER)
list(GET tools 2 CMAKE_AR)
list(GET tools 3 CMAKE_RANLIB)
set(CMAKE_ASM_COMPILER ${CMAKE_C_COMPILER})
foreach(language C CXX ASM)
  set(CMAKE_${language}_COMPILER_TARGET ${ECRU_ZIG_TARGET})
endforeach()
set(CMAKE_C_COMPILER_AR ${CMAKE_AR})
set(CMAKE_CXX_COMPILER_AR ${CMAKE_AR})
set(CMAKE_C_COMPILER_RANLIB ${CMAKE_RANLIB})
set(CMAKE_CXX_COMPILER_RANLIB ${CMAKE_RANLIB})
set(CMAKE_OSX_ARCHITECTURES "")
set(CMAKE_OSX_DEPLOYMENT_TARGET "")
set(CMAKE_OSX_SYSROOT "")

set(CMAKE_FIND_ROOT_PATH ${zig}/${ECRU_ZIG_TARGET})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_LIBDIR} ${zig}/${ECRU_ZIG_TARGET}/lib/pkgconfig) # not our own machine's
