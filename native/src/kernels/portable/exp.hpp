// e^x as ggml evaluates it, and what is made of it: softmax and SiLU.
//
// e^x = 2^n (1 + p(b)) by the polynomial of Arm's optimized routines, within 2 ulp; it overflows above 88.38 and is
// zero below -103.97.  Builds for AVX2 and NEON put the 2^n together from bits; builds for AVX-512 have an
// instruction that multiplies by it.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "lanes.hpp"

namespace bitnet::portable {
namespace {

// n and b of x = n ln 2 + b, and n again in the low bits of the float that it was rounded by.
struct Reduced {
    float n, b, shifted;
};

Reduced reduce(float x) {
    constexpr float shift = 0x1.8p23f;
    const float shifted = std::fma(x, 0x1.715476p+0f, shift);
    const float n = shifted - shift;
    return {n, std::fma(-n, 0x1.7f7d1cp-20f, std::fma(-n, 0x1.62e4p-1f, x)), shifted};
}

// The part of the polynomial beyond its linear term, divided by u = b^2.
float high_terms(float b, float u) {
    const float upper = std::fma(0x1.0e4020p-7f, b, 0x1.573e2ep-5f);
    const float lower = std::fma(0x1.555e66p-3f, b, 0x1.fffdb6p-2f);
    return std::fma(upper, u, lower);
}

float exp_by_bits(float x) {
    const auto [n, b, shifted] = reduce(x);
    const std::uint32_t e = std::bit_cast<std::uint32_t>(shifted) << 23;
    const float u = b * b;
    const float p = std::fma(high_terms(b, u), u, 0x1.ffffecp-1f * b);
    if (!(std::fabs(n) > 126.0f)) {
        const float k = std::bit_cast<float>(e + 0x3f800000u);
        return std::fma(k, p, k);
    }
    const std::uint32_t g = n <= 0.0f ? 0x82000000u : 0u;
    const float s1 = std::bit_cast<float>(g + 0x7f000000u);
    if (std::fabs(n) > 192.0f) return s1 * s1;
    const float s2 = std::bit_cast<float>(e - g);
    return std::fma(s2, p, s2) * s1;
}

float exp_by_scaling(float x) {
    const auto [n, b, shifted] = reduce(x);
    if (std::fabs(n) > 192.0f) return n <= 0.0f ? 0.0f : std::numeric_limits<float>::infinity();
    const float u = b * b;
    const float p = std::fma(high_terms(b, u), u, std::fma(0x1.ffffecp-1f, b, 1.0f));
    return std::isnan(p) ? p : std::ldexp(p, int(n));
}

using Exp = float (*)(float x);

template <Exp exp, typename Lanes>
void softmax(float* row, int n, float scale) {
    float largest = -std::numeric_limits<float>::infinity();
    for (int i = 0; i < n; ++i) {
        row[i] *= scale;
        largest = std::max(largest, row[i]);
    }
    double sum = 0.0;
    for (int i = 0; i < n; i += Lanes::width) {
        for (int l = 0; l < Lanes::width; ++l) row[i + l] = exp(row[i + l] - largest);
        sum += double(Lanes::add_lanes(row + i));
    }
    const float inverse = float(1.0 / sum);
    for (int i = 0; i < n; ++i) row[i] *= inverse;
}

// Elements beyond the last whole vector take the e^x of the C library.
template <Exp exp, typename Lanes>
void silu_mul(const float* gate, const float* up, int n, float* out) {
    const int in_lanes = n / Lanes::width * Lanes::width;
    for (int i = 0; i < in_lanes; ++i) out[i] = gate[i] / (1.0f + exp(0.0f - gate[i])) * up[i];
    for (int i = in_lanes; i < n; ++i) out[i] = gate[i] / (1.0f + std::exp(-gate[i])) * up[i];
}

}  // namespace
}  // namespace bitnet::portable
