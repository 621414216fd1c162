// I8_S: the activations of an I2_S matmul.  All int8 codes, then a float32 scale a row, then an int32 sum a
// row (a row is one token); a value is code / scale.  Codes are those of the portable kernel.
// Source: bitnet.cpp 3rdparty/llama.cpp/ggml/src/ggml-quants.c, quantize_row_i8_s.

#include "../kernels/sets.hpp"
#include "checks.hpp"
#include "formats.hpp"

namespace bitnet::formats {
namespace {

constexpr const char* name = "I8_S";

std::size_t size(const MatrixShape& shape) {
    require_blocks(name, shape, 1);
    return std::size_t(shape.rows) * (std::size_t(shape.cols) + 8);
}

void pack(const float* values, const MatrixShape& shape, std::uint8_t* packed) {
    size(shape);
    require_finite(name, values, shape);
    const std::size_t rows = shape.rows, cols = shape.cols;
    for (std::size_t row = 0; row < rows; ++row) {
        float scale;
        std::int32_t sum;
        auto* codes = reinterpret_cast<std::int8_t*>(packed + row * cols);
        portable::kernels.quantize_i8(values + row * cols, shape.cols, codes, &scale, &sum);
        store(packed + rows * cols + 4 * row, scale);
        store(packed + rows * (cols + 4) + 4 * row, sum);
    }
}

void unpack(const std::uint8_t* packed, const MatrixShape& shape, float* values) {
    size(shape);
    const std::size_t rows = shape.rows, cols = shape.cols;
    for (std::size_t row = 0; row < rows; ++row) {
        const float scale = load<float>(packed + rows * cols + 4 * row);
        for (std::size_t i = row * cols; i < (row + 1) * cols; ++i)
            values[i] = float(load<std::int8_t>(packed + i)) / scale;
    }
}

}  // namespace

const WeightFormat i8_s{name, size, pack, unpack, nullptr};

}  // namespace bitnet::formats
