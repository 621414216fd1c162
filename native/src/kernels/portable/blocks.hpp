// Formats of blocks with scales, as integers: what the matmuls of integers.hpp and the rows of embeddings are made of.
// Layouts are those of ggml-common.h; a weight is told in the comment of its format.
#pragma once

#include <bit>
#include <cstdint>

#include "bitnet/format.hpp"
#include "bitnet/half.hpp"

namespace bitnet::portable {
namespace {

float half_at(const std::uint8_t* bytes) { return float_of_f16(std::uint16_t(bytes[0] | bytes[1] << 8)); }

int bits(std::uint8_t byte, int low, int count) { return byte >> low & ((1 << count) - 1); }

// Blocks of 32 that meet Q8_0 activations: weight = scale * code + least, where only Q4_1 has a least.
struct Q80 {
    static constexpr int bytes = q8_0_bytes;
    static constexpr bool has_least = false;

    static float scale(const std::uint8_t* block) { return half_at(block); }
    static float least(const std::uint8_t*) { return 0.0f; }
    static int code(const std::uint8_t* block, int i) { return std::bit_cast<std::int8_t>(block[2 + i]); }
};

// Byte j of the nibbles holds the codes j and 16 + j.
int nibble(const std::uint8_t* nibbles, int i) { return bits(nibbles[i % 16], i / 16 * 4, 4); }

struct Q40 {
    static constexpr int bytes = q4_0_bytes;
    static constexpr bool has_least = false;

    static float scale(const std::uint8_t* block) { return half_at(block); }
    static float least(const std::uint8_t*) { return 0.0f; }
    static int code(const std::uint8_t* block, int i) { return nibble(block + 2, i) - 8; }
};

struct Q41 {
    static constexpr int bytes = q4_1_bytes;
    static constexpr bool has_least = true;

    static float scale(const std::uint8_t* block) { return half_at(block); }
    static float least(const std::uint8_t* block) { return half_at(block + 2); }
    static int code(const std::uint8_t* block, int i) { return nibble(block + 4, i); }
};

struct Q50 {
    static constexpr int bytes = q5_0_bytes;
    static constexpr bool has_least = false;

    static float scale(const std::uint8_t* block) { return half_at(block); }
    static float least(const std::uint8_t*) { return 0.0f; }
    static int code(const std::uint8_t* block, int i) {
        return (nibble(block + 6, i) | bits(block[2 + i / 8], i % 8, 1) << 4) - 16;
    }
};

// Blocks of two or four Q8_0 blocks.
struct Q20 {
    static constexpr int bytes = q2_0_bytes, parts = 2;
    static constexpr bool has_least = false;

    static float scale(const std::uint8_t* block) { return half_at(block); }
    static int code(const std::uint8_t* block, int i) { return bits(block[2 + i / 4], i % 4 * 2, 2) - 1; }
};

struct Q10 {
    static constexpr int bytes = q1_0_bytes, parts = 4;
    static constexpr bool has_least = false;

    static float scale(const std::uint8_t* block) { return half_at(block); }
    static int code(const std::uint8_t* block, int i) { return 2 * bits(block[2 + i / 8], i % 8, 1) - 1; }
};

// Ternary weights: the codes 0, 1, 2 of a block stand for -1, 0, 1, in I2_S times the scale of the whole matrix.
struct I2S {
    static constexpr int bytes = i2_s_bytes;

    static void unpack(const std::uint8_t* block, std::uint8_t* codes) {
        for (int i = 0; i < block_i2_s; ++i) codes[i] = std::uint8_t(bits(block[i % 32], 6 - i / 32 * 2, 2));
    }
};

struct Tq1 {
    static constexpr int bytes = tq1_0_bytes;

    static float scale(const std::uint8_t* block) { return half_at(block + bytes - 2); }

    // A byte is a fraction in base 3: the first digit after the point stands for the first weight.
    static std::uint8_t digit(std::uint8_t byte, int k) {
        constexpr std::uint8_t powers[5] = {1, 3, 9, 27, 81};
        return std::uint8_t((std::uint8_t(byte * powers[k]) * 3) >> 8);
    }

    static void unpack(const std::uint8_t* block, std::uint8_t* codes) {
        for (int k = 0; k < 5; ++k) {
            for (int i = 0; i < 32; ++i) codes[k * 32 + i] = digit(block[i], k);
            for (int i = 0; i < 16; ++i) codes[160 + k * 16 + i] = digit(block[32 + i], k);
        }
        for (int k = 0; k < 4; ++k) {
            for (int i = 0; i < 4; ++i) codes[240 + k * 4 + i] = digit(block[48 + i], k);
        }
    }
};

struct Tq2 {
    static constexpr int bytes = tq2_0_bytes;

    static float scale(const std::uint8_t* block) { return half_at(block + bytes - 2); }
    static void unpack(const std::uint8_t* block, std::uint8_t* codes) {
        for (int i = 0; i < block_q8_k; ++i)
            codes[i] = std::uint8_t(bits(block[i / 128 * 32 + i % 32], i % 128 / 32 * 2, 2));
    }
};

// K-quants: blocks of 256 that meet Q8_K activations, in sixteens with an integer scale each:
// weight = scale * part_scale * code - least_scale * part_least, where only Q4_K has leasts.
struct KBlock {
    int code[block_q8_k];
    int part_scale[16], part_least[16];
    float scale, least_scale;
};

struct Q6K {
    static constexpr int bytes = q6_k_bytes;
    static constexpr bool has_leasts = false;
    static constexpr int offset = 32;  // stored codes are this much larger

    static void read(const std::uint8_t* block, KBlock& to) {
        const std::uint8_t *low = block, *high = block + 128, *scales = block + 192;
        for (int i = 0; i < block_q8_k; ++i) {
            const int half = i / 128, group = i % 128 / 32, l = i % 32;
            const int low_bits = bits(low[64 * half + 32 * (group % 2) + l], group / 2 * 4, 4);
            to.code[i] = (low_bits | bits(high[32 * half + l], 2 * group, 2) << 4) - offset;
        }
        for (int part = 0; part < 16; ++part) {
            to.part_scale[part] = std::bit_cast<std::int8_t>(scales[part]);
            to.part_least[part] = 0;
        }
        to.scale = half_at(block + 208);
        to.least_scale = 0.0f;
    }
};

struct Q3K {
    static constexpr int bytes = q3_k_bytes;
    static constexpr bool has_leasts = false;
    static constexpr int offset = 4;

    static void read(const std::uint8_t* block, KBlock& to) {
        const std::uint8_t *high = block, *low = block + 32, *scales = block + 96;
        for (int i = 0; i < block_q8_k; ++i) {
            const int group = i / 32, l = i % 32;
            const int low_bits = bits(low[32 * (group / 4) + l], 2 * (group % 4), 2);
            to.code[i] = (low_bits | bits(high[l], group, 1) << 2) - offset;
        }
        for (int part = 0; part < 16; ++part) {
            const int low_bits = bits(scales[part % 8], part / 8 * 4, 4);
            to.part_scale[part] = (low_bits | bits(scales[8 + part % 4], part / 4 * 2, 2) << 4) - 32;
            to.part_least[part] = 0;
        }
        to.scale = half_at(block + 108);
        to.least_scale = 0.0f;
    }
};

struct Q4K {
    static constexpr int bytes = q4_k_bytes;
    static constexpr bool has_leasts = true;
    static constexpr int offset = 0;

    static void read(const std::uint8_t* block, KBlock& to) {
        const std::uint8_t *scales = block + 4, *codes = block + 16;
        for (int i = 0; i < block_q8_k; ++i)
            to.code[i] = bits(codes[i / 64 * 32 + i % 32], i % 64 / 32 * 4, 4);
        for (int part = 0; part < 16; ++part) {
            const int j = part / 2;
            if (j < 4) {
                to.part_scale[part] = bits(scales[j], 0, 6);
                to.part_least[part] = bits(scales[j + 4], 0, 6);
            } else {
                to.part_scale[part] = bits(scales[j + 4], 0, 4) | bits(scales[j - 4], 6, 2) << 4;
                to.part_least[part] = bits(scales[j + 4], 4, 4) | bits(scales[j], 6, 2) << 4;
            }
        }
        to.scale = half_at(block);
        to.least_scale = half_at(block + 2);
    }
};

}  // namespace
}  // namespace bitnet::portable
