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

float add_four_as_pairs(const float* lane) { return (lane[0] + lane[1]) + (lane[2] + lane[3]); }

struct Four {
    static constexpr int width = 4;

    static float add_lanes(const float* lane) { return add_four_as_pairs(lane); }
    static float add_lanes_of_dot(const float* lane) { return add_four_as_pairs(lane); }
};

struct Eight {
    static constexpr int width = 8;

    static float add_lanes(const float* lane) { return add_lanes_by_halves<width>(lane); }
    static float add_lanes_of_dot(const float* lane) {
        const float half[4] = {lane[0] + lane[4], lane[1] + lane[5], lane[2] + lane[6], lane[3] + lane[7]};
        return add_four_as_pairs(half);
    }
};

struct Sixteen {
    static constexpr int width = 16;

    static float add_lanes(const float* lane) { return add_lanes_by_halves<width>(lane); }
    static float add_lanes_of_dot(const float* lane) { return add_lanes(lane); }
};

}  // namespace
}  // namespace bitnet::portable
