#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>

#include "bitnet/format_table.hpp"

void register_kernels(pybind11::module_& m);
void register_session(pybind11::module_& m);

// Arrays are taken as they are: another dtype or a strided view is an error, never a silent copy.
template <typename T>
using Array = pybind11::array_t<T, pybind11::array::c_style>;

// Raises ValueError for a name that no set has or that does not run on this CPU.
const bitnet::KernelSet& kernel_set(const std::string& name);

// Raises ValueError for a name that is no weight format of this engine.
const bitnet::FormatRow& format_named(const std::string& name);

// Raises ValueError for a name that is no order of sums.
bitnet::Order order_of(const std::string& name);
