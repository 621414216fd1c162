// Matmuls of ternary weights, codes 0 to 2 that stand for -1 to 1, with int8 activations, in the sums of kernels.hpp.
#pragma once

#include <cmath>

#include "integers.hpp"

namespace bitnet::portable {
namespace {

void i2_s(const Rows& w, const Activations& x, float* out, std::size_t out_stride) {
    for (int row = 0; row < w.rows; ++row) {
        const std::uint8_t* packed = w.data + std::size_t(row) * w.row_bytes;
        for (int token = 0; token < x.tokens; ++token) {
            const std::int8_t* codes = x.codes + std::size_t(token) * x.stride;
            std::int32_t dot = 0;
            for (int i = 0; i < w.cols; i += block_i2_s) {
                std::uint8_t weights[block_i2_s];
                I2S::unpack(packed + i / block_i2_s * I2S::bytes, weights);
                for (int k = 0; k < block_i2_s; ++k) dot += weights[k] * codes[i + k];
            }
            out[std::size_t(token) * out_stride + std::size_t(row)] =
                (float(dot) - float(x.sums[token])) / x.scales[token] * w.scale;
        }
    }
}

// A block's codes are one too large each, so what the activations add up to is taken back.
template <typename Block, bool is_fused>
float dot_tq_in_lanes(const std::uint8_t* row, const Token& x, int cols) {
    float lane[8] = {};
    for (int b = 0; b < cols / block_q8_k; ++b, row += Block::bytes) {
        std::uint8_t weights[block_q8_k];
        Block::unpack(row, weights);
        std::int32_t sum[8];
        for (int l = 0; l < 8; ++l) sum[l] = -x.block_sums[b * 16 + 2 * l] - x.block_sums[b * 16 + 2 * l + 1];
        for (int i = 0; i < block_q8_k; ++i) sum[i % 32 / 4] += weights[i] * x.codes[b * block_q8_k + i];
        const float scale = x.scales[b] * Block::scale(row);
        for (int l = 0; l < 8; ++l) {
            lane[l] = is_fused ? std::fma(float(sum[l]), scale, lane[l]) : float(sum[l]) * scale + lane[l];
        }
    }
    return add_lanes_by_halves<8>(lane);
}

template <typename Block>
float dot_tq_in_one(const std::uint8_t* row, const Token& x, int cols) {
    float total = 0.0f;
    for (int b = 0; b < cols / block_q8_k; ++b, row += Block::bytes) {
        std::uint8_t weights[block_q8_k];
        Block::unpack(row, weights);
        std::int32_t sum = 0;
        for (int i = 0; i < 16; ++i) sum -= x.block_sums[b * 16 + i];
        for (int i = 0; i < block_q8_k; ++i) sum += weights[i] * x.codes[b * block_q8_k + i];
        total = std::fma(Block::scale(row) * x.scales[b], float(sum), total);
    }
    return total;
}

}  // namespace
}  // namespace bitnet::portable
