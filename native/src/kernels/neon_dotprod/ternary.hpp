// Matmuls of packed ternary weights, 16 weights an instruction.
//
// sdot adds four products of a code (0..2) and an int8 to a 32-bit lane: at most 4 x 2 x 128 = 1024 in
// magnitude.  A lane meets eight of them a block of 128 weights, so it cannot overflow below 2^31 / 8192
// blocks, thirty million columns; nothing is widened on the way.
#pragma once

#include "../neon/ternary.hpp"

namespace bitnet::neon_dotprod {
namespace {

template <int R, int T>
struct I2S {
    static void run(const Rows& w, int row, const Activations& x, int token, float* out,
                    std::size_t out_stride) {
        int32x4_t total[T][R];
        for (int t = 0; t < T; ++t) {
            for (int r = 0; r < R; ++r) total[t][r] = vdupq_n_s32(0);
        }
        for (int block = 0; block < w.cols / block_i2_s; ++block) {
            for (int half = 0; half < 2; ++half) add_half(w, row, x, token, block, half, total);
        }
        for (int t = 0; t < T; ++t) {
            const float sum = float(x.sums[token + t]), scale = x.scales[token + t];
            float* result = out + (token + t) * out_stride + row;
            for (int r = 0; r < R; ++r) result[r] = (float(vaddvq_s32(total[t][r])) - sum) / scale * w.scale;
        }
    }

    static void add_half(const Rows& w, int row, const Activations& x, int token, int block, int half,
                         int32x4_t (&total)[T][R]) {
        uint8x16_t bytes[R];
        for (int r = 0; r < R; ++r)
            bytes[r] = vld1q_u8(w.data + (row + r) * w.row_bytes + block * 32 + half * 16);
        for (int group = 0; group < 4; ++group) {
            const int at = block * block_i2_s + group * 32 + half * 16;
            int8x16_t values[T];
            for (int t = 0; t < T; ++t) values[t] = vld1q_s8(x.codes + (token + t) * x.stride + at);
            for (int r = 0; r < R; ++r) {
                const int8x16_t weights = neon::two_bits(bytes[r], 6 - 2 * group);
                for (int t = 0; t < T; ++t) total[t][r] = vdotq_s32(total[t][r], weights, values[t]);
            }
        }
    }
};

// As neon::SumFours.
struct SumFours {
    static int32x4_t run(const int8x16_t* weights, const std::int8_t* codes, const std::int16_t* sums) {
        int32x4_t fours = vnegq_s32(vpaddlq_s16(vld1q_s16(sums)));
        for (int i = 0; i < 8; ++i) fours = vdotq_s32(fours, weights[2 * i], vld1q_s8(codes + 32 * i));
        return fours;
    }
};

}  // namespace
}  // namespace bitnet::neon_dotprod
