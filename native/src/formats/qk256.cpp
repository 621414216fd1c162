// QK256: how BitNet.rs reads the bytes of an I2_S tensor.  Rows of 64-byte blocks of 256 weights, the last
// one padded with code 0; byte j of a block holds the weights 4j ... 4j + 3, lowest bits first; codes are -2,
// -1, +1, +2.
// Source: BitNet.rs crates/bitnet-models/src/quant/i2s_qk256.rs.

#include <algorithm>

#include "checks.hpp"
#include "formats.hpp"

namespace bitnet::formats {
namespace {

constexpr const char* name = "QK256";
constexpr float levels[4] = {-2, -1, 1, 2};

std::size_t row_bytes(const MatrixShape& shape) {
    require_blocks(name, shape, 1);
    return std::size_t((shape.cols + 255) / 256) * 64;
}

std::size_t size(const MatrixShape& shape) { return shape.rows * row_bytes(shape); }

int nearest_level(float x) { return (x >= -1.5f) + (x >= 0.0f) + (x >= 1.5f); }

void pack(const float* values, const MatrixShape& shape, std::uint8_t* packed) {
    const std::size_t stride = row_bytes(shape);
    require_finite(name, values, shape);
    std::fill_n(packed, shape.rows * stride, std::uint8_t(0));
    for (int row = 0; row < shape.rows; ++row, values += shape.cols, packed += stride) {
        for (int col = 0; col < shape.cols; ++col) {
            packed[col / 4] = std::uint8_t(packed[col / 4] | nearest_level(values[col]) << (2 * (col % 4)));
        }
    }
}

void unpack(const std::uint8_t* packed, const MatrixShape& shape, float* values) {
    const std::size_t stride = row_bytes(shape);
    for (int row = 0; row < shape.rows; ++row, values += shape.cols, packed += stride) {
        for (int col = 0; col < shape.cols; ++col)
            values[col] = levels[packed[col / 4] >> (2 * (col % 4)) & 3];
    }
}

}  // namespace

const WeightFormat qk256{name, size, pack, unpack, nullptr};

}  // namespace bitnet::formats
