// Matmuls of weights in blocks with int8 activations in blocks, in every sum of kernels.hpp that they have.
#pragma once

#include <cmath>

#include "bitnet/kernels.hpp"
#include "blocks.hpp"
#include "lanes.hpp"

namespace bitnet::portable {
namespace {

// What a row is multiplied with.
struct Token {
    const std::int8_t* codes;
    const float* scales;
    const float* value_sums;
    const std::int16_t* block_sums;

    Token(const Activations& x, int token, int cols)
        : codes(x.codes + std::size_t(token) * x.stride),
          scales(x.scales + std::size_t(token) * x.scale_stride),
          value_sums(x.value_sums ? x.value_sums + std::size_t(token) * x.scale_stride : nullptr),
          block_sums(x.block_sums ? x.block_sums + token * (cols / 16) : nullptr) {}
};

using Dot = float (*)(const std::uint8_t* row, const Token& x, int cols);

template <Dot dot>
void each_dot(const Rows& w, const Activations& x, float* out, std::size_t out_stride) {
    for (int row = 0; row < w.rows; ++row) {
        for (int token = 0; token < x.tokens; ++token) {
            const std::uint8_t* data = w.data + std::size_t(row) * w.row_bytes;
            out[std::size_t(token) * out_stride + std::size_t(row)] =
                dot(data, Token(x, token, w.cols), w.cols);
        }
    }
}

template <typename Block>
int dot_of_codes(const std::uint8_t* block, const std::int8_t* codes, int first, int count) {
    int sum = 0;
    for (int i = first; i < first + count; ++i) sum += Block::code(block, i) * codes[i];
    return sum;
}

template <typename Block>
float dot_q8_0_in_lanes(const std::uint8_t* row, const Token& x, int cols) {
    float lane[8] = {}, leasts = 0.0f;
    for (int b = 0; b < cols / block_q8_0; ++b, row += Block::bytes) {
        const float scale = Block::scale(row) * x.scales[b];
        for (int l = 0; l < 8; ++l) {
            const int sum = dot_of_codes<Block>(row, x.codes + b * block_q8_0, 4 * l, 4);
            lane[l] = std::fma(scale, float(sum), lane[l]);
        }
        if (Block::has_least) leasts = std::fma(Block::least(row), x.value_sums[b], leasts);
    }
    const float sum = add_lanes_by_halves<8>(lane);
    return Block::has_least ? sum + leasts : sum;
}

template <typename Block>
float dot_q8_0_in_one(const std::uint8_t* row, const Token& x, int cols) {
    float total = 0.0f;
    for (int b = 0; b < cols / block_q8_0; ++b, row += Block::bytes) {
        const int sum = dot_of_codes<Block>(row, x.codes + b * block_q8_0, 0, block_q8_0);
        total = std::fma(float(sum), Block::scale(row) * x.scales[b], total);
    }
    return total;
}

// Blocks of several Q8_0 blocks: `part` of a row's lanes or sums is what those add up to, each times its scale.
template <typename Block, bool is_fused>
float dot_parts_in_one(const std::uint8_t* row, const Token& x, int cols) {
    float total = 0.0f;
    for (int b = 0; b < cols / block_q8_0; b += Block::parts, row += Block::bytes) {
        float part = 0.0f;
        for (int k = 0; k < Block::parts; ++k) {
            int sum = 0;
            for (int i = 0; i < block_q8_0; ++i)
                sum += Block::code(row, k * block_q8_0 + i) * x.codes[(b + k) * block_q8_0 + i];
            part = std::fma(x.scales[b + k], float(sum), part);
        }
        total = is_fused ? std::fma(Block::scale(row), part, total) : total + Block::scale(row) * part;
    }
    return total;
}

template <typename Block>
float dot_parts_in_lanes(const std::uint8_t* row, const Token& x, int cols) {
    float lane[8] = {};
    for (int b = 0; b < cols / block_q8_0; b += Block::parts, row += Block::bytes) {
        for (int l = 0; l < 8; ++l) {
            float part = 0.0f;
            for (int k = 0; k < Block::parts; ++k) {
                int sum = 0;
                for (int i = 4 * l; i < 4 * l + 4; ++i)
                    sum += Block::code(row, k * block_q8_0 + i) * x.codes[(b + k) * block_q8_0 + i];
                part = k == 0 ? x.scales[b] * float(sum) : std::fma(x.scales[b + k], float(sum), part);
            }
            lane[l] = std::fma(Block::scale(row), part, lane[l]);
        }
    }
    return add_lanes_by_halves<8>(lane);
}

// Integers of a K-quant's block, in eight lanes (e % 32) / 4.
void add_to_lanes(const KBlock& w, const std::int8_t* codes, int (&lane)[8]) {
    for (int i = 0; i < block_q8_k; ++i) lane[i % 32 / 4] += w.part_scale[i / 16] * w.code[i] * codes[i];
}

int dot_of_block(const KBlock& w, const std::int8_t* codes) {
    int lane[8] = {}, sum = 0;
    add_to_lanes(w, codes, lane);
    for (int l = 0; l < 8; ++l) sum += lane[l];
    return sum;
}

int dot_of_leasts(const KBlock& w, const std::int16_t* block_sums, int first = 0, int count = 16) {
    int sum = 0;
    for (int part = first; part < first + count; ++part) sum += w.part_least[part] * block_sums[part];
    return sum;
}

// with_offset: lanes hold sums of stored codes, and lane l gives back what the parts 2 l and 2 l + 1 were too large by.
template <typename Block, bool with_offset>
float dot_k_in_lanes(const std::uint8_t* row, const Token& x, int cols) {
    float lane[8] = {}, leasts[4] = {};
    for (int b = 0; b < cols / block_q8_k; ++b, row += Block::bytes) {
        KBlock w;
        Block::read(row, w);
        const std::int16_t* block_sums = x.block_sums + b * 16;
        int sum[8] = {};
        if (with_offset) {
            for (int& code : w.code) code += Block::offset;
            for (int part = 0; part < 16; ++part)
                sum[part / 2] -= Block::offset * w.part_scale[part] * block_sums[part];
        }
        add_to_lanes(w, x.codes + b * block_q8_k, sum);
        for (int l = 0; l < 8; ++l) lane[l] = std::fma(x.scales[b] * w.scale, float(sum[l]), lane[l]);
        for (int l = 0; l < 4 && Block::has_leasts; ++l) {
            const int least = dot_of_leasts(w, block_sums, 4 * l, 4);
            leasts[l] = std::fma(-x.scales[b] * w.least_scale, float(least), leasts[l]);
        }
    }
    const float sum = add_lanes_by_halves<8>(lane);
    return Block::has_leasts ? sum + add_lanes_by_halves<4>(leasts) : sum;
}

// parts: the sixteens whose integers are added up before they are scaled.
template <typename Block, int parts>
float dot_k_in_one(const std::uint8_t* row, const Token& x, int cols) {
    float total = 0.0f, leasts = 0.0f;
    for (int b = 0; b < cols / block_q8_k; ++b, row += Block::bytes) {
        KBlock w;
        Block::read(row, w);
        for (int part = 0; part < 16; part += parts) {
            int sum = 0;
            for (int i = 16 * part; i < 16 * (part + parts); ++i)
                sum += w.part_scale[i / 16] * w.code[i] * x.codes[b * block_q8_k + i];
            total = std::fma(float(sum), w.scale * x.scales[b], total);
            const int least = dot_of_leasts(w, x.block_sums + b * 16, part, parts);
            leasts = std::fma(float(least), w.least_scale * x.scales[b], leasts);
        }
    }
    return Block::has_leasts ? total - leasts : total;
}

template <typename Block, bool is_fused>
float dot_k_in_tile(const std::uint8_t* row, const Token& x, int cols) {
    float total = 0.0f;
    for (int b = 0; b < cols / block_q8_k; ++b, row += Block::bytes) {
        KBlock w;
        Block::read(row, w);
        float block = w.scale * float(dot_of_block(w, x.codes + b * block_q8_k));
        if (Block::has_leasts)
            block = std::fma(-w.least_scale, float(dot_of_leasts(w, x.block_sums + b * 16)), block);
        total = is_fused ? std::fma(block, x.scales[b], total) : total + block * x.scales[b];
    }
    return total;
}

}  // namespace
}  // namespace bitnet::portable
