// What TQ1_0 and TQ2_0 of ggml share: blocks of 256 codes with an F16 scale at the end of each, its packing
// rule.
// Source: llama.cpp ggml/src/ggml-quants.c, quantize_row_tq1_0_ref and quantize_row_tq2_0_ref.
#pragma once

#include "bitnet/half.hpp"
#include "one_scale.hpp"

namespace bitnet::formats {

constexpr int tq_block = 256;

// Coding has name, bytes (of a block, without the scale), write(stored, coded) and read(coded, stored): 256
// stored 0, 1, 2 for -1, 0, +1; read may give 3 for bits that no packer writes.
template <typename Coding>
struct Tq {
    static constexpr std::size_t block_bytes = Coding::bytes + 2;

    static std::size_t blocks(const MatrixShape& shape) {
        require_blocks(Coding::name, shape, tq_block);
        return std::size_t(shape.rows) * shape.cols / tq_block;
    }

    static std::size_t size(const MatrixShape& shape) { return blocks(shape) * block_bytes; }

    // The scale is the largest magnitude; a code is w * (1 / scale) rounded, halves away from zero.
    static void pack(const float* values, const MatrixShape& shape, std::uint8_t* packed) {
        const std::size_t n = blocks(shape);
        require_finite(Coding::name, values, shape);
        for (std::size_t b = 0; b < n; ++b, values += tq_block, packed += block_bytes) {
            const float scale = largest_magnitude(values, tq_block);
            const std::uint16_t half = f16_of_float(scale);
            require_half(Coding::name, half);
            const float quotient = 1.0f / scale;
            const float inverse =
                std::isinf(quotient) ? 0.0f : quotient;  // zeros, or so small that half is 0
            std::uint8_t stored[tq_block];
            for (int i = 0; i < tq_block; ++i) {
                const float x = values[i] * inverse;
                stored[i] = std::uint8_t(1 + (x >= 0.5f) - (x <= -0.5f));
            }
            Coding::write(stored, packed);
            store(packed + Coding::bytes, half);
        }
    }

    static void unpack(const std::uint8_t* packed, const MatrixShape& shape, float* values) {
        const std::size_t n = blocks(shape);
        for (std::size_t b = 0; b < n; ++b, values += tq_block, packed += block_bytes) {
            const float scale = float_of_f16(load<std::uint16_t>(packed + Coding::bytes));
            std::uint8_t stored[tq_block];
            Coding::read(packed, stored);
            for (int i = 0; i < tq_block; ++i) {
                require(stored[i] != 3, std::string(Coding::name) + ": block " + std::to_string(b) +
                                            " has the code 3, which no packer writes");
                values[i] = float(stored[i] - 1) * scale;
            }
        }
    }

    static void multiply(const std::uint8_t* packed, const MatrixShape& shape, const std::int8_t* x,
                         int tokens, std::int32_t* sums) {
        blocks(shape);
        const std::size_t row_bytes = shape.cols / tq_block * block_bytes;
        for (int token = 0; token < tokens; ++token, x += shape.cols, sums += shape.rows) {
            for (int row = 0; row < shape.rows; ++row)
                sums[row] = dot(packed + row * row_bytes, x, shape.cols);
        }
    }

    static std::int32_t dot(const std::uint8_t* row, const std::int8_t* x, int cols) {
        std::int32_t sum = 0;
        for (int first = 0; first < cols; first += tq_block, row += block_bytes) {
            std::uint8_t stored[tq_block];
            Coding::read(row, stored);
            for (int i = 0; i < tq_block; ++i) sum += (stored[i] - 1) * x[first + i];
        }
        return sum;
    }
};

template <typename Coding>
constexpr WeightFormat tq_format{Coding::name, Tq<Coding>::size, Tq<Coding>::pack, Tq<Coding>::unpack,
                                 Tq<Coding>::multiply};

}  // namespace bitnet::formats
