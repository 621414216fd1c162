// Norm, ReLU^2, residual sum and rotation.
#pragma once

#include "lanes.hpp"

namespace bitnet::avx2 {
namespace {

float mean_square_one_by_one(const float* x, int n) {
    double sum = 0.0;
    for (int i = 0; i < n; ++i) sum += double(x[i] * x[i]);
    return float(sum / n);
}

// The same bits as mean_square_one_by_one, in which each addition has to wait for the one before.
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
