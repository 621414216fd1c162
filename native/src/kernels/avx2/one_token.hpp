// I2_S matmul of one token, which is bound by memory: as few instructions a byte as possible.
#pragma once

#include "ternary.hpp"

namespace bitnet::avx2 {
namespace {

// A byte holds four codes.  Those in bits 5-4 and 1-0 are masked out as c, those in bits 7-6 and 3-2 as 4 c:
// one shift instead of three.  Products with c have a sum of their own, which is multiplied by 4 afterwards.
//
// maddubs adds two products, of at most 4 x 2 x 127 or -4 x 2 x 128, and a block gives two such sums: eight
// blocks reach 32512 or -32768, and fit in int16.
constexpr int fewest_blocks = 8;

// One token, and how many blocks of it may be summed in int16, whatever the weights.
struct InStretches : Activations {
    int blocks;
};

// Whether a stretch of blocks could reach the limit of int16 in any lane, even if all codes were 3.
bool could_overflow(const std::int8_t* codes, int blocks) {
    __m256i reach = _mm256_setzero_si256(), reach_of_4 = reach;
    for (int i = 0; i < 4 * blocks; i += 2) {
        const __m256i first = _mm256_abs_epi8(load(codes + 32 * i));
        const __m256i next = _mm256_abs_epi8(load(codes + 32 * i + 32));
        reach_of_4 = _mm256_adds_epi16(reach_of_4, _mm256_maddubs_epi16(first, _mm256_set1_epi8(12)));
        reach = _mm256_adds_epi16(reach, _mm256_maddubs_epi16(next, _mm256_set1_epi8(3)));
    }
    const __m256i limit = _mm256_set1_epi16(32767);  // where sums saturate
    return _mm256_movemask_epi8(_mm256_cmpeq_epi16(_mm256_max_epi16(reach, reach_of_4), limit)) != 0;
}

// The values that a model computes are small beside the largest of them: most rows are one stretch or two.
InStretches in_stretches(const Activations& x, int cols) {
    const int blocks = cols / block_i2_s;
    const auto fits = [&](int stretch) {
        for (int block = 0; block < blocks; block += stretch) {
            if (could_overflow(x.codes + block * block_i2_s, smaller(stretch, blocks - block))) return false;
        }
        return true;
    };
    int stretch = blocks;
    while (stretch > fewest_blocks && !fits(stretch))
        stretch = stretch < 16 ? fewest_blocks : (stretch + 1) / 2;
    return {x, stretch};
}

template <int R, int T>
struct OneToken {
    static_assert(T == 1);

    static void run(const Rows& w, int row, const InStretches& x, int token, float* out,
                    std::size_t out_stride) {
        const std::uint8_t* packed = w.data + row * w.row_bytes;
        const std::int8_t* codes = x.codes + token * x.stride;
        __m256i total[R];
        for (int r = 0; r < R; ++r) total[r] = _mm256_setzero_si256();
        const int blocks = w.cols / block_i2_s;
        for (int block = 0; block < blocks; block += x.blocks)
            add_blocks(packed, w.row_bytes, codes, block, smaller(block + x.blocks, blocks), total);
        for (int r = 0; r < R; ++r) total[r] = _mm256_srai_epi32(total[r], 2);  // exact: multiples of 4
        store_products(total, x, token, w.scale, out + token * out_stride + row);
    }

    static void add_blocks(const std::uint8_t* packed, std::size_t row_bytes, const std::int8_t* codes,
                           int block, int end, __m256i (&total)[R]) {
        const __m256i low_two = _mm256_set1_epi8(3), next_two = _mm256_set1_epi8(12);
        __m256i sum[R], sum_of_4[R];
        for (int r = 0; r < R; ++r) sum[r] = sum_of_4[r] = _mm256_setzero_si256();
        for (; block < end; ++block) {
            __m256i values[4];
            for (int i = 0; i < 4; ++i) values[i] = load(codes + block * block_i2_s + 32 * i);
            for (int r = 0; r < R; ++r) {
                const __m256i low = load(packed + r * row_bytes + block * 32);
                const __m256i high = _mm256_srli_epi16(low, 4);
                add_products(_mm256_and_si256(low, low_two), values[3], sum[r]);
                add_products(_mm256_and_si256(low, next_two), values[2], sum_of_4[r]);
                add_products(_mm256_and_si256(high, low_two), values[1], sum[r]);
                add_products(_mm256_and_si256(high, next_two), values[0], sum_of_4[r]);
            }
        }
        for (int r = 0; r < R; ++r) {
            const __m256i times_4 = _mm256_madd_epi16(sum[r], _mm256_set1_epi16(4));
            const __m256i as_it_is = _mm256_madd_epi16(sum_of_4[r], _mm256_set1_epi16(1));
            total[r] = _mm256_add_epi32(total[r], _mm256_add_epi32(times_4, as_it_is));
        }
    }

    static void add_products(__m256i codes, __m256i values, __m256i& sum) {
        sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(codes, values));
    }
};

}  // namespace
}  // namespace bitnet::avx2
