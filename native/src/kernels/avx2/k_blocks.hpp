// Matmuls of K-quants: blocks of 256 that meet Q8_K activations, with an integer scale for every 16.
#pragma once

#include "blocks.hpp"

namespace bitnet::avx2 {
namespace {

// A block as it is multiplied: stored codes, in the order of the elements, and what makes weights of them.
struct KBlock {
    __m256i codes[8];
    __m128i part_scales, part_leasts;  // int8 of each sixteen
    float scale, least_scale;
    __m256i scales[8];  // of a group's two sixteens, eight times each

    void spread_scales() {
        const __m128i parts = _mm_set_epi64x(0x0101010101010101, 0);
#pragma GCC unroll 8
        for (int group = 0; group < 8; ++group) {
            const __m128i at = _mm_add_epi8(parts, _mm_set1_epi8(char(2 * group)));
            scales[group] = _mm256_cvtepi8_epi16(_mm_shuffle_epi8(part_scales, at));
        }
    }

    // Sums of codes less the offset, in eight lanes.
    template <int offset>
    __m256i sum(const std::int8_t* values) const {
        __m256i total = _mm256_setzero_si256();
#pragma GCC unroll 8
        for (int group = 0; group < 8; ++group) {
            const __m256i some = load(values + 32 * group);
            __m256i pairs = _mm256_maddubs_epi16(codes[group], some);
            if (offset != 0)
                pairs = _mm256_sub_epi16(pairs, _mm256_maddubs_epi16(_mm256_set1_epi8(offset), some));
            total = _mm256_add_epi32(total, _mm256_madd_epi16(scales[group], pairs));
        }
        return total;
    }
};

struct Q6K {
    using Weights = KBlock;
    static constexpr int bytes = q6_k_bytes, offset = 32;
    static constexpr bool has_leasts = false;

    static void read(const std::uint8_t* block, KBlock& to) {
        const __m256i four_bits = _mm256_set1_epi8(15), third = _mm256_set1_epi8(48);
        for (int half = 0; half < 2; ++half) {
            const __m256i high = load(block + 128 + 32 * half);
            for (int i = 0; i < 2; ++i) {
                const __m256i low = load(block + 64 * half + 32 * i);
                const __m256i first = _mm256_and_si256(_mm256_slli_epi16(high, 4 - 2 * i), third);
                const __m256i second = _mm256_and_si256(i ? _mm256_srli_epi16(high, 2) : high, third);
                to.codes[4 * half + i] = _mm256_or_si256(_mm256_and_si256(low, four_bits), first);
                to.codes[4 * half + 2 + i] =
                    _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(low, 4), four_bits), second);
            }
        }
        to.part_scales = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 192));
        to.scale = half_at(block + 208);
    }
};

struct Q3K {
    using Weights = KBlock;
    static constexpr int bytes = q3_k_bytes, offset = 4;
    static constexpr bool has_leasts = false;

    static void read(const std::uint8_t* block, KBlock& to) {
        const __m256i high = load(block), one = _mm256_set1_epi8(1);
#pragma GCC unroll 8
        for (int group = 0; group < 8; ++group) {
            const __m256i low = two_bits(load(block + 32 + 32 * (group / 4)), 2 * (group % 4));
            const __m256i bit = _mm256_and_si256(_mm256_srli_epi16(high, group), one);
            to.codes[group] = _mm256_or_si256(low, _mm256_slli_epi16(bit, 2));
        }
        const std::uint8_t* scales = block + 96;
        alignas(16) std::int8_t parts[16];
        for (int part = 0; part < 16; ++part) {
            const int low = scales[part % 8] >> (part / 8 * 4) & 15;
            parts[part] = std::int8_t((low | (scales[8 + part % 4] >> (part / 4 * 2) & 3) << 4) - 32);
        }
        to.part_scales = _mm_load_si128(reinterpret_cast<const __m128i*>(parts));
        to.scale = half_at(block + 108);
    }
};

struct Q4K {
    using Weights = KBlock;
    static constexpr int bytes = q4_k_bytes, offset = 0;
    static constexpr bool has_leasts = true;

    static void read(const std::uint8_t* block, KBlock& to) {
        const __m256i four_bits = _mm256_set1_epi8(15);
        for (int i = 0; i < 4; ++i) {
            const __m256i packed = load(block + 16 + 32 * i);
            to.codes[2 * i] = _mm256_and_si256(packed, four_bits);
            to.codes[2 * i + 1] = _mm256_and_si256(_mm256_srli_epi16(packed, 4), four_bits);
        }
        // Eight scales and eight leasts of six bits: of the first four in the low bits of eight bytes, of the others in
        // the halves of four bytes, and two bits more above the first.
        std::uint32_t word[3];
        __builtin_memcpy(word, block + 4, sizeof word);
        const std::uint32_t high_scales = (word[2] & 0x0f0f0f0f) | (word[0] >> 6 & 0x03030303) << 4;
        const std::uint32_t high_leasts = (word[2] >> 4 & 0x0f0f0f0f) | (word[1] >> 6 & 0x03030303) << 4;
        to.part_scales = twice_each(word[0] & 0x3f3f3f3f, high_scales);
        to.part_leasts = twice_each(word[1] & 0x3f3f3f3f, high_leasts);
        to.scale = half_at(block);
        to.least_scale = half_at(block + 2);
    }

    static __m128i twice_each(std::uint32_t low, std::uint32_t high) {
        const __m128i eight = _mm_set_epi32(0, 0, int(high), int(low));
        return _mm_unpacklo_epi8(eight, eight);
    }
};

// Sums of codes less the offset in eight lanes: `by_part`, what two sixteens are too large by is taken from one lane;
// else it is taken where it is.
template <typename Block, bool by_part>
__m256i sum_block(const typename Block::Weights& w, const std::int8_t* values, __m256i block_sums) {
    if constexpr (!by_part || Block::offset == 0) return w.template sum<Block::offset>(values);
    const __m256i too_large = _mm256_madd_epi16(block_sums, _mm256_cvtepi8_epi16(w.part_scales));
    return _mm256_sub_epi32(w.template sum<0>(values),
                            _mm256_mullo_epi32(too_large, _mm256_set1_epi32(Block::offset)));
}

// The whole sums of four parts of 64 weights without an offset.
__m128i sum_parts(const KBlock& w, const std::int8_t* values) {
    __m256i part[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        const __m256i first = _mm256_maddubs_epi16(w.codes[2 * i], load(values + 64 * i));
        const __m256i second = _mm256_maddubs_epi16(w.codes[2 * i + 1], load(values + 64 * i + 32));
        part[i] = _mm256_add_epi32(_mm256_madd_epi16(w.scales[2 * i], first),
                                   _mm256_madd_epi16(w.scales[2 * i + 1], second));
    }
    return add_lanes_of_four(part);
}

// Four values added to a sum one after another, each times a scale.
float add_each(__m128i values, float scale, float sum) {
    alignas(16) float each[4];
    _mm_store_ps(each, _mm_cvtepi32_ps(values));
    for (const float value : each) sum = __builtin_fmaf(value, scale, sum);
    return sum;
}

// Leasts times sums of values, in eight lanes of two sixteens.
__m256i sum_leasts(const KBlock& w, __m256i block_sums) {
    return _mm256_madd_epi16(block_sums, _mm256_cvtepi8_epi16(w.part_leasts));
}

enum class Way { lanes, lanes_offset, one, one_in_parts, tile, tile_rounded };

// What is added up for one row and one token.
template <typename Block, Way way>
struct KSum {
    __m256 lanes = _mm256_setzero_ps();
    __m128 leasts = _mm_setzero_ps();
    float total = 0.0f, total_leasts = 0.0f;

    void add(const typename Block::Weights& w, const std::int8_t* values, __m256i block_sums, float x_scale) {
        if constexpr (way == Way::one_in_parts) {
            const __m256i eight = sum_leasts(w, block_sums);
            const __m128i four =
                _mm_hadd_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
            total = add_each(sum_parts(w, values), w.scale * x_scale, total);
            total_leasts = add_each(four, w.least_scale * x_scale, total_leasts);
            return;
        }
        constexpr bool by_part = way != Way::lanes;
        const __m256i sum = sum_block<Block, by_part>(w, values, block_sums);
        if constexpr (way == Way::lanes || way == Way::lanes_offset) {
            lanes = _mm256_fmadd_ps(_mm256_set1_ps(x_scale * w.scale), _mm256_cvtepi32_ps(sum), lanes);
            if constexpr (Block::has_leasts) {
                const __m256i eight = sum_leasts(w, block_sums);
                const __m128i four =
                    _mm_hadd_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
                leasts = _mm_fmadd_ps(_mm_set1_ps(-x_scale * w.least_scale), _mm_cvtepi32_ps(four), leasts);
            }
        } else {
            add_whole(w, float(add_lanes(sum)), block_sums, x_scale);
        }
    }

    void add_whole(const typename Block::Weights& w, float whole, __m256i block_sums, float x_scale) {
        float block = w.scale * whole;
        if constexpr (Block::has_leasts) {
            const float least = float(add_lanes(sum_leasts(w, block_sums)));
            if (way == Way::one) total_leasts = __builtin_fmaf(least, w.least_scale * x_scale, total_leasts);
            block = __builtin_fmaf(-w.least_scale, least, block);
        }
        if (way == Way::one)
            total = __builtin_fmaf(whole, w.scale * x_scale, total);
        else
            total = way == Way::tile ? __builtin_fmaf(block, x_scale, total) : total + block * x_scale;
    }

    float result() const {
        if constexpr (way == Way::lanes || way == Way::lanes_offset) {
            const float sum = add_lanes_as_halves(lanes);
            if (!Block::has_leasts) return sum;
            const __m128 two = _mm_add_ps(leasts, _mm_movehl_ps(leasts, leasts));
            return sum + _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
        }
        constexpr bool has_own_leasts = way == Way::one || way == Way::one_in_parts;
        return has_own_leasts && Block::has_leasts ? total - total_leasts : total;
    }
};

template <typename Block, Way way>
struct KQuant {
    template <int R, int T>
    struct Tile {
        static void run(const Rows& w, int row, const Activations& x, int token, float* out,
                        std::size_t out_stride) {
            KSum<Block, way> sum[R][T];
            const int blocks = w.cols / block_q8_k;
            for (int b = 0; b < blocks; ++b) {
                for (int r = 0; r < R; ++r) {
                    typename Block::Weights block;
                    Block::read(w.data + (row + r) * w.row_bytes + b * Block::bytes, block);
                    block.spread_scales();
                    for (int t = 0; t < T; ++t) {
                        const int at = token + t;
                        sum[r][t].add(block, x.codes + at * x.stride + b * block_q8_k,
                                      load(x.block_sums + (at * blocks + b) * 16),
                                      x.scales[at * x.scale_stride + b]);
                    }
                }
            }
            for (int r = 0; r < R; ++r) {
                for (int t = 0; t < T; ++t) out[(token + t) * out_stride + row + r] = sum[r][t].result();
            }
        }
    };
};

}  // namespace
}  // namespace bitnet::avx2
