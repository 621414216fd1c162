// F16: IEEE half precision, rounded to nearest, ties to even; 65520 and more become infinity.

#include "bitnet/half.hpp"
#include "checks.hpp"
#include "formats.hpp"

namespace bitnet::formats {
namespace {

constexpr const char* name = "F16";

std::size_t size(const MatrixShape& shape) {
    require_blocks(name, shape, 1);
    return std::size_t(shape.rows) * shape.cols * 2;
}

void pack(const float* values, const MatrixShape& shape, std::uint8_t* packed) {
    const std::size_t n = size(shape) / 2;
    for (std::size_t i = 0; i < n; ++i) store(packed + 2 * i, f16_of_float(values[i]));
}

void unpack(const std::uint8_t* packed, const MatrixShape& shape, float* values) {
    const std::size_t n = size(shape) / 2;
    for (std::size_t i = 0; i < n; ++i) values[i] = float_of_f16(load<std::uint16_t>(packed + 2 * i));
}

}  // namespace

const WeightFormat f16{name, size, pack, unpack, nullptr};

}  // namespace bitnet::formats
