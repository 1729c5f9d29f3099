import os
import re

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import load


class Braing3n(ConanFile):
    name = "braing3n"
    description = "Header-only C++20 library for modelling 3D brain MRI"
    license = "Apache-2.0"
    topics = ("mri", "neuroimaging", "masked-autoencoder", "diffusion", "header-only")
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"  # for the tests and the program only
    # CUDA comes from the machine (FindCUDAToolkit) unless somebody has an index with a cuda-toolkit recipe.
    # with_program: bin/braing3n too, minutes to compile.
    options = {"with_cuda": [True, False], "with_program": [True, False]}
    default_options = {"with_cuda": False, "with_program": False}
    exports_sources = "CMakeLists.txt", "LICENSE", "include/*", "cmake/*", "src/*", "tests/*", "!tests/consumer/*", "examples/*"
    no_copy_source = True

    def set_version(self):
        config = load(self, os.path.join(self.recipe_folder, "include", "braing3n", "base", "config.hpp"))
        self.version = re.search(r'BRAING3N_VERSION_STRING "([^"]+)"', config).group(1)

    def requirements(self):
        self.requires("eigen/[>=3.4.0 <4]", transitive_headers=True)
        self.requires("spectra/[>=1.0.1 <2]", transitive_headers=True)
        self.requires("xtensor/[>=0.24.3 <0.25]", transitive_headers=True)  # 0.26 moved every header
        self.requires("nlohmann_json/[>=3.11 <4]", transitive_headers=True)
        self.requires("nifti_clib/[>=3.0.0 <4]", transitive_headers=True, transitive_libs=True)
        self.requires("zlib/[>=1.2.11 <2]", transitive_headers=True, transitive_libs=True)
        if self.options.with_cuda:
            self.requires("cuda-toolkit/[>=12.6 <14]", transitive_headers=True, transitive_libs=True)

    def build_requirements(self):
        self.test_requires("doctest/[>=2.4.9 <3]")
        if self.options.with_program:
            self.test_requires("cli11/[>=2.1 <3]")

    def validate(self):
        check_min_cppstd(self, 20)

    def package_id(self):
        if not self.info.options.with_program:  # headers alone: settings, options and requirements change nothing
            self.info.clear()

    def layout(self):
        cmake_layout(self)

    def _skip_tests(self):
        return self.conf.get("tools.build:skip_test", default=False, check_type=bool)

    def generate(self):
        toolchain = CMakeToolchain(self)
        toolchain.cache_variables["BRAING3N_BUILD_TESTS"] = not self._skip_tests()
        toolchain.cache_variables["BRAING3N_BUILD_EXAMPLES"] = bool(self.options.with_program)
        toolchain.cache_variables["BRAING3N_BUILD_COMPILED"] = bool(self.options.with_program)  # its fast loops
        toolchain.cache_variables["BRAING3N_UNITY"] = True  # everything is compiled once
        toolchain.generate()
        CMakeDeps(self).generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        if self._skip_tests():
            if self.options.with_program:
                cmake.build(target="braing3n_program")  # with braing3n::compiled, without the small programs of examples/
        else:
            cmake.build()
            cmake.ctest(["--output-on-failure", "-L", "fast"])

    def package(self):
        CMake(self).install()

    def package_info(self):
        # Our own config file is used: the generated one would lose the libraries of the platform.
        self.cpp_info.set_property("cmake_find_mode", "none")
        self.cpp_info.builddirs = [os.path.join("share", "cmake", "braing3n")]
        self.cpp_info.bindirs = ["bin"] if self.options.with_program else []
        self.cpp_info.libdirs = []
