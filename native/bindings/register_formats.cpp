// Weight formats: check the lengths of the arrays, release the GIL, call; the core checks shapes and values.

#include "bitnet/formats.hpp"

#include <pybind11/stl.h>

#include <stdexcept>
#include <tuple>
#include <vector>

#include "register.hpp"

namespace py = pybind11;
using namespace bitnet;

namespace {

using Tiles = std::tuple<int, int, int>;  // rows, columns, step; zeros for formats without tiles

const WeightFormat& format_named(const std::string& name) {
    const WeightFormat* format = find_weight_format(name.c_str());
    if (format == nullptr) throw std::invalid_argument("no weight format of the core is named " + name);
    return *format;
}

MatrixShape shape_of(int rows, int cols, const Tiles& tiles) {
    return {rows, cols, {std::get<0>(tiles), std::get<1>(tiles), std::get<2>(tiles)}};
}

void require(bool condition, const std::string& message) {
    if (!condition) throw std::invalid_argument(message);
}

void require_size(const WeightFormat& format, const MatrixShape& shape, const Array<std::uint8_t>& packed) {
    const std::size_t expected = format.size(shape);
    require(packed.ndim() == 1 && std::size_t(packed.size()) == expected,
            std::string(format.name) + ": packed has " + std::to_string(packed.size()) + " bytes and needs " +
                std::to_string(expected));
}

std::vector<std::string> names() {
    std::vector<std::string> all;
    for (const WeightFormat* format : weight_formats()) all.push_back(format->name);
    return all;
}

bool multiplies(const std::string& name) { return format_named(name).multiply != nullptr; }

std::size_t size(const std::string& name, int rows, int cols, const Tiles& tiles) {
    return format_named(name).size(shape_of(rows, cols, tiles));
}

void pack(const std::string& name, const Tiles& tiles, Array<float> values, Array<std::uint8_t> packed) {
    const WeightFormat& format = format_named(name);
    require(values.ndim() == 2, name + ": values is not (rows, cols)");
    const MatrixShape shape = shape_of(int(values.shape(0)), int(values.shape(1)), tiles);
    require_size(format, shape, packed);
    py::gil_scoped_release release;
    format.pack(values.data(), shape, packed.mutable_data());
}

void unpack(const std::string& name, const Tiles& tiles, Array<std::uint8_t> packed, Array<float> values) {
    const WeightFormat& format = format_named(name);
    require(values.ndim() == 2, name + ": values is not (rows, cols)");
    const MatrixShape shape = shape_of(int(values.shape(0)), int(values.shape(1)), tiles);
    require_size(format, shape, packed);
    py::gil_scoped_release release;
    format.unpack(packed.data(), shape, values.mutable_data());
}

void multiply(const std::string& name, const Tiles& tiles, Array<std::uint8_t> packed, Array<std::int8_t> x,
              Array<std::int32_t> sums) {
    const WeightFormat& format = format_named(name);
    require(format.multiply != nullptr, name + " is not ternary");
    require(x.ndim() == 2, name + ": x is not (tokens, cols)");
    require(sums.ndim() == 2 && sums.shape(0) == x.shape(0), name + ": sums is not (tokens, rows)");
    const MatrixShape shape = shape_of(int(sums.shape(1)), int(x.shape(1)), tiles);
    require_size(format, shape, packed);
    py::gil_scoped_release release;
    format.multiply(packed.data(), shape, x.data(), int(x.shape(0)), sums.mutable_data());
}

}  // namespace

void register_formats(py::module_& m) {
    using py::arg;
    m.def("names", names);
    m.def("multiplies", multiplies, arg("name"));
    m.def("size", size, arg("name"), arg("rows"), arg("cols"), arg("tiles"));
    m.def("pack", pack, arg("name"), arg("tiles"), arg("values").noconvert(), arg("packed").noconvert());
    m.def("unpack", unpack, arg("name"), arg("tiles"), arg("packed").noconvert(), arg("values").noconvert());
    m.def("multiply", multiply, arg("name"), arg("tiles"), arg("packed").noconvert(), arg("x").noconvert(),
          arg("sums").noconvert());
}
