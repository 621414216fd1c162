// F32: little-endian float32, as it is.

#include <cstring>

#include "checks.hpp"
#include "formats.hpp"

namespace bitnet::formats {
namespace {

constexpr const char* name = "F32";

std::size_t size(const MatrixShape& shape) {
    require_blocks(name, shape, 1);
    return std::size_t(shape.rows) * shape.cols * 4;
}

void pack(const float* values, const MatrixShape& shape, std::uint8_t* packed) {
    std::memcpy(packed, values, size(shape));
}

void unpack(const std::uint8_t* packed, const MatrixShape& shape, float* values) {
    std::memcpy(values, packed, size(shape));
}

}  // namespace

const WeightFormat f32{name, size, pack, unpack, nullptr};

}  // namespace bitnet::formats
