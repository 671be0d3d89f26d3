# Windows on x86-64: built with Debian's mingw-w64 (gcc with POSIX threads), run under Wine.
#
# The Wine prefix (some 700 MB) is made by ci/setup, once for all build directories.
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_C_COMPILER x86_64-w64-mingw32-gcc-posix)
set(CMAKE_CXX_COMPILER x86_64-w64-mingw32-g++-posix)
set(CMAKE_ASM_COMPILER x86_64-w64-mingw32-gcc-posix)
set(CMAKE_RC_COMPILER x86_64-w64-mingw32-windres)
set(CMAKE_FIND_ROOT_PATH /usr/x86_64-w64-mingw32)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_LIBDIR} /usr/x86_64-w64-mingw32/lib/pkgconfig) # not our own machine's

# One program is one file: neither gcc's libraries nor winpthreads have to be found when it starts.
set(CMAKE_EXE_LINKER_FLAGS_INIT -static)

get_filename_component(ecru_build_root ${CMAKE_CURRENT_LIST_DIR}/../../build ABSOLUTE)
if(DEFINED ENV{ECRU_WINE_PREFIX})
  set(ecru_wine_prefix $ENV{ECRU_WINE_PREFIX})
else()
  set(ecru_wine_prefix ${ecru_build_root}/wine)
endif()
find_program(ECRU_WINE wine)
if(ECRU_WINE)
  set(CMAKE_CROSSCOMPILING_EMULATOR env -u DISPLAY WINEDEBUG=-all WINEPREFIX=${ecru_wine_prefix} ${ECRU_WINE})
endif()
