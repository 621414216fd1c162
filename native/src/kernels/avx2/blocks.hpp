// Matmuls of weights in blocks of 32 that meet Q8_0 activations.
#pragma once

#include "activations.hpp"
#include "ternary.hpp"
#include "vectors.hpp"

namespace bitnet::avx2 {
namespace {

float half_at(const std::uint8_t* bytes) { return float_of(std::uint16_t(bytes[0] | bytes[1] << 8)); }

// 16 bytes of two codes each: those in the low halves, then those in the high halves.
__m256i nibbles(const std::uint8_t* at) {
    const __m128i packed = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m256i both = _mm256_set_m128i(_mm_srli_epi16(packed, 4), packed);
    return _mm256_and_si256(both, _mm256_set1_epi8(15));
}

// -16 where the bit of a byte is not set, else 0.
__m256i minus_16_unless(const std::uint8_t* bits) {
    std::uint32_t word;
    __builtin_memcpy(&word, bits, sizeof word);
    const __m256i spread = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(int(word)), spread);
    const __m256i mask = _mm256_set1_epi64x(std::int64_t(0x8040201008040201));
    const __m256i is_set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, mask), mask);
    return _mm256_andnot_si256(is_set, _mm256_set1_epi8(-16));
}

// 32 codes as signed bytes.
struct Q80 {
    static constexpr int bytes = q8_0_bytes;
    static constexpr bool has_least = false;

    static __m256i codes(const std::uint8_t* block) { return load(block + 2); }
};

struct Q40 {
    static constexpr int bytes = q4_0_bytes;
    static constexpr bool has_least = false;

    static __m256i codes(const std::uint8_t* block) {
        return _mm256_sub_epi8(nibbles(block + 2), _mm256_set1_epi8(8));
    }
};

struct Q41 {
    static constexpr int bytes = q4_1_bytes;
    static constexpr bool has_least = true;

    static __m256i codes(const std::uint8_t* block) { return nibbles(block + 4); }
};

struct Q50 {
    static constexpr int bytes = q5_0_bytes;
    static constexpr bool has_least = false;

    static __m256i codes(const std::uint8_t* block) {
        return _mm256_or_si256(nibbles(block + 6), minus_16_unless(block + 2));
    }
};

// Products of 32 codes, summed in fours.
__m256i dot_in_fours(__m256i weights, __m256i values) {
    const __m256i magnitudes = _mm256_abs_epi8(weights), signed_values = _mm256_sign_epi8(values, weights);
    return _mm256_madd_epi16(_mm256_maddubs_epi16(magnitudes, signed_values), _mm256_set1_epi16(1));
}

template <typename Block>
struct InLanes {
    template <int R, int T>
    struct Tile {
        static void run(const Rows& w, int row, const Activations& x, int token, float* out,
                        std::size_t out_stride) {
            __m256 sum[R][T];
            float leasts[R][T];
            for (int r = 0; r < R; ++r) {
                for (int t = 0; t < T; ++t) sum[r][t] = _mm256_setzero_ps(), leasts[r][t] = 0.0f;
            }
            for (int b = 0; b < w.cols / block_q8_0; ++b) {
                for (int r = 0; r < R; ++r) {
                    const std::uint8_t* block = w.data + (row + r) * w.row_bytes + b * Block::bytes;
                    add_block(block, x, token, b, sum[r], leasts[r]);
                }
            }
            for (int r = 0; r < R; ++r) {
                for (int t = 0; t < T; ++t) {
                    const float lanes_sum = add_lanes_as_halves(sum[r][t]);
                    out[(token + t) * out_stride + row + r] =
                        Block::has_least ? lanes_sum + leasts[r][t] : lanes_sum;
                }
            }
        }

        static void add_block(const std::uint8_t* block, const Activations& x, int token, int b,
                              __m256 (&sum)[T], float (&leasts)[T]) {
            const __m256i weights = Block::codes(block);
            const float scale = half_at(block), least = Block::has_least ? half_at(block + 2) : 0.0f;
            for (int t = 0; t < T; ++t) {
                const std::size_t at = (token + t) * x.scale_stride + b;
                const __m256i values = load(x.codes + (token + t) * x.stride + b * block_q8_0);
                const __m256 fours = _mm256_cvtepi32_ps(dot_in_fours(weights, values));
                sum[t] = _mm256_fmadd_ps(_mm256_set1_ps(scale * x.scales[at]), fours, sum[t]);
                if (Block::has_least) leasts[t] = __builtin_fmaf(least, x.value_sums[at], leasts[t]);
            }
        }
    };
};

// One float sum a row; four rows share a register where there are four.
template <typename Block>
struct InOneSum {
    template <int R, int T>
    struct Tile {
        static_assert(R == 1 || R == 4);

        static void run(const Rows& w, int row, const Activations& x, int token, float* out,
                        std::size_t out_stride) {
            float total[T][R] = {};
            for (int b = 0; b < w.cols / block_q8_0; ++b) {
                __m256i weights[R];
                float scale[R];
                for (int r = 0; r < R; ++r) {
                    const std::uint8_t* block = w.data + (row + r) * w.row_bytes + b * Block::bytes;
                    weights[r] = Block::codes(block);
                    scale[r] = half_at(block);
                }
                for (int t = 0; t < T; ++t) {
                    const __m256i values = load(x.codes + (token + t) * x.stride + b * block_q8_0);
                    add_blocks(weights, scale, values, x.scales[(token + t) * x.scale_stride + b], total[t]);
                }
            }
            for (int t = 0; t < T; ++t) {
                for (int r = 0; r < R; ++r) out[(token + t) * out_stride + row + r] = total[t][r];
            }
        }

        static void add_blocks(const __m256i (&weights)[R], const float (&scale)[R], __m256i values,
                               float x_scale, float (&total)[R]) {
            __m256i fours[R];
            for (int r = 0; r < R; ++r) fours[r] = dot_in_fours(weights[r], values);
            if constexpr (R == 4) {
                const __m128 sums = _mm_cvtepi32_ps(add_lanes_of_four(fours));
                const __m128 scales = _mm_mul_ps(_mm_loadu_ps(scale), _mm_set1_ps(x_scale));
                _mm_storeu_ps(total, _mm_fmadd_ps(sums, scales, _mm_loadu_ps(total)));
            } else {
                total[0] = __builtin_fmaf(float(add_lanes(fours[0])), scale[0] * x_scale, total[0]);
            }
        }
    };
};

void quantize_q8_0(const float* x, int n, std::int8_t* codes, float* scales, float* value_sums) {
    for (int b = 0; b < n / block_q8_0; ++b, x += block_q8_0, codes += block_q8_0) {
        const float largest = largest_magnitude<Eight>(x, block_q8_0);
        const float scale = largest / 127.0f, inverse = largest == 0.0f ? 0.0f : 127.0f / largest;
        const float factor =
            __builtin_isinf(inverse) ? 0.0f : inverse;  // so tiny a block that its scale is 0
        const __m256i bytes = codes_of_32(x, _mm256_set1_ps(factor));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes), bytes);
        const float values[2] = {scale, scale * float(add_lanes(add_bytes_in_fours(bytes)))};
        scales[b] = float_of(_cvtss_sh(values[0], _MM_FROUND_TO_NEAREST_INT));
        value_sums[b] = float_of(_cvtss_sh(values[1], _MM_FROUND_TO_NEAREST_INT));
    }
}

}  // namespace
}  // namespace bitnet::avx2
