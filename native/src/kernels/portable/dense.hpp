// Matmuls of F32, F16 and BF16 weights in every order of kernels.hpp.
#pragma once

#include <bit>
#include <cmath>
#include <limits>

#include "bitnet/half.hpp"
#include "lanes.hpp"

namespace bitnet::portable {
namespace {

struct F32 {
    static float at(const std::uint8_t* row, int i) {
        std::uint32_t bits = 0;
        for (int b = 3; b >= 0; --b) bits = bits << 8 | row[4 * i + b];
        return std::bit_cast<float>(bits);
    }
};

struct F16 {
    static float at(const std::uint8_t* row, int i) {
        return float_of_f16(std::uint16_t(row[2 * i] | row[2 * i + 1] << 8));
    }
};

struct BF16 {
    static float at(const std::uint8_t* row, int i) {
        return float_of_bf16(std::uint16_t(row[2 * i] | row[2 * i + 1] << 8));
    }
};

// Calls product(row pointer, values of a token) for every row and token and stores what it returns.
template <typename Product>
void for_each_float_dot(const Rows& w, const Activations& x, float* out, std::size_t out_stride,
                        Product product) {
    for (int row = 0; row < w.rows; ++row) {
        for (int token = 0; token < x.tokens; ++token) {
            out[token * out_stride + row] = product(w.data + row * w.row_bytes, x.f32 + token * x.stride);
        }
    }
}

// Products of the first `n` elements in `accumulators` of `width` lanes, by fma.
template <typename Weight, int accumulators, int width>
void add_products(const std::uint8_t* row, const float* x, int n, float (&sum)[accumulators][width]) {
    for (int i = 0; i < n; ++i) {
        float& lane = sum[i / width % accumulators][i % width];
        lane = std::fma(Weight::at(row, i), x[i], lane);
    }
}

// The sum of the first n - n % (4 width) elements.
template <typename Weight, typename Lanes>
float dot_in_four(const std::uint8_t* row, const float* x, int n) {
    constexpr int width = Lanes::width;
    float sum[4][width] = {}, lane[width];
    add_products<Weight>(row, x, n / (4 * width) * (4 * width), sum);
    for (int l = 0; l < width; ++l) lane[l] = (sum[0][l] + sum[2][l]) + (sum[1][l] + sum[3][l]);
    return Lanes::add_lanes_of_dot(lane);
}

// start plus the rounded products of the elements from `first` on.
template <typename Weight>
float add_rest_in_double(double start, const std::uint8_t* row, const float* x, int first, int n) {
    double sum = start;
    for (int i = first; i < n; ++i) sum += double(Weight::at(row, i) * x[i]);
    return float(sum);
}

// group: size of the groups in which products are rounded before they are added, of the elements after the last whole
// step.  Products of an incomplete group are added by fma, and all if the size is 1.
template <typename Lanes, int group>
void f32_dot(const Rows& w, const Activations& x, float* out, std::size_t out_stride) {
    for_each_float_dot(w, x, out, out_stride, [&](const std::uint8_t* row, const float* values) {
        constexpr int step = 4 * Lanes::width;
        float sum = dot_in_four<F32, Lanes>(row, values, w.cols);
        const int first = w.cols / step * step, grouped = first + (w.cols - first) / group * group;
        for (int i = first; i < w.cols; ++i) {
            const float weight = F32::at(row, i);
            sum = group > 1 && i < grouped ? sum + weight * values[i] : std::fma(weight, values[i], sum);
        }
        return sum;
    });
}

template <typename Lanes>
void f16_dot(const Rows& w, const Activations& x, float* out, std::size_t out_stride) {
    for_each_float_dot(w, x, out, out_stride, [&](const std::uint8_t* row, const float* values) {
        constexpr int step = 4 * Lanes::width;
        const float sum = dot_in_four<F16, Lanes>(row, values, w.cols);
        return add_rest_in_double<F16>(sum, row, values, w.cols / step * step, w.cols);
    });
}

template <typename Weight, typename Lanes>
void tile(const Rows& w, const Activations& x, float* out, std::size_t out_stride) {
    for_each_float_dot(w, x, out, out_stride, [&](const std::uint8_t* row, const float* values) {
        float sum[1][Lanes::width] = {};
        add_products<Weight>(row, values, w.cols, sum);
        return Lanes::add_lanes(sum[0]);
    });
}

void bf16_dot_in_double(const Rows& w, const Activations& x, float* out, std::size_t out_stride) {
    for_each_float_dot(w, x, out, out_stride, [&](const std::uint8_t* row, const float* values) {
        return add_rest_in_double<BF16>(0.0, row, values, 0, w.cols);
    });
}

void bf16_dot_avx2(const Rows& w, const Activations& x, float* out, std::size_t out_stride) {
    for_each_float_dot(w, x, out, out_stride, [&](const std::uint8_t* row, const float* values) {
        const int whole = w.cols / 32 * 32;
        float sum[4][8] = {}, lane[8];
        add_products<BF16>(row, values, whole, sum);
        for (int l = 0; l < 8; ++l) lane[l] = (sum[0][l] + sum[2][l]) + (sum[1][l] + sum[3][l]);
        return add_rest_in_double<BF16>(add_lanes_by_halves<8>(lane), row, values, whole, w.cols);
    });
}

void bf16_dot_avx512(const Rows& w, const Activations& x, float* out, std::size_t out_stride) {
    for_each_float_dot(w, x, out, out_stride, [&](const std::uint8_t* row, const float* values) {
        const int whole = w.cols / 32 * 32;
        float sum[2][16] = {};
        add_products<BF16>(row, values, whole, sum);
        const double both = double(add_lanes_by_halves<16>(sum[0])) + double(add_lanes_by_halves<16>(sum[1]));
        return add_rest_in_double<BF16>(both, row, values, whole, w.cols);
    });
}

float zero_if_subnormal(float x) {
    return std::fabs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0f, x) : x;
}

// What vdpbf16ps does with one of the two products of a lane.
float add_bf16_product(float weight, float x, float sum) {
    return zero_if_subnormal(
        std::fma(zero_if_subnormal(weight), zero_if_subnormal(x), zero_if_subnormal(sum)));
}

// Products of the first `n` elements, 32 to an accumulator; n is a multiple of 32.
template <int accumulators>
void add_pairs(const std::uint8_t* row, const float* x, int n, float (&sum)[accumulators][16]) {
    for (int i = 0; i < n; i += 2) {
        float& lane = sum[i / 32 % accumulators][i % 32 / 2];
        lane = add_bf16_product(BF16::at(row, i + 1), x[i + 1], lane);
        lane = add_bf16_product(BF16::at(row, i), x[i], lane);
    }
}

void bf16_dot_in_pairs(const Rows& w, const Activations& x, float* out, std::size_t out_stride) {
    for_each_float_dot(w, x, out, out_stride, [&](const std::uint8_t* row, const float* values) {
        const int whole = w.cols / 64 * 64;
        float sum[2][16] = {};
        add_pairs(row, values, whole, sum);
        const double both = double(add_lanes_by_halves<16>(sum[0])) + double(add_lanes_by_halves<16>(sum[1]));
        return add_rest_in_double<BF16>(both, row, values, whole, w.cols);
    });
}

void bf16_tile_in_pairs(const Rows& w, const Activations& x, float* out, std::size_t out_stride) {
    for_each_float_dot(w, x, out, out_stride, [&](const std::uint8_t* row, const float* values) {
        float sum[1][16] = {};
        add_pairs(row, values, w.cols, sum);
        return add_lanes_by_halves<16>(sum[0]);
    });
}

}  // namespace
}  // namespace bitnet::portable
