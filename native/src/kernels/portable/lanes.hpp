// How many lanes a sum has, and how they are added in the end; see "Orders" in kernels.hpp.
#pragma once

#include "bitnet/kernels.hpp"

namespace bitnet::portable {
namespace {

// The first half of the lanes takes the second half, until one is left.
template <int width>
float add_lanes_by_halves(const float* lane) {
    float sum[width];
    for (int l = 0; l < width; ++l) sum[l] = lane[l];
    for (int half = width / 2; half > 0; half /= 2) {
        for (int l = 0; l < half; ++l) sum[l] = sum[l] + sum[l + half];
    }
    return sum[0];
}

struct Eight {
    static constexpr int width = 8;

    static float add_lanes_of_dot(const float* lane) {
        const float a = lane[0] + lane[4], b = lane[1] + lane[5], c = lane[2] + lane[6], d = lane[3] + lane[7];
        return (a + b) + (c + d);
    }
};

struct Sixteen {
    static constexpr int width = 16;

    static float add_lanes_of_dot(const float* lane) { return add_lanes_by_halves<width>(lane); }
};

}  // namespace
}  // namespace bitnet::portable
