// Q8_K: the activations of a TQ matmul.  Blocks of 256: a float32 scale, 256 int8 codes, 16 int16 sums of 16
// codes. Codes and scales are those of the portable kernel, which says how they are rounded.
// Source: llama.cpp ggml/src/ggml-quants.c, quantize_row_q8_K_ref.

#include "../kernels/sets.hpp"
#include "checks.hpp"
#include "formats.hpp"

namespace bitnet::formats {
namespace {

constexpr const char* name = "Q8_K";
constexpr std::size_t block_bytes = 4 + block_q8_k + 2 * block_q8_k / 16;

std::size_t blocks(const MatrixShape& shape) {
    require_blocks(name, shape, block_q8_k);
    return std::size_t(shape.rows) * shape.cols / block_q8_k;
}

std::size_t size(const MatrixShape& shape) { return blocks(shape) * block_bytes; }

void pack(const float* values, const MatrixShape& shape, std::uint8_t* packed) {
    const std::size_t n = blocks(shape);
    require_finite(name, values, shape);
    for (std::size_t b = 0; b < n; ++b, values += block_q8_k, packed += block_bytes) {
        float scale;
        std::int8_t codes[block_q8_k];
        std::int16_t sums[block_q8_k / 16];
        portable::kernels.quantize_q8_k(values, block_q8_k, codes, &scale, sums);
        store(packed, scale);
        std::memcpy(packed + 4, codes, sizeof codes);
        std::memcpy(packed + 4 + block_q8_k, sums, sizeof sums);
    }
}

void unpack(const std::uint8_t* packed, const MatrixShape& shape, float* values) {
    const std::size_t n = blocks(shape);
    for (std::size_t b = 0; b < n; ++b, values += block_q8_k, packed += block_bytes) {
        const float scale = load<float>(packed);
        for (int i = 0; i < block_q8_k; ++i) values[i] = float(load<std::int8_t>(packed + 4 + i)) * scale;
    }
}

}  // namespace

const WeightFormat q8_k{name, size, pack, unpack, nullptr};

}  // namespace bitnet::formats
