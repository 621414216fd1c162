// Matmuls of F32, F16 and BF16 weights.
#pragma once

#include "activations.hpp"

namespace bitnet::neon {
namespace {

// group: size of the groups in which products are rounded before they are added, of the elements after the last whole
// step of a dot product.  Products of an incomplete group are added by fma, and all if the size is 1.
template <int group>
struct F32InGroups {
    static constexpr int bytes = 4;
    static float32x4_t load4(const std::uint8_t* p) { return vreinterpretq_f32_u8(vld1q_u8(p)); }
    static float load1(const std::uint8_t* p) {
        float value;
        __builtin_memcpy(&value, p, sizeof value);
        return value;
    }
    static float add_rest(float sum, const std::uint8_t* rest, const float* x, int n) {
        const int grouped = group > 1 ? n / group * group : 0;
        for (int i = 0; i < grouped; ++i) sum += load1(rest + i * bytes) * x[i];
        for (int i = grouped; i < n; ++i) sum = fmaf(load1(rest + i * bytes), x[i], sum);
        return sum;
    }
    static float finish(Eight lane, const std::uint8_t* rest, const float* x, int n) {
        return add_rest(add_lanes_as_pairs(lane), rest, x, n);
    }
};
using F32 = F32InGroups<1>;

template <typename Weight>
float add_rest_in_double(float start, const std::uint8_t* rest, const float* x, int n) {
    double sum = start;
    for (int i = 0; i < n; ++i) sum += double(Weight::load1(rest + i * Weight::bytes) * x[i]);
    return float(sum);
}

struct F16 {
    static constexpr int bytes = 2;
    static float32x4_t load4(const std::uint8_t* p) { return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p))); }
    static float load1(const std::uint8_t* p) { return float_of(std::uint16_t(p[0] | p[1] << 8)); }
    static float finish(Eight lane, const std::uint8_t* rest, const float* x, int n) {
        return add_rest_in_double<F16>(add_lanes_as_pairs(lane), rest, x, n);
    }
};

struct BF16 {
    static constexpr int bytes = 2;
    static float32x4_t load4(const std::uint8_t* p) {
        return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p)), 16));
    }
    static float load1(const std::uint8_t* p) {
        const std::uint32_t bits = std::uint32_t(p[0] | p[1] << 8) << 16;
        float value;
        __builtin_memcpy(&value, &bits, sizeof value);
        return value;
    }
    static float finish(Eight lane, const std::uint8_t* rest, const float* x, int n) {
        return add_rest_in_double<BF16>(add_lanes_as_halves(lane), rest, x, n);
    }
};

template <typename Weight>
Eight load_weights(const std::uint8_t* p) {
    return {Weight::load4(p), Weight::load4(p + 4 * Weight::bytes)};
}

template <typename Weight>
struct InFour {
    template <int R, int T>
    struct Tile {
        static void run(const Rows& w, int row, const Activations& x, int token, float* out,
                        std::size_t out_stride) {
            const int whole = w.cols / 32 * 32;
            for (int r = 0; r < R; ++r) {
                const std::uint8_t* weights = w.data + (row + r) * w.row_bytes;
                for (int t = 0; t < T; ++t) {
                    const float* values = x.f32 + (token + t) * x.stride;
                    Eight sum[4] = {all(0.0f), all(0.0f), all(0.0f), all(0.0f)};
                    for (int i = 0; i < whole; i += 32) {
                        for (int a = 0; a < 4; ++a) {
                            const Eight weight = load_weights<Weight>(weights + (i + 8 * a) * Weight::bytes);
                            sum[a] = fma8(weight, load8(values + i + 8 * a), sum[a]);
                        }
                    }
                    const Eight lane = (sum[0] + sum[2]) + (sum[1] + sum[3]);
                    out[(token + t) * out_stride + row + r] =
                        Weight::finish(lane, weights + whole * Weight::bytes, values + whole, w.cols - whole);
                }
            }
        }
    };
};

template <typename Weight>
struct InOne {
    template <int R, int T>
    struct Tile {
        static void run(const Rows& w, int row, const Activations& x, int token, float* out,
                        std::size_t out_stride) {
            Eight sum[R][T];
            for (int r = 0; r < R; ++r) {
                for (int t = 0; t < T; ++t) sum[r][t] = all(0.0f);
            }
            for (int i = 0; i < w.cols; i += lanes) {
                Eight value[T];
                for (int t = 0; t < T; ++t) value[t] = load8(x.f32 + (token + t) * x.stride + i);
                for (int r = 0; r < R; ++r) {
                    const Eight weight =
                        load_weights<Weight>(w.data + (row + r) * w.row_bytes + i * Weight::bytes);
                    for (int t = 0; t < T; ++t) sum[r][t] = fma8(weight, value[t], sum[r][t]);
                }
            }
            for (int r = 0; r < R; ++r) {
                for (int t = 0; t < T; ++t)
                    out[(token + t) * out_stride + row + r] = add_lanes_as_halves(sum[r][t]);
            }
        }
    };
};

}  // namespace
}  // namespace bitnet::neon
