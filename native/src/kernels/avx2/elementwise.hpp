// Norm, ReLU^2, residual sum and rotation, as templates over the vector types of vectors.hpp and of AVX-512.
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
template <typename V>
float mean_square(const float* x, int n) {
    typename V::Doubles squares = V::no_doubles();
    int i = 0;
    for (; i + V::lanes <= n; i += V::lanes)
        squares = V::add(squares, V::mul(V::load(x + i), V::load(x + i)));
    double sum = V::add_lanes(squares);
    for (; i < n; ++i) sum += double(x[i] * x[i]);
    const double distance = 3.0 * n * 0x1p-53;
    const float least = float(sum * (1.0 - distance) / n), most = float(sum * (1.0 + distance) / n);
    return least == most ? least : mean_square_one_by_one(x, n);
}

template <typename V>
void rms_norm(const float* x, const float* weight, int n, float eps, float* out) {
    const float scale = 1.0f / sqrtf(mean_square<V>(x, n) + eps);
    int i = 0;
    for (; i + V::lanes <= n; i += V::lanes)
        V::store(out + i, V::mul(V::mul(V::load(x + i), V::splat(scale)), V::load(weight + i)));
    for (; i < n; ++i) out[i] = x[i] * scale * weight[i];
}

template <typename V>
void relu2_mul(const float* gate, const float* up, int n, float* out) {
    int i = 0;
    for (; i + V::lanes <= n; i += V::lanes) {
        const auto positive = V::max(V::load(gate + i), V::zero());
        V::store(out + i, V::mul(V::mul(positive, positive), V::load(up + i)));
    }
    for (; i < n; ++i) {
        const float positive = gate[i] > 0.0f ? gate[i] : 0.0f;
        out[i] = positive * positive * up[i];
    }
}

template <typename V>
void add(const float* x, const float* y, int n, float* out) {
    int i = 0;
    for (; i + V::lanes <= n; i += V::lanes) V::store(out + i, V::add(V::load(x + i), V::load(y + i)));
    for (; i < n; ++i) out[i] = x[i] + y[i];
}

template <typename V>
void rotate(float* x, const float* cos, const float* sin, int n_pairs, int step, int distance) {
    int i = 0;
    for (; step == 1 && i + V::lanes <= n_pairs; i += V::lanes) {
        const auto x0 = V::load(x + i), x1 = V::load(x + i + distance);
        const auto c = V::load(cos + i), s = V::load(sin + i);
        V::store(x + i, V::fmsub(x0, c, V::mul(x1, s)));
        V::store(x + i + distance, V::fma(x0, s, V::mul(x1, c)));
    }
    for (; i < n_pairs; ++i) {
        const float x0 = x[i * step], x1 = x[i * step + distance];
        x[i * step] = fmaf(x0, cos[i], -(x1 * sin[i]));
        x[i * step + distance] = fmaf(x0, sin[i], x1 * cos[i]);
    }
}

}  // namespace
}  // namespace bitnet::avx2
