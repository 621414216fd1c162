// Matmuls of Q2_0 and Q1_0, whose blocks meet two and four blocks of Q8_0.
#pragma once

#include "blocks.hpp"

namespace bitnet::avx2 {
namespace {

// 32 weights of -1 to 2, four a byte, low bits first.
__m256i codes_of_q2_0(const std::uint8_t* bytes) {
    const __m128i eight = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes));
    __m256i fours = _mm256_cvtepu8_epi32(eight);
    fours = _mm256_or_si256(fours, _mm256_slli_epi32(fours, 6));
    fours = _mm256_or_si256(fours, _mm256_slli_epi32(fours, 12));
    return _mm256_sub_epi8(_mm256_and_si256(fours, _mm256_set1_epi8(3)), _mm256_set1_epi8(1));
}

// 32 weights of -1 or 1, eight a byte, low bits first.
__m256i codes_of_q1_0(const std::uint8_t* bytes) {
    const __m256i is_minus = _mm256_cmpeq_epi8(minus_16_unless(bytes), _mm256_set1_epi8(-16));
    return _mm256_or_si256(is_minus, _mm256_set1_epi8(1));
}

// One float sum a row.
template <bool is_fused>
struct Q2InOneSum {
    template <int R, int T>
    struct Tile {
        static void run(const Rows& w, int row, const Activations& x, int token, float* out,
                        std::size_t out_stride) {
            float total[R][T] = {};
            for (int b = 0; b < w.cols / block_q2_0; ++b) {
                for (int r = 0; r < R; ++r) {
                    const std::uint8_t* block = w.data + (row + r) * w.row_bytes + b * q2_0_bytes;
                    const __m256i first = codes_of_q2_0(block + 2), second = codes_of_q2_0(block + 10);
                    for (int t = 0; t < T; ++t) {
                        const std::int8_t* codes = x.codes + (token + t) * x.stride + b * block_q2_0;
                        const float* scales = x.scales + (token + t) * x.scale_stride + 2 * b;
                        float part = scales[0] * float(add_lanes(dot_in_fours(first, load(codes))));
                        const float sum = float(add_lanes(dot_in_fours(second, load(codes + 32))));
                        part = __builtin_fmaf(scales[1], sum, part);
                        const float scale = half_at(block);
                        total[r][t] =
                            is_fused ? __builtin_fmaf(scale, part, total[r][t]) : total[r][t] + scale * part;
                    }
                }
            }
            for (int r = 0; r < R; ++r) {
                for (int t = 0; t < T; ++t) out[(token + t) * out_stride + row + r] = total[r][t];
            }
        }
    };
};

struct Q1InLanes {
    template <int R, int T>
    struct Tile {
        static void run(const Rows& w, int row, const Activations& x, int token, float* out,
                        std::size_t out_stride) {
            __m256 sum[R][T];
            for (int r = 0; r < R; ++r) {
                for (int t = 0; t < T; ++t) sum[r][t] = _mm256_setzero_ps();
            }
            for (int b = 0; b < w.cols / block_q1_0; ++b) {
                for (int r = 0; r < R; ++r) {
                    const std::uint8_t* block = w.data + (row + r) * w.row_bytes + b * q1_0_bytes;
                    __m256i weights[4];
                    for (int k = 0; k < 4; ++k) weights[k] = codes_of_q1_0(block + 2 + 4 * k);
                    const __m256 scale = _mm256_set1_ps(half_at(block));
                    for (int t = 0; t < T; ++t) {
                        const std::int8_t* codes = x.codes + (token + t) * x.stride + b * block_q1_0;
                        const float* scales = x.scales + (token + t) * x.scale_stride + 4 * b;
                        sum[r][t] = _mm256_fmadd_ps(scale, add_parts(weights, codes, scales), sum[r][t]);
                    }
                }
            }
            for (int r = 0; r < R; ++r) {
                for (int t = 0; t < T; ++t)
                    out[(token + t) * out_stride + row + r] = add_lanes_as_halves(sum[r][t]);
            }
        }

        static __m256 add_parts(const __m256i (&weights)[4], const std::int8_t* codes, const float* scales) {
            __m256 part = _mm256_setzero_ps();
            for (int k = 0; k < 4; ++k) {
                const __m256 fours = _mm256_cvtepi32_ps(dot_in_fours(weights[k], load(codes + 32 * k)));
                const __m256 scale = _mm256_set1_ps(scales[k]);
                part = k == 0 ? _mm256_mul_ps(scale, fours) : _mm256_fmadd_ps(scale, fours, part);
            }
            return part;
        }
    };
};

}  // namespace
}  // namespace bitnet::avx2
