// Norm, softmax, activation functions, residual sum and rotation.
#pragma once

#include "lanes.hpp"

namespace bitnet::avx2 {
namespace {

float mean_square_one_by_one(const float* x, int n) {
    double sum = 0.0;
    for (int i = 0; i < n; ++i) sum += double(x[i] * x[i]);
    return float(sum / n);
}

// The bits of mean_square_one_by_one, where each addition waits for the one before.
//
// In whatever order n numbers >= 0 are added, the sum is within n 2^-53 of the exact one, relatively (Higham,
// Accuracy and Stability of Numerical Algorithms, 4.2).  So two orders differ by less than 3 n 2^-53, and
// where both ends of that interval round to the same float, so does the sum one by one.
float mean_square(const float* x, int n) {
    __m256d low = _mm256_setzero_pd(), high = _mm256_setzero_pd();
    int i = 0;
    for (; i + lanes <= n; i += lanes) {
        const __m256 squares = _mm256_mul_ps(_mm256_loadu_ps(x + i), _mm256_loadu_ps(x + i));
        low = _mm256_add_pd(low, _mm256_cvtps_pd(_mm256_castps256_ps128(squares)));
        high = _mm256_add_pd(high, _mm256_cvtps_pd(_mm256_extractf128_ps(squares, 1)));
    }
    alignas(32) double part[4];
    _mm256_store_pd(part, _mm256_add_pd(low, high));
    double sum = (part[0] + part[1]) + (part[2] + part[3]);
    for (; i < n; ++i) sum += double(x[i] * x[i]);
    const double distance = 3.0 * n * 0x1p-53;
    const float least = float(sum * (1.0 - distance) / n), most = float(sum * (1.0 + distance) / n);
    return least == most ? least : mean_square_one_by_one(x, n);
}

void rms_norm(const float* x, const float* weight, int n, float eps, float* out) {
    const float mean = mean_square(x, n);
    const float scale = 1.0f / sqrtf(mean + eps);
    int i = 0;
    for (; i + lanes <= n; i += lanes) {
        const __m256 scaled = _mm256_mul_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(scale));
        _mm256_storeu_ps(out + i, _mm256_mul_ps(scaled, _mm256_loadu_ps(weight + i)));
    }
    for (; i < n; ++i) out[i] = x[i] * scale * weight[i];
}

__m256 select(__m256 mask, __m256 if_set, __m256 if_not) { return _mm256_blendv_ps(if_not, if_set, mask); }

// As portable::exp_by_polynomial; the branch skips the case of results near or beyond the float range.
__m256 exp_by_polynomial(__m256 x) {
    const __m256 shift = _mm256_set1_ps(0x1.8p23f);
    const __m256 z = _mm256_fmadd_ps(x, _mm256_set1_ps(0x1.715476p+0f), shift);
    const __m256 n = _mm256_sub_ps(z, shift);
    const __m256 high = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.62e4p-1f), x);
    const __m256 b = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.7f7d1cp-20f), high);
    const __m256i e = _mm256_slli_epi32(_mm256_castps_si256(z), 23);
    const __m256 k = _mm256_castsi256_ps(_mm256_add_epi32(e, _mm256_set1_epi32(0x3f800000)));
    const __m256 u = _mm256_mul_ps(b, b);
    const __m256 upper = _mm256_fmadd_ps(_mm256_set1_ps(0x1.0e4020p-7f), b, _mm256_set1_ps(0x1.573e2ep-5f));
    const __m256 lower = _mm256_fmadd_ps(_mm256_set1_ps(0x1.555e66p-3f), b, _mm256_set1_ps(0x1.fffdb6p-2f));
    const __m256 linear = _mm256_mul_ps(_mm256_set1_ps(0x1.ffffecp-1f), b);
    const __m256 p = _mm256_fmadd_ps(_mm256_fmadd_ps(upper, u, lower), u, linear);
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

void softmax(float* row, int n, float scale) {
    __m256 largest = _mm256_set1_ps(-__builtin_inff());
    for (int i = 0; i < n; i += lanes) {
        const __m256 scaled = _mm256_mul_ps(_mm256_loadu_ps(row + i), _mm256_set1_ps(scale));
        _mm256_storeu_ps(row + i, scaled);
        largest = _mm256_max_ps(scaled, largest);
    }
    const __m256 top = _mm256_set1_ps(largest_lane(largest));
    double sum = 0.0;
    for (int i = 0; i < n; i += lanes) {
        const __m256 value = exp_by_polynomial(_mm256_sub_ps(_mm256_loadu_ps(row + i), top));
        _mm256_storeu_ps(row + i, value);
        sum += double(add_lanes_as_halves(value));
    }
    const __m256 inverse = _mm256_set1_ps(float(1.0 / sum));
    for (int i = 0; i < n; i += lanes)
        _mm256_storeu_ps(row + i, _mm256_mul_ps(_mm256_loadu_ps(row + i), inverse));
}

void silu_mul(const float* gate, const float* up, int n, float* out) {
    const __m256 one = _mm256_set1_ps(1.0f);
    int i = 0;
    for (; i + lanes <= n; i += lanes) {
        const __m256 x = _mm256_loadu_ps(gate + i);
        const __m256 decay = exp_by_polynomial(_mm256_sub_ps(_mm256_setzero_ps(), x));
        const __m256 silu = _mm256_div_ps(x, _mm256_add_ps(one, decay));
        _mm256_storeu_ps(out + i, _mm256_mul_ps(silu, _mm256_loadu_ps(up + i)));
    }
    for (; i < n; ++i) out[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
}

void relu2_mul(const float* gate, const float* up, int n, float* out) {
    int i = 0;
    for (; i + lanes <= n; i += lanes) {
        const __m256 positive = _mm256_max_ps(_mm256_loadu_ps(gate + i), _mm256_setzero_ps());
        _mm256_storeu_ps(out + i, _mm256_mul_ps(_mm256_mul_ps(positive, positive), _mm256_loadu_ps(up + i)));
    }
    for (; i < n; ++i) {
        const float positive = gate[i] > 0.0f ? gate[i] : 0.0f;
        out[i] = positive * positive * up[i];
    }
}

void add(const float* x, const float* y, int n, float* out) {
    int i = 0;
    for (; i + lanes <= n; i += lanes) {
        _mm256_storeu_ps(out + i, _mm256_add_ps(_mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i)));
    }
    for (; i < n; ++i) out[i] = x[i] + y[i];
}

void rotate(float* x, const float* cos, const float* sin, int n_pairs, int step, int distance) {
    int i = 0;
    for (; step == 1 && i + lanes <= n_pairs; i += lanes) {
        const __m256 x0 = _mm256_loadu_ps(x + i), x1 = _mm256_loadu_ps(x + i + distance);
        const __m256 c = _mm256_loadu_ps(cos + i), s = _mm256_loadu_ps(sin + i);
        _mm256_storeu_ps(x + i, _mm256_fmsub_ps(x0, c, _mm256_mul_ps(x1, s)));
        _mm256_storeu_ps(x + i + distance, _mm256_fmadd_ps(x0, s, _mm256_mul_ps(x1, c)));
    }
    for (; i < n_pairs; ++i) {
        const float x0 = x[i * step], x1 = x[i * step + distance];
        x[i * step] = fmaf(x0, cos[i], -(x1 * sin[i]));
        x[i * step + distance] = fmaf(x0, sin[i], x1 * cos[i]);
    }
}

}  // namespace
}  // namespace bitnet::avx2
