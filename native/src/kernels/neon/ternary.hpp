// Matmuls of packed ternary weights.
#pragma once

#include "activations.hpp"

namespace bitnet::neon {
namespace {

int8x16_t two_bits(uint8x16_t packed, int shift) {
    const uint8x16_t moved = vshlq_u8(packed, vdupq_n_s8(std::int8_t(-shift)));
    return vreinterpretq_s8_u8(vandq_u8(moved, vdupq_n_u8(3)));
}

// A block adds 16 products of a code (0..2) and an int8 to each 16-bit lane: at most 4096.  Seven blocks fit.
constexpr int blocks_before_widening = 7;

template <int R, int T>
struct I2S {
    static void run(const Rows& w, int row, const Activations& x, int token, float* out,
                    std::size_t out_stride) {
        int32x4_t total[T][R];
        for (int t = 0; t < T; ++t) {
            for (int r = 0; r < R; ++r) total[t][r] = vdupq_n_s32(0);
        }
        const int blocks = w.cols / block_i2_s;
        for (int block = 0; block < blocks; block += blocks_before_widening) {
            add_blocks(w, row, x, token, block, smaller(block + blocks_before_widening, blocks), total);
        }
        for (int t = 0; t < T; ++t) {
            const float sum = float(x.sums[token + t]), scale = x.scales[token + t];
            float* result = out + (token + t) * out_stride + row;
            for (int r = 0; r < R; ++r) result[r] = (float(vaddvq_s32(total[t][r])) - sum) / scale * w.scale;
        }
    }

    static void add_blocks(const Rows& w, int row, const Activations& x, int token, int block, int end,
                           int32x4_t (&total)[T][R]) {
        int16x8_t part[T][R];
        for (int t = 0; t < T; ++t) {
            for (int r = 0; r < R; ++r) part[t][r] = vdupq_n_s16(0);
        }
        for (; block < end; ++block) {
            for (int half = 0; half < 2; ++half) {
                uint8x16_t bytes[R];
                for (int r = 0; r < R; ++r)
                    bytes[r] = vld1q_u8(w.data + (row + r) * w.row_bytes + block * 32 + half * 16);
                for (int group = 0; group < 4; ++group) {
                    const int at = block * block_i2_s + group * 32 + half * 16;
                    int8x16_t values[T];
                    for (int t = 0; t < T; ++t) values[t] = vld1q_s8(x.codes + (token + t) * x.stride + at);
                    for (int r = 0; r < R; ++r) {
                        const int8x16_t weights = two_bits(bytes[r], 6 - 2 * group);
                        for (int t = 0; t < T; ++t) {
                            part[t][r] = vmlal_s8(part[t][r], vget_low_s8(weights), vget_low_s8(values[t]));
                            part[t][r] = vmlal_high_s8(part[t][r], weights, values[t]);
                        }
                    }
                }
            }
        }
        for (int t = 0; t < T; ++t) {
            for (int r = 0; r < R; ++r) total[t][r] = vpadalq_s16(total[t][r], part[t][r]);
        }
    }
};

// The digit above 8 bits of 3 * byte, for all bytes: 0, 1 or 2.
int8x16_t top_digit(uint8x16_t bytes) {
    const uint8x8_t low = vshrn_n_u16(vmull_u8(vget_low_u8(bytes), vdup_n_u8(3)), 8);
    const uint8x8_t high = vshrn_n_u16(vmull_u8(vget_high_u8(bytes), vdup_n_u8(3)), 8);
    return vreinterpretq_s8_u8(vcombine_u8(low, high));
}

// 256 codes, in the order of the elements.
struct Tq1 {
    static constexpr int bytes = tq1_0_bytes;

    static void unpack(const std::uint8_t* block, int8x16_t (&codes)[16]) {
        uint8x16_t first = vld1q_u8(block), second = vld1q_u8(block + 16), third = vld1q_u8(block + 32);
        const uint8x16_t three = vdupq_n_u8(3);
        for (int digit = 0; digit < 5; ++digit) {
            codes[2 * digit] = top_digit(first);
            codes[2 * digit + 1] = top_digit(second);
            codes[10 + digit] = top_digit(third);
            first = vmulq_u8(first, three);
            second = vmulq_u8(second, three);
            third = vmulq_u8(third, three);
        }
        const std::uint8_t* p = block + 48;
        const std::uint32_t fours = p[0] | p[1] << 8 | p[2] << 16 | std::uint32_t(p[3]) << 24;
        constexpr std::uint8_t powers[16] = {1, 1, 1, 1, 3, 3, 3, 3, 9, 9, 9, 9, 27, 27, 27, 27};
        codes[15] = top_digit(vmulq_u8(vreinterpretq_u8_u32(vdupq_n_u32(fours)), vld1q_u8(powers)));
    }
};

struct Tq2 {
    static constexpr int bytes = tq2_0_bytes;

    static void unpack(const std::uint8_t* block, int8x16_t (&codes)[16]) {
        for (int i = 0; i < 16; ++i)
            codes[i] = two_bits(vld1q_u8(block + i / 8 * 32 + i % 2 * 16), i % 8 / 2 * 2);
    }
};

// Products of every second register of sixteen, summed by the place of their four bytes, less the sums of
// codes.
struct SumFours {
    static int32x4_t run(const int8x16_t* weights, const std::int8_t* codes, const std::int16_t* sums) {
        int16x8_t low = vdupq_n_s16(0), high = vdupq_n_s16(0);
        for (int i = 0; i < 8; ++i) {
            const int8x16_t values = vld1q_s8(codes + 32 * i);
            low = vmlal_s8(low, vget_low_s8(weights[2 * i]), vget_low_s8(values));
            high = vmlal_high_s8(high, weights[2 * i], values);
        }
        const int32x4_t fours = vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high));
        return vsubq_s32(fours, vpaddlq_s16(vld1q_s16(sums)));
    }
};

template <typename Packing, bool is_fused, typename Fours = SumFours>
struct Q8K {
    template <int R, int T>
    struct Tile {
        static void run(const Rows& w, int row, const Activations& x, int token, float* out,
                        std::size_t out_stride) {
            const int blocks = w.cols / block_q8_k;
            for (int r = 0; r < R; ++r) {
                Eight sum[T];
                for (int t = 0; t < T; ++t) sum[t] = all(0.0f);
                for (int block = 0; block < blocks; ++block) {
                    add_block(w.data + (row + r) * w.row_bytes + block * Packing::bytes, x, token, block,
                              blocks, sum);
                }
                for (int t = 0; t < T; ++t)
                    out[(token + t) * out_stride + row + r] = add_lanes_as_halves(sum[t]);
            }
        }

        static void add_block(const std::uint8_t* packed, const Activations& x, int token, int block,
                              int blocks, Eight (&sum)[T]) {
            int8x16_t weights[16];
            Packing::unpack(packed, weights);
            const std::uint8_t* tail = packed + Packing::bytes - 2;
            const float weight_scale = float_of(std::uint16_t(tail[0] | tail[1] << 8));
            for (int t = 0; t < T; ++t) {
                const std::int8_t* codes = x.codes + (token + t) * x.stride + block * block_q8_k;
                const std::int16_t* sums = x.block_sums + ((token + t) * blocks + block) * 16;
                const Eight fours{vcvtq_f32_s32(Fours::run(weights, codes, sums)),
                                  vcvtq_f32_s32(Fours::run(weights + 1, codes + 16, sums + 8))};
                const Eight scale = all(x.scales[(token + t) * x.scale_stride + block] * weight_scale);
                sum[t] = is_fused ? fma8(fours, scale, sum[t]) : fours * scale + sum[t];
            }
        }
    };
};

}  // namespace
}  // namespace bitnet::neon
