# Linux on a machine type that Debian has a cross compiler and a C library for (gcc-<target>, g++-<target>), run under qemu-user.
# ECRU_GNU_TARGET: riscv64-linux-gnu. libuv comes from build/libuv-<target>, where ci/setup has built and installed it.
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES ECRU_GNU_TARGET)
string(REGEX MATCH "^[a-z0-9_]+" CMAKE_SYSTEM_PROCESSOR "${ECRU_GNU_TARGET}")
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_C_COMPILER ${ECRU_GNU_TARGET}-gcc)
set(CMAKE_CXX_COMPILER ${ECRU_GNU_TARGET}-g++)
set(CMAKE_ASM_COMPILER ${ECRU_GNU_TARGET}-gcc)
get_filename_component(ecru_libuv ${CMAKE_CURRENT_LIST_DIR}/../../build/libuv-${ECRU_GNU_TARGET} ABSOLUTE)
set(CMAKE_FIND_ROOT_PATH ${ecru_libuv} /usr/${ECRU_GNU_TARGET})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_LIBDIR} ${ecru_libuv}/lib/pkgconfig) # not our own machine's
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-${CMAKE_SYSTEM_PROCESSOR} -L /usr/${ECRU_GNU_TARGET})
