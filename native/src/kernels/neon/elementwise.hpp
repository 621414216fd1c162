// Norm, softmax, activation functions, residual sum and rotation.
#pragma once

#include "lanes.hpp"

namespace bitnet::neon {
namespace {

void rms_norm(const float* x, const float* weight, int n, float eps, float* out) {
    double sum = 0.0;
    for (int i = 0; i < n; ++i) sum += double(x[i] * x[i]);
    const float mean = float(sum / n);
    const float scale = 1.0f / sqrtf(mean + eps);
    int i = 0;
    for (; i + lanes <= n; i += lanes) store8(out + i, load8(x + i) * all(scale) * load8(weight + i));
    for (; i < n; ++i) out[i] = x[i] * scale * weight[i];
}

// As portable::exp_by_bits.
float32x4_t exp_by_polynomial(float32x4_t x) {
    const float32x4_t shift = vdupq_n_f32(0x1.8p23f);
    const float32x4_t z = vfmaq_f32(shift, x, vdupq_n_f32(0x1.715476p+0f));
    const float32x4_t n = vsubq_f32(z, shift);
    const float32x4_t high = vfmsq_f32(x, n, vdupq_n_f32(0x1.62e4p-1f));
    const float32x4_t b = vfmsq_f32(high, n, vdupq_n_f32(0x1.7f7d1cp-20f));
    const uint32x4_t e = vshlq_n_u32(vreinterpretq_u32_f32(z), 23);
    const float32x4_t k = vreinterpretq_f32_u32(vaddq_u32(e, vdupq_n_u32(0x3f800000u)));
    const float32x4_t u = vmulq_f32(b, b);
    const float32x4_t upper = vfmaq_f32(vdupq_n_f32(0x1.573e2ep-5f), vdupq_n_f32(0x1.0e4020p-7f), b);
    const float32x4_t lower = vfmaq_f32(vdupq_n_f32(0x1.fffdb6p-2f), vdupq_n_f32(0x1.555e66p-3f), b);
    const float32x4_t linear = vmulq_f32(vdupq_n_f32(0x1.ffffecp-1f), b);
    const float32x4_t p = vfmaq_f32(linear, vfmaq_f32(lower, upper, u), u);
    const float32x4_t usual = vfmaq_f32(k, k, p);
    const uint32x4_t is_large = vcagtq_f32(n, vdupq_n_f32(126.0f));
    const uint32x4_t g = vandq_u32(vclezq_f32(n), vdupq_n_u32(0x82000000u));
    const float32x4_t s1 = vreinterpretq_f32_u32(vaddq_u32(g, vdupq_n_u32(0x7f000000u)));
    const float32x4_t s2 = vreinterpretq_f32_u32(vsubq_u32(e, g));
    const uint32x4_t is_beyond = vcagtq_f32(n, vdupq_n_f32(192.0f));
    const float32x4_t large = vmulq_f32(vfmaq_f32(s2, s2, p), s1);
    return vbslq_f32(is_beyond, vmulq_f32(s1, s1), vbslq_f32(is_large, large, usual));
}

Eight exp_by_polynomial(Eight x) { return {exp_by_polynomial(x.low), exp_by_polynomial(x.high)}; }

float scale_and_find_largest(float* row, int n, float scale) {
    float32x4_t largest = vdupq_n_f32(-__builtin_inff());
    for (int i = 0; i < n; i += 4) {
        const float32x4_t scaled = vmulq_n_f32(vld1q_f32(row + i), scale);
        vst1q_f32(row + i, scaled);
        largest = vmaxnmq_f32(scaled, largest);
    }
    return vmaxnmvq_f32(largest);
}

void softmax(float* row, int n, float scale) {
    const Eight top = all(scale_and_find_largest(row, n, scale));
    double sum = 0.0;
    for (int i = 0; i < n; i += lanes) {
        const Eight value = exp_by_polynomial(load8(row + i) - top);
        store8(row + i, value);
        sum += double(add_lanes_as_halves(value));
    }
    const Eight inverse = all(float(1.0 / sum));
    for (int i = 0; i < n; i += lanes) store8(row + i, load8(row + i) * inverse);
}

void silu_mul(const float* gate, const float* up, int n, float* out) {
    int i = 0;
    for (; i + lanes <= n; i += lanes) {
        const Eight x = load8(gate + i);
        const Eight silu = x / (all(1.0f) + exp_by_polynomial(all(0.0f) - x));
        store8(out + i, silu * load8(up + i));
    }
    for (; i < n; ++i) out[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
}

void relu2_mul(const float* gate, const float* up, int n, float* out) {
    for (int i = 0; i < n; ++i) {
        const float positive = gate[i] > 0.0f ? gate[i] : 0.0f;
        out[i] = positive * positive * up[i];
    }
}

void add(const float* x, const float* y, int n, float* out) {
    for (int i = 0; i < n; ++i) out[i] = x[i] + y[i];
}

void rotate(float* x, const float* cos, const float* sin, int n_pairs, int step, int distance) {
    for (int i = 0; i < n_pairs; ++i) {
        const float x0 = x[i * step], x1 = x[i * step + distance];
        x[i * step] = fmaf(x0, cos[i], -(x1 * sin[i]));
        x[i * step + distance] = fmaf(x0, sin[i], x1 * cos[i]);
    }
}

}  // namespace
}  // namespace bitnet::neon
