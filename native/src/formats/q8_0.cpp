// Q8_0: blocks of 32 values, an F16 scale d and 32 int8 codes.  d = max / 127 in float32, code = x * (1 / d)
// rounded, halves away from zero; d is rounded to F16 afterwards.
// Source: llama.cpp ggml/src/ggml-quants.c, quantize_row_q8_0_ref.

#include "bitnet/half.hpp"
#include "formats.hpp"
#include "one_scale.hpp"

namespace bitnet::formats {
namespace {

constexpr const char* name = "Q8_0";
constexpr int block = 32;
constexpr std::size_t block_bytes = 2 + block;

std::size_t blocks(const MatrixShape& shape) {
    require_blocks(name, shape, block);
    return std::size_t(shape.rows) * shape.cols / block;
}

std::size_t size(const MatrixShape& shape) { return blocks(shape) * block_bytes; }

void pack(const float* values, const MatrixShape& shape, std::uint8_t* packed) {
    const std::size_t n = blocks(shape);
    require_finite(name, values, shape);
    for (std::size_t b = 0; b < n; ++b, values += block, packed += block_bytes) {
        const float d = largest_magnitude(values, block) / 127.0f;
        const std::uint16_t half = f16_of_float(d);
        require_half(name, half);
        const float quotient = 1.0f / d;
        const float inverse = std::isinf(quotient) ? 0.0f : quotient;
        store(packed, half);
        for (int i = 0; i < block; ++i) store(packed + 2 + i, std::int8_t(std::round(values[i] * inverse)));
    }
}

void unpack(const std::uint8_t* packed, const MatrixShape& shape, float* values) {
    const std::size_t n = blocks(shape);
    for (std::size_t b = 0; b < n; ++b, values += block, packed += block_bytes) {
        const float d = float_of_f16(load<std::uint16_t>(packed));
        for (int i = 0; i < block; ++i) values[i] = float(load<std::int8_t>(packed + 2 + i)) * d;
    }
}

}  // namespace

const WeightFormat q8_0{name, size, pack, unpack, nullptr};

}  // namespace bitnet::formats
