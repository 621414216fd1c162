// Eight float lanes: what all kernels of this set are built from.
#pragma once

#include <immintrin.h>
#include <math.h>

#include "bitnet/kernels.hpp"

namespace bitnet::avx2 {
namespace {

constexpr int lanes = 8;

__m256 magnitude(__m256 x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }

__m128 add_halves(__m256 v) { return _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1)); }

float add_lanes_as_pairs(__m256 v) {
    const __m128 pairs = _mm_hadd_ps(add_halves(v), add_halves(v));
    return _mm_cvtss_f32(_mm_hadd_ps(pairs, pairs));
}

float add_lanes_as_halves(__m256 v) {
    const __m128 four = add_halves(v);
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

float largest_lane(__m256 v) {
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
}

std::int32_t add_lanes(__m256i v) {
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
}

}  // namespace
}  // namespace bitnet::avx2
