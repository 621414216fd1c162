// Contents of bitparity_native._core; one file per family, one line of docstring each in _core.pyi.

#include <pybind11/pybind11.h>

#include "register.hpp"

PYBIND11_MODULE(_core, m) {
    m.doc() = "Core of the native engine.";
    auto kernels = m.def_submodule(
        "kernels", "Single kernels, for tests; every one takes the name of a kernel set first.");
    register_kernels(kernels);
    register_session(m);
}
