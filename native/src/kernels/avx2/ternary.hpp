// Matmuls of packed ternary weights.
#pragma once

#include "../tiling.hpp"
#include "rounding.hpp"

namespace bitnet::avx2 {
namespace {

__m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

__m256i two_bits(__m256i packed, int shift) {
    return _mm256_and_si256(_mm256_srli_epi16(packed, shift), _mm256_set1_epi8(3));
}

// maddubs adds two products of a code (0..2) and an int8: at most 512 in magnitude.  63 of them fit in int16.
constexpr int blocks_before_widening = 15;  // of four each

// Sums of the lanes of four registers.
__m128i add_lanes_of_four(const __m256i (&v)[4]) {
    const __m256i first = _mm256_hadd_epi32(v[0], v[1]), second = _mm256_hadd_epi32(v[2], v[3]);
    const __m256i halves = _mm256_hadd_epi32(first, second);
    return _mm_add_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
}

// (dot of codes 0..2 - sum of activations) / activation scale * weight scale, for R rows of one token.
template <int R>
void store_products(const __m256i (&total)[R], const Activations& x, int token, float weight_scale,
                    float* out) {
    const float sum = float(x.sums[token]), scale = x.scales[token];
    if constexpr (R == 4) {
        const __m128 dot = _mm_cvtepi32_ps(add_lanes_of_four(total));
        const __m128 quotient = _mm_div_ps(_mm_sub_ps(dot, _mm_set1_ps(sum)), _mm_set1_ps(scale));
        _mm_storeu_ps(out, _mm_mul_ps(quotient, _mm_set1_ps(weight_scale)));
    } else {
        for (int r = 0; r < R; ++r) out[r] = (float(add_lanes(total[r])) - sum) / scale * weight_scale;
    }
}

template <int R, int T>
struct I2S {
    static void run(const Rows& w, int row, const Activations& x, int token, float* out,
                    std::size_t out_stride) {
        const std::uint8_t* packed[R];
        const std::int8_t* codes[T];
        __m256i total[T][R];
        for (int r = 0; r < R; ++r) packed[r] = w.data + (row + r) * w.row_bytes;
        for (int t = 0; t < T; ++t) codes[t] = x.codes + (token + t) * x.stride;
        for (int t = 0; t < T; ++t) {
            for (int r = 0; r < R; ++r) total[t][r] = _mm256_setzero_si256();
        }
        const int blocks = w.cols / block_i2_s;
        for (int block = 0; block < blocks; block += blocks_before_widening) {
            add_blocks(packed, codes, block, smaller(block + blocks_before_widening, blocks), total);
        }
        for (int t = 0; t < T; ++t)
            store_products(total[t], x, token + t, w.scale, out + (token + t) * out_stride + row);
    }

    static void add_blocks(const std::uint8_t* const (&packed)[R], const std::int8_t* const (&codes)[T],
                           int block, int end, __m256i (&total)[T][R]) {
        __m256i part[T][R];
        for (int t = 0; t < T; ++t) {
            for (int r = 0; r < R; ++r) part[t][r] = _mm256_setzero_si256();
        }
        for (; block < end; ++block) {
            __m256i bytes[R];
            for (int r = 0; r < R; ++r) bytes[r] = load(packed[r] + block * 32);
#pragma GCC unroll 4
            for (int group = 0; group < 4; ++group) {
                __m256i weights[R];
                for (int r = 0; r < R; ++r) weights[r] = two_bits(bytes[r], 6 - 2 * group);
                for (int t = 0; t < T; ++t) {
                    const __m256i values = load(codes[t] + block * block_i2_s + group * 32);
                    for (int r = 0; r < R; ++r) {
                        part[t][r] = _mm256_add_epi16(part[t][r], _mm256_maddubs_epi16(weights[r], values));
                    }
                }
            }
        }
        for (int t = 0; t < T; ++t) {
            for (int r = 0; r < R; ++r) {
                total[t][r] =
                    _mm256_add_epi32(total[t][r], _mm256_madd_epi16(part[t][r], _mm256_set1_epi16(1)));
            }
        }
    }
};

// The digit above 8 bits of 3 * byte, for all bytes: 0, 1 or 2.
__m256i top_digit(__m256i bytes) {
    const __m256i even = _mm256_and_si256(bytes, _mm256_set1_epi16(0xff));
    const __m256i odd = _mm256_srli_epi16(bytes, 8);
    const __m256i three = _mm256_set1_epi16(3);
    const __m256i even_digit = _mm256_srli_epi16(_mm256_mullo_epi16(even, three), 8);
    const __m256i odd_digit = _mm256_andnot_si256(_mm256_set1_epi16(0xff), _mm256_mullo_epi16(odd, three));
    return _mm256_or_si256(even_digit, odd_digit);
}

__m256i triple(__m256i bytes) { return _mm256_add_epi8(bytes, _mm256_add_epi8(bytes, bytes)); }

// Eight registers of 32 codes each, in the order of the elements.
struct Tq1 {
    static constexpr int bytes = tq1_0_bytes;

    static void unpack(const std::uint8_t* block, __m256i (&codes)[8]) {
        __m256i fives = load(block);
        for (int digit = 0; digit < 5; ++digit, fives = triple(fives)) codes[digit] = top_digit(fives);
        const __m128i x0 = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 32));
        const __m128i x1 = _mm_add_epi8(x0, _mm_add_epi8(x0, x0));
        const __m128i x2 = _mm_add_epi8(x1, _mm_add_epi8(x1, x1));
        const __m128i x3 = _mm_add_epi8(x2, _mm_add_epi8(x2, x2));
        const __m128i x4 = _mm_add_epi8(x3, _mm_add_epi8(x3, x3));
        codes[5] = top_digit(_mm256_set_m128i(x1, x0));
        codes[6] = top_digit(_mm256_set_m128i(x3, x2));
        codes[7] = top_digit(_mm256_set_m128i(fours(block + 48), x4));
    }

    // Four bytes times 1, 3, 9, 27.
    static __m128i fours(const std::uint8_t* p) {
        const std::uint32_t x = p[0] | p[1] << 8 | p[2] << 16 | std::uint32_t(p[3]) << 24;
        const __m256i wide = _mm256_cvtepu8_epi16(_mm_set1_epi32(int(x)));
        const __m256i powers = _mm256_setr_epi16(1, 1, 1, 1, 3, 3, 3, 3, 9, 9, 9, 9, 27, 27, 27, 27);
        const __m256i products = _mm256_and_si256(_mm256_mullo_epi16(wide, powers), _mm256_set1_epi16(0xff));
        return _mm_packus_epi16(_mm256_castsi256_si128(products), _mm256_extracti128_si256(products, 1));
    }
};

struct Tq2 {
    static constexpr int bytes = tq2_0_bytes;

    static void unpack(const std::uint8_t* block, __m256i (&codes)[8]) {
        for (int half = 0; half < 2; ++half) {
            const __m256i packed = load(block + 32 * half);
            for (int group = 0; group < 4; ++group) codes[4 * half + group] = two_bits(packed, 2 * group);
        }
    }
};

template <typename Packing, bool is_fused>
struct Q8K {
    template <int R, int T>
    struct Tile {
        static void run(const Rows& w, int row, const Activations& x, int token, float* out,
                        std::size_t out_stride) {
            const int blocks = w.cols / block_q8_k;
            __m256 sum[R][T];
            for (int r = 0; r < R; ++r) {
                for (int t = 0; t < T; ++t) sum[r][t] = _mm256_setzero_ps();
            }
            for (int block = 0; block < blocks; ++block) {
                for (int r = 0; r < R; ++r) {
                    add_block(w.data + (row + r) * w.row_bytes + block * Packing::bytes, x, token, block,
                              blocks, sum[r]);
                }
            }
            for (int r = 0; r < R; ++r) {
                for (int t = 0; t < T; ++t)
                    out[(token + t) * out_stride + row + r] = add_lanes_as_halves(sum[r][t]);
            }
        }

        static void add_block(const std::uint8_t* packed, const Activations& x, int token, int block,
                              int blocks, __m256 (&sum)[T]) {
            __m256i weights[8];
            Packing::unpack(packed, weights);
            const std::uint8_t* tail = packed + Packing::bytes - 2;
            const float weight_scale = float_of(std::uint16_t(tail[0] | tail[1] << 8));
            for (int t = 0; t < T; ++t) {
                const std::int8_t* codes = x.codes + (token + t) * x.stride + block * block_q8_k;
                __m256i part = _mm256_sub_epi16(_mm256_setzero_si256(),
                                                load(x.block_sums + ((token + t) * blocks + block) * 16));
                for (int g = 0; g < 8; ++g) {
                    part = _mm256_add_epi16(part, _mm256_maddubs_epi16(weights[g], load(codes + 32 * g)));
                }
                const __m256 fours = _mm256_cvtepi32_ps(_mm256_madd_epi16(part, _mm256_set1_epi16(1)));
                const float scale = x.scales[(token + t) * x.scale_stride + block] * weight_scale;
                sum[t] = is_fused ? _mm256_fmadd_ps(fours, _mm256_set1_ps(scale), sum[t])
                                  : _mm256_add_ps(_mm256_mul_ps(fours, _mm256_set1_ps(scale)), sum[t]);
            }
        }
    };
};

}  // namespace
}  // namespace bitnet::avx2
