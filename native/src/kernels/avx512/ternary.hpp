// Matmuls of packed ternary weights, 64 weights an instruction.
//
// dpbusd adds four products of a code (0..2) and an int8 to a 32-bit lane: at most 4 x 2 x 128 = 1024 in
// magnitude.  A lane meets two of them a block of 128 weights, so it cannot overflow below 2^31 / 2048 blocks,
// a hundred million columns; nothing is widened on the way.
#pragma once

#include "../avx2/ternary.hpp"

namespace bitnet::avx512 {
namespace {

using avx2::load;

__m512i load64(const void* p) { return _mm512_loadu_si512(p); }

__m256i add_halves(__m512i v) {
    return _mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
}

__m512i join(__m256i low, __m256i high) { return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1); }

// The two bits above `low` of 32 bytes, then the two bits above `high` of the same bytes.
__m512i two_bits_twice(__m256i packed, int low, int high) {
    const __m512i shifts = join(_mm256_set1_epi16(short(low)), _mm256_set1_epi16(short(high)));
    return _mm512_and_si512(_mm512_srlv_epi16(_mm512_broadcast_i64x4(packed), shifts), _mm512_set1_epi8(3));
}

template <int R, int T>
struct I2S {
    // dpbusd answers after four or five cycles, so few sums at a time are split in two.
    static constexpr int chains = R * T < 8 ? 2 : 1;

    static void run(const Rows& w, int row, const Activations& x, int token, float* out,
                    std::size_t out_stride) {
        const std::uint8_t* packed[R];
        const std::int8_t* codes[T];
        __m512i total[T][R][chains];
        for (int r = 0; r < R; ++r) packed[r] = w.data + (row + r) * w.row_bytes;
        for (int t = 0; t < T; ++t) codes[t] = x.codes + (token + t) * x.stride;
        for (int t = 0; t < T; ++t) {
            for (int r = 0; r < R; ++r) {
                for (int c = 0; c < chains; ++c) total[t][r][c] = _mm512_setzero_si512();
            }
        }
        for (int block = 0; block < w.cols / block_i2_s; ++block) {
#pragma GCC unroll 2
            for (int half = 0; half < 2; ++half) {
                __m512i weights[R];
                for (int r = 0; r < R; ++r) {
                    weights[r] = two_bits_twice(load(packed[r] + block * 32), 6 - 4 * half, 4 - 4 * half);
                }
                for (int t = 0; t < T; ++t) {
                    const __m512i values = load64(codes[t] + block * block_i2_s + half * 64);
                    for (int r = 0; r < R; ++r) {
                        __m512i& sum = total[t][r][half % chains];
                        sum = _mm512_dpbusd_epi32(sum, weights[r], values);
                    }
                }
            }
        }
        // Unrolled, so that all totals are registers.
#pragma GCC unroll 4
        for (int t = 0; t < T; ++t) {
            const float sum = float(x.sums[token + t]), scale = x.scales[token + t];
            float* result = out + (token + t) * out_stride + row;
#pragma GCC unroll 4
            for (int r = 0; r < R; ++r) {
                __m256i lanes = add_halves(total[t][r][0]);
                for (int c = 1; c < chains; ++c) lanes = _mm256_add_epi32(lanes, add_halves(total[t][r][c]));
                result[r] = (float(avx2::add_lanes(lanes)) - sum) / scale * w.scale;
            }
        }
    }
};

// Four registers of 64 codes each, in the order of the elements.
struct Tq1 {
    static constexpr int bytes = tq1_0_bytes;

    static void unpack(const std::uint8_t* block, __m512i (&codes)[4]) {
        __m256i groups[8];
        avx2::Tq1::unpack(block, groups);
        for (int i = 0; i < 4; ++i) codes[i] = join(groups[2 * i], groups[2 * i + 1]);
    }
};

struct Tq2 {
    static constexpr int bytes = tq2_0_bytes;

    static void unpack(const std::uint8_t* block, __m512i (&codes)[4]) {
        for (int i = 0; i < 4; ++i) {
            const int shift = i % 2 * 4;
            codes[i] = two_bits_twice(load(block + i / 2 * 32), shift, shift + 2);
        }
    }
};

// Lane l of a block's sums takes elements e with e % 32 / 4 == l: what dpbusd adds, once both halves are
// added.
template <typename Packing, bool is_fused>
struct Q8K {
    template <int R, int T>
    struct Tile {
        static void run(const Rows& w, int row, const Activations& x, int token, float* out,
                        std::size_t out_stride) {
            const int blocks = w.cols / block_q8_k;
            for (int r = 0; r < R; ++r) {
                __m256 sum[T];
                for (int t = 0; t < T; ++t) sum[t] = _mm256_setzero_ps();
                for (int block = 0; block < blocks; ++block) {
                    add_block(w.data + (row + r) * w.row_bytes + block * Packing::bytes, x, token, block,
                              blocks, sum);
                }
                for (int t = 0; t < T; ++t)
                    out[(token + t) * out_stride + row + r] = avx2::add_lanes_as_halves(sum[t]);
            }
        }

        static void add_block(const std::uint8_t* packed, const Activations& x, int token, int block,
                              int blocks, __m256 (&sum)[T]) {
            __m512i weights[4];
            Packing::unpack(packed, weights);
            const std::uint8_t* tail = packed + Packing::bytes - 2;
            const float weight_scale = avx2::float_of(std::uint16_t(tail[0] | tail[1] << 8));
            for (int t = 0; t < T; ++t) {
                const std::int8_t* codes = x.codes + (token + t) * x.stride + block * block_q8_k;
                const __m256i sums = load(x.block_sums + ((token + t) * blocks + block) * 16);
                __m512i part = _mm512_setzero_si512();
                for (int i = 0; i < 4; ++i)
                    part = _mm512_dpbusd_epi32(part, weights[i], load64(codes + 64 * i));
                const __m256i fours =
                    _mm256_sub_epi32(add_halves(part), _mm256_madd_epi16(sums, _mm256_set1_epi16(1)));
                const __m256 product = _mm256_cvtepi32_ps(fours);
                const __m256 scale =
                    _mm256_set1_ps(x.scales[(token + t) * x.scale_stride + block] * weight_scale);
                sum[t] = is_fused ? _mm256_fmadd_ps(product, scale, sum[t])
                                  : _mm256_add_ps(_mm256_mul_ps(product, scale), sum[t]);
            }
        }
    };
};

}  // namespace
}  // namespace bitnet::avx512
