// The order neon, that of ggml's own builds for NEON: sums of four lanes, which are added as pairs.
#pragma once

#include "dense.hpp"
#include "elementwise.hpp"
#include "ternary.hpp"

namespace bitnet::neon::in_four {
namespace {

float add_lanes(float32x4_t v) { return add_pair(vpadd_f32(vget_low_f32(v), vget_high_f32(v))); }

// Adds the elements beyond the last whole sixteen.
template <int group>
float add_rest(float sum, F32InGroups<group>, const std::uint8_t* rest, const float* x, int n) {
    return F32InGroups<group>::add_rest(sum, rest, x, n);
}

float add_rest(float sum, F16, const std::uint8_t* rest, const float* x, int n) {
    return add_rest_in_double<F16>(sum, rest, x, n);
}

// R rows x T tokens, each by Product::of(row, values of a token, columns).
template <typename Product>
struct EachAlone {
    template <int R, int T>
    struct Tile {
        static void run(const Rows& w, int row, const Activations& x, int token, float* out,
                        std::size_t out_stride) {
            for (int r = 0; r < R; ++r) {
                for (int t = 0; t < T; ++t)
                    out[(token + t) * out_stride + row + r] =
                        Product::of(w.data + (row + r) * w.row_bytes, x.f32 + (token + t) * x.stride, w.cols);
            }
        }
    };
};

template <typename Weight>
struct Dot {
    static float of(const std::uint8_t* weights, const float* x, int cols) {
        const int whole = cols / 16 * 16;
        float32x4_t sum[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
        for (int i = 0; i < whole; i += 16) {
            for (int a = 0; a < 4; ++a) {
                const int at = i + 4 * a;
                sum[a] = vfmaq_f32(sum[a], Weight::load4(weights + at * Weight::bytes), vld1q_f32(x + at));
            }
        }
        const float32x4_t lane = vaddq_f32(vaddq_f32(sum[0], sum[2]), vaddq_f32(sum[1], sum[3]));
        return add_rest(add_lanes(lane), Weight{}, weights + whole * Weight::bytes, x + whole, cols - whole);
    }
};

struct Bf16Dot {
    static float of(const std::uint8_t* weights, const float* x, int cols) {
        return add_rest_in_double<BF16>(0.0f, weights, x, cols);
    }
};

template <typename Weight>
struct InOne {
    template <int R, int T>
    struct Tile {
        static void run(const Rows& w, int row, const Activations& x, int token, float* out,
                        std::size_t out_stride) {
            float32x4_t sum[R][T];
            for (int r = 0; r < R; ++r) {
                for (int t = 0; t < T; ++t) sum[r][t] = vdupq_n_f32(0);
            }
            for (int i = 0; i < w.cols; i += 4) {
                float32x4_t value[T];
                for (int t = 0; t < T; ++t) value[t] = vld1q_f32(x.f32 + (token + t) * x.stride + i);
                for (int r = 0; r < R; ++r) {
                    const float32x4_t weight =
                        Weight::load4(w.data + (row + r) * w.row_bytes + i * Weight::bytes);
                    for (int t = 0; t < T; ++t) sum[r][t] = vfmaq_f32(sum[r][t], weight, value[t]);
                }
            }
            for (int r = 0; r < R; ++r) {
                for (int t = 0; t < T; ++t) out[(token + t) * out_stride + row + r] = add_lanes(sum[r][t]);
            }
        }
    };
};

// Ternary blocks, whose products are summed in integers.
template <typename Packing, typename Fours>
struct OneSum {
    template <int R, int T>
    struct Tile {
        static void run(const Rows& w, int row, const Activations& x, int token, float* out,
                        std::size_t out_stride) {
            const int blocks = w.cols / block_q8_k;
            for (int r = 0; r < R; ++r) {
                float sum[T] = {};
                for (int block = 0; block < blocks; ++block) {
                    add_block(w.data + (row + r) * w.row_bytes + block * Packing::bytes, x, token, block,
                              blocks, sum);
                }
                for (int t = 0; t < T; ++t) out[(token + t) * out_stride + row + r] = sum[t];
            }
        }

        static void add_block(const std::uint8_t* packed, const Activations& x, int token, int block,
                              int blocks, float (&sum)[T]) {
            int8x16_t weights[16];
            Packing::unpack(packed, weights);
            const std::uint8_t* tail = packed + Packing::bytes - 2;
            const float weight_scale = float_of(std::uint16_t(tail[0] | tail[1] << 8));
            for (int t = 0; t < T; ++t) {
                const std::int8_t* codes = x.codes + (token + t) * x.stride + block * block_q8_k;
                const std::int16_t* sums = x.block_sums + ((token + t) * blocks + block) * 16;
                const int32x4_t even = Fours::run(weights, codes, sums);
                const int32x4_t odd = Fours::run(weights + 1, codes + 16, sums + 8);
                const float scale = x.scales[(token + t) * x.scale_stride + block] * weight_scale;
                sum[t] = fmaf(scale, float(vaddvq_s32(vaddq_s32(even, odd))), sum[t]);
            }
        }
    };
};

void softmax(float* row, int n, float scale) {
    const float32x4_t top = vdupq_n_f32(scale_and_find_largest(row, n, scale));
    double sum = 0.0;
    for (int i = 0; i < n; i += 4) {
        const float32x4_t value = exp_by_polynomial(vsubq_f32(vld1q_f32(row + i), top));
        vst1q_f32(row + i, value);
        sum += double(add_lanes(value));
    }
    const float inverse = float(1.0 / sum);
    for (int i = 0; i < n; i += 4) vst1q_f32(row + i, vmulq_n_f32(vld1q_f32(row + i), inverse));
}

void silu_mul(const float* gate, const float* up, int n, float* out) {
    int i = 0;
    for (; i + 4 <= n; i += 4) {
        const float32x4_t x = vld1q_f32(gate + i);
        const float32x4_t e = exp_by_polynomial(vsubq_f32(vdupq_n_f32(0.0f), x));
        const float32x4_t silu = vdivq_f32(x, vaddq_f32(vdupq_n_f32(1.0f), e));
        vst1q_f32(out + i, vmulq_f32(silu, vld1q_f32(up + i)));
    }
    for (; i < n; ++i) out[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
}

}  // namespace
}  // namespace bitnet::neon::in_four
