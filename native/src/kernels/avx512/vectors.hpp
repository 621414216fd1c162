// The vector type of dense.hpp, elementwise.hpp and activations.hpp for sixteen lanes, in one register.
#pragma once

#include "../avx2/vectors.hpp"

namespace bitnet::avx512 {
namespace {

__m256 upper_half(__m512 v) {
    return _mm256_castsi256_ps(_mm512_extracti64x4_epi64(_mm512_castps_si512(v), 1));
}

float add_lanes_as_halves(__m512 v) {
    return avx2::add_lanes_as_halves(_mm256_add_ps(_mm512_castps512_ps256(v), upper_half(v)));
}

// As avx2::nearest.
__m512i nearest(__m512 x) {
    const __m512i bits = _mm512_castps_si512(_mm512_add_ps(x, _mm512_set1_ps(12582912.0f)));
    return _mm512_sub_epi32(_mm512_and_si512(bits, _mm512_set1_epi32(0x007fffff)),
                            _mm512_set1_epi32(0x00400000));
}

struct Sixteen {
    using Value = __m512;
    struct Pairs {
        Value even, odd;
    };
    using FlushSubnormals = avx2::TwoEights::FlushSubnormals;
    static constexpr int lanes = 16;

    static Value zero() { return _mm512_setzero_ps(); }
    static Value splat(float x) { return _mm512_set1_ps(x); }
    static Value load(const float* p) { return _mm512_loadu_ps(p); }
    static void store(float* p, Value v) { _mm512_storeu_ps(p, v); }
    static void store_f16(std::uint16_t* p, Value v) {
        const __m256i halves = _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), halves);
    }
    static Value load_f16(const std::uint8_t* p) {
        return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    }
    static Value load_bf16(const std::uint8_t* p) {
        const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
    }
    static Value fma(Value a, Value b, Value sum) { return _mm512_fmadd_ps(a, b, sum); }
    static Value fmsub(Value a, Value b, Value c) { return _mm512_fmsub_ps(a, b, c); }
    static Value add(Value a, Value b) { return _mm512_add_ps(a, b); }
    static Value mul(Value a, Value b) { return _mm512_mul_ps(a, b); }
    static Value max(Value a, Value b) { return _mm512_max_ps(a, b); }  // b if one of them is NaN
    static Value magnitude(Value v) { return _mm512_abs_ps(v); }
    static float largest_lane(Value v) {
        return avx2::largest_lane(_mm256_max_ps(_mm512_castps512_ps256(v), upper_half(v)));
    }
    static unsigned where_equal(Value a, Value b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
    static Value rounded_to_bf16(Value v) {
        const __m512i bits = _mm512_castps_si512(v);
        const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
        const __m512i even = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
        const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(64 << 16));
        const __m512i chosen = _mm512_mask_mov_epi32(even, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), quiet);
        return _mm512_castsi512_ps(_mm512_and_si512(chosen, _mm512_set1_epi32(int(0xffff0000u))));
    }

    struct Doubles {
        __m512d low, high;
    };
    static Doubles no_doubles() { return {_mm512_setzero_pd(), _mm512_setzero_pd()}; }
    static Doubles add(Doubles sum, Value v) {
        return {_mm512_add_pd(sum.low, _mm512_cvtps_pd(_mm512_castps512_ps256(v))),
                _mm512_add_pd(sum.high, _mm512_cvtps_pd(upper_half(v)))};
    }
    static double add_lanes(Doubles sum) {
        alignas(64) double part[8];
        _mm512_store_pd(part, _mm512_add_pd(sum.low, sum.high));
        double total = 0.0;
        for (const double one : part) total += one;
        return total;
    }

    using Bytes = __m512i;
    static constexpr int codes = 64;  // in one
    static Bytes codes_of(const float* x, Value scale) {
        Bytes bytes = _mm512_setzero_si512();
        bytes = _mm512_inserti32x4(bytes, codes_of_16(x, scale), 0);
        bytes = _mm512_inserti32x4(bytes, codes_of_16(x + 16, scale), 1);
        bytes = _mm512_inserti32x4(bytes, codes_of_16(x + 32, scale), 2);
        return _mm512_inserti32x4(bytes, codes_of_16(x + 48, scale), 3);
    }
    static __m128i codes_of_16(const float* x, Value scale) {
        return _mm512_cvtsepi32_epi8(nearest(_mm512_mul_ps(_mm512_loadu_ps(x), scale)));
    }
    static std::int8_t code_of(float scaled) { return avx2::Eight::code_of(scaled); }
    static void store(std::int8_t* p, Bytes b) { _mm512_storeu_si512(p, b); }
    static __m512i no_sums() { return _mm512_setzero_si512(); }
    static __m512i add_fours(__m512i sums, Bytes b) {
        return _mm512_dpbusd_epi32(sums, _mm512_set1_epi8(1), b);
    }
    static int add_lanes(__m512i sums) {
        return avx2::add_lanes(
            _mm256_add_epi32(_mm512_castsi512_si256(sums), _mm512_extracti64x4_epi64(sums, 1)));
    }
    // The instruction sums eight unsigned bytes, hence the bias.
    static void sum_sixteens(Bytes b, std::int16_t* sums) {
        const __m512i biased = _mm512_xor_si512(b, _mm512_set1_epi8(-128));
        alignas(64) std::int64_t part[8];
        _mm512_store_si512(part, _mm512_sad_epu8(biased, _mm512_setzero_si512()));
        for (int i = 0; i < 4; ++i) sums[i] = std::int16_t(part[2 * i] + part[2 * i + 1] - 16 * 128);
    }

    static float add_lanes_by_halves(Value v) { return add_lanes_as_halves(v); }
    static float add_lanes_of_dot(Value v) { return add_lanes_by_halves(v); }

    template <int R, int T>
    static void add_lanes_of_dots(const Value (&lane)[R][T], float (&sums)[R][T]) {
        for (int i = 0; i < R * T; ++i) sums[i / T][i % T] = add_lanes_by_halves(lane[i / T][i % T]);
    }

    // add_lanes_by_halves of sixteen vectors at once, in two steps.  The first leaves four lanes of each of four vectors:
    // quarter i of the result is what is left of lane[i].
    [[gnu::always_inline]] static Value add_to_quarters(const Value (&lane)[4]) {
        Value half[2];
        for (int i = 0; i < 2; ++i) {
            half[i] = _mm512_add_ps(_mm512_shuffle_f32x4(lane[2 * i], lane[2 * i + 1], 0x44),
                                    _mm512_shuffle_f32x4(lane[2 * i], lane[2 * i + 1], 0xee));
        }
        return _mm512_add_ps(_mm512_shuffle_f32x4(half[0], half[1], 0x88),
                             _mm512_shuffle_f32x4(half[0], half[1], 0xdd));
    }
    // The second adds the four lanes of every quarter: lane 4 i + j is the sum of quarter i of quarters[j].
    [[gnu::always_inline]] static Value add_quarters(const Value (&quarters)[4]) {
        Value pair[2];
        for (int i = 0; i < 2; ++i) {
            pair[i] = _mm512_add_ps(_mm512_shuffle_ps(quarters[2 * i], quarters[2 * i + 1], 0x44),
                                    _mm512_shuffle_ps(quarters[2 * i], quarters[2 * i + 1], 0xee));
        }
        return _mm512_add_ps(_mm512_shuffle_ps(pair[0], pair[1], 0x88),
                             _mm512_shuffle_ps(pair[0], pair[1], 0xdd));
    }
    static void store_quarters(Value v, float* out, std::size_t stride) {
        _mm_storeu_ps(out, _mm512_castps512_ps128(v));
        _mm_storeu_ps(out + stride, _mm512_extractf32x4_ps(v, 1));
        _mm_storeu_ps(out + 2 * stride, _mm512_extractf32x4_ps(v, 2));
        _mm_storeu_ps(out + 3 * stride, _mm512_extractf32x4_ps(v, 3));
    }

    static Pairs load_pairs(const float* p) {
        const __m512 first = _mm512_loadu_ps(p), second = _mm512_loadu_ps(p + 16);
        const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
        const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
        return {_mm512_permutex2var_ps(first, even, second), _mm512_permutex2var_ps(first, odd, second)};
    }
    static Pairs load_bf16_pairs(const std::uint8_t* p) {
        const __m512i both = _mm512_loadu_si512(p);
        const __m512i odd = _mm512_and_si512(both, _mm512_set1_epi32(int(0xffff0000u)));
        return {_mm512_castsi512_ps(_mm512_slli_epi32(both, 16)), _mm512_castsi512_ps(odd)};
    }
};

}  // namespace
}  // namespace bitnet::avx512
