// Conversions and quantisation of activations.
#pragma once

#include "../tiling.hpp"
#include "lanes.hpp"

namespace bitnet::neon {
namespace {

// Round half to even for |x| < 2^22, zero for NaN: ggml's trick of adding 1.5 * 2^23.
int32x4_t nearest(float32x4_t x) {
    const int32x4_t bits = vreinterpretq_s32_f32(vaddq_f32(x, vdupq_n_f32(12582912.0f)));
    return vsubq_s32(vandq_s32(bits, vdupq_n_s32(0x007fffff)), vdupq_n_s32(0x00400000));
}

int nearest_one(float x) { return vgetq_lane_s32(nearest(vdupq_n_f32(x)), 0); }

int8x16_t codes_of_16(const float* x, float scale) {
    int16x4_t part[4];
    for (int i = 0; i < 4; ++i) part[i] = vqmovn_s32(nearest(vmulq_n_f32(vld1q_f32(x + 4 * i), scale)));
    return vcombine_s8(vqmovn_s16(vcombine_s16(part[0], part[1])),
                       vqmovn_s16(vcombine_s16(part[2], part[3])));
}

// NaN counts as nothing, as in the portable set.
float largest_magnitude(const float* x, int n) {
    float32x4_t largest = vdupq_n_f32(0.0f);
    int i = 0;
    for (; i + 4 <= n; i += 4) largest = vmaxnmq_f32(vabsq_f32(vld1q_f32(x + i)), largest);
    float result = vmaxnmvq_f32(largest);
    for (; i < n; ++i) result = fabsf(x[i]) > result ? fabsf(x[i]) : result;
    return result;
}

void quantize_i8(const float* x, int n, std::int8_t* codes, float* scale, std::int32_t* sum) {
    const double largest = largest_magnitude(x, n);
    *scale = float(127.0 / (largest > 1e-5 ? largest : 1e-5));
    int32x4_t sums = vdupq_n_s32(0);
    int i = 0;
    for (; i + 16 <= n; i += 16) {
        const int8x16_t bytes = codes_of_16(x + i, *scale);
        vst1q_s8(codes + i, bytes);
        sums = vpadalq_s16(sums, vpaddlq_s8(bytes));
    }
    *sum = vaddvq_s32(sums);
    for (; i < n; ++i) {
        const int code = nearest_one(x[i] * *scale);
        codes[i] = std::int8_t(code < -128 ? -128 : smaller(code, 127));
        *sum += codes[i];
    }
}

// The value of largest magnitude, the first one when several share it; 0 when there is none.
float first_largest(const float* x, int n) {
    const float largest = largest_magnitude(x, n);
    for (int i = 0; i < n; ++i) {
        if (fabsf(x[i]) == largest) return x[i];
    }
    return 0.0f;
}

void quantize_q8_k(const float* x, int n, std::int8_t* codes, float* scales, std::int16_t* block_sums) {
    for (int i = 0; i < n; i += block_q8_k) {
        const float largest = first_largest(x + i, block_q8_k);
        const float inverse = largest == 0.0f ? 0.0f : -127.0f / largest;
        scales[i / block_q8_k] = largest == 0.0f ? 0.0f : 1.0f / inverse;
        const float factor =
            __builtin_isinf(inverse) ? 0.0f : inverse;  // so tiny a block that ggml's codes wrap to 0
        for (int j = i; j < i + block_q8_k; j += 16) {
            const int8x16_t bytes = codes_of_16(x + j, factor);
            vst1q_s8(codes + j, bytes);
            block_sums[j / 16] = std::int16_t(vaddlvq_s8(bytes));
        }
    }
}

float16x4_t half_of(float32x4_t x) { return vcvt_f16_f32(x); }
float float_of(std::uint16_t half) {
    return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(half))), 0);
}
std::uint16_t half_of_one(float x) { return vget_lane_u16(vreinterpret_u16_f16(half_of(vdupq_n_f32(x))), 0); }

void to_f16(const float* x, int n, std::uint16_t* out) {
    int i = 0;
    for (; i + 4 <= n; i += 4) vst1_u16(out + i, vreinterpret_u16_f16(half_of(vld1q_f32(x + i))));
    for (; i < n; ++i) out[i] = half_of_one(x[i]);
}

void from_f16(const std::uint16_t* x, int n, float* out) {
    int i = 0;
    for (; i + 4 <= n; i += 4) vst1q_f32(out + i, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(x + i))));
    for (; i < n; ++i) out[i] = float_of(x[i]);
}

void round_to_f16(const float* x, int n, float* out) {
    int i = 0;
    for (; i + 4 <= n; i += 4) vst1q_f32(out + i, vcvt_f32_f16(half_of(vld1q_f32(x + i))));
    for (; i < n; ++i) out[i] = float_of(half_of_one(x[i]));
}

float32x4_t rounded_to_bf16(float32x4_t x) {
    const uint32x4_t bits = vreinterpretq_u32_f32(x);
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    const uint32x4_t nearest = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    const uint32x4_t quiet = vorrq_u32(bits, vdupq_n_u32(64u << 16));
    const uint32x4_t chosen = vbslq_u32(vceqq_f32(x, x), nearest, quiet);
    return vreinterpretq_f32_u32(vandq_u32(chosen, vdupq_n_u32(0xffff0000u)));
}

void round_to_bf16(const float* x, int n, float* out) {
    int i = 0;
    for (; i + 4 <= n; i += 4) vst1q_f32(out + i, rounded_to_bf16(vld1q_f32(x + i)));
    for (; i < n; ++i) out[i] = vgetq_lane_f32(rounded_to_bf16(vdupq_n_f32(x[i])), 0);
}

}  // namespace
}  // namespace bitnet::neon
