// Eight float lanes: what all kernels of this set are built from.
#pragma once

#include <arm_neon.h>
#include <math.h>

#include "bitnet/kernels.hpp"

namespace bitnet::neon {
namespace {

constexpr int lanes = 8;

struct Eight {
    float32x4_t low, high;
};

Eight load8(const float* p) { return {vld1q_f32(p), vld1q_f32(p + 4)}; }
void store8(float* p, Eight v) {
    vst1q_f32(p, v.low);
    vst1q_f32(p + 4, v.high);
}
Eight all(float x) { return {vdupq_n_f32(x), vdupq_n_f32(x)}; }
Eight operator+(Eight x, Eight y) { return {vaddq_f32(x.low, y.low), vaddq_f32(x.high, y.high)}; }
Eight operator-(Eight x, Eight y) { return {vsubq_f32(x.low, y.low), vsubq_f32(x.high, y.high)}; }
Eight operator*(Eight x, Eight y) { return {vmulq_f32(x.low, y.low), vmulq_f32(x.high, y.high)}; }
Eight operator/(Eight x, Eight y) { return {vdivq_f32(x.low, y.low), vdivq_f32(x.high, y.high)}; }
Eight fma8(Eight x, Eight y, Eight sum) {
    return {vfmaq_f32(sum.low, x.low, y.low), vfmaq_f32(sum.high, x.high, y.high)};
}

float add_pair(float32x2_t v) { return vget_lane_f32(v, 0) + vget_lane_f32(v, 1); }

float add_lanes_as_pairs(Eight v) {
    const float32x4_t four = vaddq_f32(v.low, v.high);
    return add_pair(vpadd_f32(vget_low_f32(four), vget_high_f32(four)));
}

float add_lanes_as_halves(Eight v) {
    const float32x4_t four = vaddq_f32(v.low, v.high);
    return add_pair(vadd_f32(vget_low_f32(four), vget_high_f32(four)));
}

}  // namespace
}  // namespace bitnet::neon
