# find_package(ecru): targets ecru::ecru (shared, where it was built) and ecru::ecru_static.
include(CMakeFindDependencyMacro)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_dependency(Threads)
include(${CMAKE_CURRENT_LIST_DIR}/libuv.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/ecruTargets.cmake)
