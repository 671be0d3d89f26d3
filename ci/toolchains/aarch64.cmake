# Linux on 64-bit ARM: built with Debian's cross compiler (gcc-aarch64-linux-gnu, g++-aarch64-linux-gnu), run under
# qemu-user (qemu-user).
#
# With arm64 libraries installed as a foreign architecture, qemu finds the loader and the C library at their own paths
# and must not get -L: the cross package's loader with the other package's libc hangs in pthread_create. Without them
# the cross package's tree is the only one there is.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_ASM_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(ENV{PKG_CONFIG_LIBDIR} /usr/lib/aarch64-linux-gnu/pkgconfig) # not our own machine's

find_program(ECRU_QEMU_AARCH64 qemu-aarch64)
if(ECRU_QEMU_AARCH64)
  set(CMAKE_CROSSCOMPILING_EMULATOR ${ECRU_QEMU_AARCH64})
  if(NOT EXISTS /lib/ld-linux-aarch64.so.1)
    list(APPEND CMAKE_CROSSCOMPILING_EMULATOR -L /usr/aarch64-linux-gnu)
  endif()
endif()
