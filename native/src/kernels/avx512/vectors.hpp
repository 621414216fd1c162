// The vector type of dense.hpp for the sixteen lanes of AVX-512 builds, in one register.
#pragma once

#include "../avx2/vectors.hpp"

namespace bitnet::avx512 {
namespace {

float add_lanes_as_halves(__m512 v) {
    const __m256 high = _mm256_castsi256_ps(_mm512_extracti64x4_epi64(_mm512_castps_si512(v), 1));
    return avx2::add_lanes_as_halves(_mm256_add_ps(_mm512_castps512_ps256(v), high));
}

struct Sixteen {
    using Value = __m512;
    struct Pairs {
        Value even, odd;
    };
    using FlushSubnormals = avx2::TwoEights::FlushSubnormals;
    static constexpr int lanes = 16;

    static Value zero() { return _mm512_setzero_ps(); }
    static Value load(const float* p) { return _mm512_loadu_ps(p); }
    static Value load_f16(const std::uint8_t* p) {
        return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    }
    static Value load_bf16(const std::uint8_t* p) {
        const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
    }
    static Value fma(Value a, Value b, Value sum) { return _mm512_fmadd_ps(a, b, sum); }
    static Value add(Value a, Value b) { return _mm512_add_ps(a, b); }
    static float add_lanes_by_halves(Value v) { return add_lanes_as_halves(v); }
    static float add_lanes_of_dot(Value v) { return add_lanes_by_halves(v); }

    template <int n>
    static void add_lanes_of_dots(const Value* lane, float (&sums)[n]) {
        for (int i = 0; i < n; ++i) sums[i] = add_lanes_by_halves(lane[i]);
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
