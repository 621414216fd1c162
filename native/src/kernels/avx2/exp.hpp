// e^x, softmax and SiLU: as portable/exp.hpp, eight elements at a time.
#pragma once

#include "lanes.hpp"

namespace bitnet::avx2 {
namespace {

__m256 select(__m256 mask, __m256 if_set, __m256 if_not) { return _mm256_blendv_ps(if_not, if_set, mask); }

struct Reduced {
    __m256 n, b, shifted;
};

Reduced reduce(__m256 x) {
    const __m256 shift = _mm256_set1_ps(0x1.8p23f);
    const __m256 shifted = _mm256_fmadd_ps(x, _mm256_set1_ps(0x1.715476p+0f), shift);
    const __m256 n = _mm256_sub_ps(shifted, shift);
    const __m256 high = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.62e4p-1f), x);
    return {n, _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.7f7d1cp-20f), high), shifted};
}

__m256 high_terms(__m256 b, __m256 u) {
    const __m256 upper = _mm256_fmadd_ps(_mm256_set1_ps(0x1.0e4020p-7f), b, _mm256_set1_ps(0x1.573e2ep-5f));
    const __m256 lower = _mm256_fmadd_ps(_mm256_set1_ps(0x1.555e66p-3f), b, _mm256_set1_ps(0x1.fffdb6p-2f));
    return _mm256_fmadd_ps(upper, u, lower);
}

// The branch skips the case of results near or beyond the float range.
__m256 exp_by_bits(__m256 x) {
    const auto [n, b, shifted] = reduce(x);
    const __m256i e = _mm256_slli_epi32(_mm256_castps_si256(shifted), 23);
    const __m256 k = _mm256_castsi256_ps(_mm256_add_epi32(e, _mm256_set1_epi32(0x3f800000)));
    const __m256 u = _mm256_mul_ps(b, b);
    const __m256 p = _mm256_fmadd_ps(high_terms(b, u), u, _mm256_mul_ps(_mm256_set1_ps(0x1.ffffecp-1f), b));
    const __m256 usual = _mm256_fmadd_ps(k, p, k);
    const __m256 is_large = _mm256_cmp_ps(magnitude(n), _mm256_set1_ps(126.0f), _CMP_GT_OQ);
    if (!_mm256_movemask_ps(is_large)) return usual;

    const __m256 is_negative = _mm256_cmp_ps(n, _mm256_setzero_ps(), _CMP_LE_OQ);
    const __m256i g = _mm256_and_si256(_mm256_castps_si256(is_negative), _mm256_set1_epi32(int(0x82000000u)));
    const __m256 s1 = _mm256_castsi256_ps(_mm256_add_epi32(g, _mm256_set1_epi32(0x7f000000)));
    const __m256 s2 = _mm256_castsi256_ps(_mm256_sub_epi32(e, g));
    const __m256 is_beyond = _mm256_cmp_ps(magnitude(n), _mm256_set1_ps(192.0f), _CMP_GT_OQ);
    const __m256 large = _mm256_mul_ps(_mm256_fmadd_ps(s2, p, s2), s1);
    return select(is_beyond, _mm256_mul_ps(s1, s1), select(is_large, large, usual));
}

__m256 power_of_two(__m256i n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}

// 2^n is multiplied in two factors: the first product is exact, so the result is rounded once, as by the instruction
// that multiplies by 2^n.
__m256 exp_by_scaling(__m256 x) {
    const auto [n, b, shifted] = reduce(x);
    const __m256 u = _mm256_mul_ps(b, b);
    const __m256 linear = _mm256_fmadd_ps(_mm256_set1_ps(0x1.ffffecp-1f), b, _mm256_set1_ps(1.0f));
    const __m256 p = _mm256_fmadd_ps(high_terms(b, u), u, linear);
    const __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
    const __m256 result =
        _mm256_mul_ps(_mm256_mul_ps(p, power_of_two(half)), power_of_two(_mm256_sub_epi32(whole, half)));
    const __m256 is_beyond = _mm256_cmp_ps(magnitude(n), _mm256_set1_ps(192.0f), _CMP_GT_OQ);
    const __m256 is_negative = _mm256_cmp_ps(n, _mm256_setzero_ps(), _CMP_LE_OQ);
    const __m256 limit = select(is_negative, _mm256_setzero_ps(), _mm256_set1_ps(__builtin_inff()));
    return select(is_beyond, limit, result);
}

using Exp = __m256 (*)(__m256 x);

// Multiplies a row by scale and returns its largest value.
float scale_row(float* row, int n, float scale) {
    __m256 largest = _mm256_set1_ps(-__builtin_inff());
    for (int i = 0; i < n; i += lanes) {
        const __m256 scaled = _mm256_mul_ps(_mm256_loadu_ps(row + i), _mm256_set1_ps(scale));
        _mm256_storeu_ps(row + i, scaled);
        largest = _mm256_max_ps(scaled, largest);
    }
    return largest_lane(largest);
}

// The exponentials of `width` elements are added by halves before they meet the sum.
template <Exp exp, int width>
void softmax(float* row, int n, float scale) {
    const __m256 top = _mm256_set1_ps(scale_row(row, n, scale));
    double sum = 0.0;
    for (int i = 0; i < n; i += width) {
        __m256 value[width / lanes];
        for (int v = 0; v < width / lanes; ++v) {
            value[v] = exp(_mm256_sub_ps(_mm256_loadu_ps(row + i + v * lanes), top));
            _mm256_storeu_ps(row + i + v * lanes, value[v]);
        }
        if constexpr (width == 2 * lanes) value[0] = _mm256_add_ps(value[0], value[1]);
        sum += double(add_lanes_as_halves(value[0]));
    }
    const __m256 inverse = _mm256_set1_ps(float(1.0 / sum));
    for (int i = 0; i < n; i += lanes)
        _mm256_storeu_ps(row + i, _mm256_mul_ps(_mm256_loadu_ps(row + i), inverse));
}

// Elements beyond the last `width` take the e^x of the C library.
template <Exp exp, int width>
void silu_mul(const float* gate, const float* up, int n, float* out) {
    const __m256 one = _mm256_set1_ps(1.0f);
    const int in_lanes = n / width * width;
    for (int i = 0; i < in_lanes; i += lanes) {
        const __m256 x = _mm256_loadu_ps(gate + i);
        const __m256 decay = exp(_mm256_sub_ps(_mm256_setzero_ps(), x));
        const __m256 silu = _mm256_div_ps(x, _mm256_add_ps(one, decay));
        _mm256_storeu_ps(out + i, _mm256_mul_ps(silu, _mm256_loadu_ps(up + i)));
    }
    for (int i = in_lanes; i < n; ++i) out[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
}

}  // namespace
}  // namespace bitnet::avx2
