"""conan create packaging/conan: ecru from the checkout this recipe lies in."""
import os
import re

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load


class Ecru(ConanFile):
    name = "ecru"
    license = "MIT"
    description = "Concurrency without colour: goroutines, channels, select and cancellation for C"
    package_type = "library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"shared": [True, False], "fPIC": [True, False]}
    default_options = {"shared": False, "fPIC": True}
    implements = ["auto_shared_fpic"]
    requires = "libuv/[>=1.44 <2]"

    def set_version(self):
        lists = load(self, os.path.join(self.recipe_folder, "../../CMakeLists.txt"))
        self.version = re.search(r"project\(ecru VERSION ([0-9.]+)", lists).group(1)

    def validate(self):
        if self.settings.compiler == "msvc":
            raise ConanInvalidConfiguration("ecru is built by gcc or clang (docs/internals/porting.md)")

    def export_sources(self):
        root = os.path.join(self.recipe_folder, "../..")
        for pattern in ("CMakeLists.txt", "LICENSE", "platform/*", "runtime/*", "interpose/*"):
            copy(self, pattern, root, self.export_sources_folder)

    def layout(self):
        cmake_layout(self)

    def generate(self):
        CMakeDeps(self).generate()
        toolchain = CMakeToolchain(self)
        toolchain.cache_variables.update(ECRU_TESTS=False, ECRU_SHARED=bool(self.options.shared))
        toolchain.generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        CMake(self).install()
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))

    def package_info(self):
        self.cpp_info.libs = ["ecru"]
        self.cpp_info.set_property("cmake_target_name", "ecru::ecru" if self.options.shared else "ecru::ecru_static")
        if self.settings.os in ("Linux", "FreeBSD"):
            self.cpp_info.system_libs = ["pthread", "m"]
        if self.settings.os == "Windows":
            self.cpp_info.system_libs = ["pthread", "synchronization", "ntdll", "ws2_32", "iphlpapi", "winmm"]
