// Matmuls of Q6_K, 64 weights an instruction.
#pragma once

#include "../avx2/k_blocks.hpp"
#include "ternary.hpp"

namespace bitnet::avx512 {
namespace {

using avx2::KQuant;
using avx2::Way;

// As avx2::KBlock, two of its groups a register.
struct KBlock {
    __m512i codes[4];
    __m128i part_scales;
    float scale;
    __m512i scales[4];

    void spread_scales() {
        const __m512i parts = _mm512_castsi256_si512(_mm256_cvtepi8_epi16(part_scales));
        const __m512i first_four = join(_mm256_set_m128i(_mm_set1_epi16(1), _mm_setzero_si128()),
                                        _mm256_set_m128i(_mm_set1_epi16(3), _mm_set1_epi16(2)));
        for (int i = 0; i < 4; ++i) {
            const __m512i at = _mm512_add_epi16(first_four, _mm512_set1_epi16(short(4 * i)));
            scales[i] = _mm512_permutexvar_epi16(at, parts);
        }
    }

    template <int offset>
    __m256i sum(const std::int8_t* values) const {
        __m512i total = _mm512_setzero_si512();
        for (int i = 0; i < 4; ++i) {
            const __m512i some = load64(values + 64 * i);
            __m512i pairs = _mm512_maddubs_epi16(codes[i], some);
            if (offset != 0)
                pairs = _mm512_sub_epi16(pairs, _mm512_maddubs_epi16(_mm512_set1_epi8(offset), some));
            total = _mm512_dpwssd_epi32(total, scales[i], pairs);
        }
        return add_halves(total);
    }
};

struct Q6K {
    using Weights = KBlock;
    static constexpr int bytes = q6_k_bytes, offset = 32;
    static constexpr bool has_leasts = false;

    static void read(const std::uint8_t* block, KBlock& to) {
        const __m512i four_bits = _mm512_set1_epi8(15), third = _mm512_set1_epi8(48);
        const __m512i left = join(_mm256_set1_epi16(4), _mm256_set1_epi16(2));
        const __m512i right = join(_mm256_setzero_si256(), _mm256_set1_epi16(2));
        for (int half = 0; half < 2; ++half) {
            const __m512i low = load64(block + 64 * half);
            const __m512i high = _mm512_broadcast_i64x4(load(block + 128 + 32 * half));
            const __m512i first = _mm512_and_si512(_mm512_sllv_epi16(high, left), third);
            const __m512i second = _mm512_and_si512(_mm512_srlv_epi16(high, right), third);
            to.codes[2 * half] = _mm512_or_si512(_mm512_and_si512(low, four_bits), first);
            to.codes[2 * half + 1] =
                _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi16(low, 4), four_bits), second);
        }
        to.part_scales = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 192));
        to.scale = avx2::half_at(block + 208);
    }
};

}  // namespace
}  // namespace bitnet::avx512
