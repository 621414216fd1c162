// Matmuls of F16 weights in the order neon_fp16, whose sums are F16 numbers.
#pragma once

#include <bit>
#include <cmath>

#include "bitnet/half.hpp"
#include "dense.hpp"

namespace bitnet::portable {
namespace {

// The float nearest to x, or where x lies between two floats the one of them whose last bit is set.  Rounded
// further to F16 it gives what x itself would give.
float rounded_to_odd(double x) {
    const float nearest = float(x);
    if (double(nearest) == x || !std::isfinite(nearest)) return nearest;
    const auto bits = std::bit_cast<std::uint32_t>(nearest);
    if (bits & 1) return nearest;
    const bool is_beyond = std::fabs(double(nearest)) > std::fabs(x);
    return std::bit_cast<float>(is_beyond ? bits - 1 : bits + 1);
}

// What F16 instructions do with F16 numbers, which are held as floats here.  A double holds every sum exactly
// that the rounding depends on: of an 11-bit number and the 22 bits of a product.
float round_half(double exact) { return float_of_f16(f16_of_float(rounded_to_odd(exact))); }
float add_half(float a, float b) { return round_half(double(a) + double(b)); }
float fma_half(float a, float b, float c) { return round_half(double(a) * double(b) + double(c)); }

// Products of the first `n` elements in accumulators of eight F16 lanes.
template <int accumulators>
void add_half_products(const std::uint8_t* row, const float* x, int n, float (&sum)[accumulators][8]) {
    for (int i = 0; i < n; ++i) {
        float& lane = sum[i / 8 % accumulators][i % 8];
        lane = fma_half(F16::at(row, i), x[i], lane);
    }
}

void f16_dot_in_half(const Rows& w, const Activations& x, float* out, std::size_t out_stride) {
    for_each_float_dot(w, x, out, out_stride, [&](const std::uint8_t* row, const float* values) {
        const int whole = w.cols / 32 * 32;
        float sum[4][8] = {}, lane[8];
        add_half_products(row, values, whole, sum);
        for (int l = 0; l < 8; ++l)
            lane[l] = add_half(add_half(sum[0][l], sum[2][l]), add_half(sum[1][l], sum[3][l]));
        return add_rest_in_double<F16>(Eight::add_lanes_of_dot(lane), row, values, whole, w.cols);
    });
}

void f16_tile_in_half(const Rows& w, const Activations& x, float* out, std::size_t out_stride) {
    for_each_float_dot(w, x, out, out_stride, [&](const std::uint8_t* row, const float* values) {
        float sum[1][8] = {};
        add_half_products(row, values, w.cols, sum);
        return Eight::add_lanes_of_dot(sum[0]);
    });
}

}  // namespace
}  // namespace bitnet::portable
