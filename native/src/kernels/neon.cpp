// NEON as every AArch64 has it.  Eight lanes are two registers of four.

#include "sets.hpp"

#if defined(__aarch64__)

#include <arm_neon.h>
#include <math.h>

#include "tiling.hpp"

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

// Reductions ---------------------------------------------------------------------------------------------------

float add_pair(float32x2_t v) { return vget_lane_f32(v, 0) + vget_lane_f32(v, 1); }

float add_lanes_as_pairs(Eight v) {
    const float32x4_t four = vaddq_f32(v.low, v.high);
    return add_pair(vpadd_f32(vget_low_f32(four), vget_high_f32(four)));
}

float add_lanes_as_halves(Eight v) {
    const float32x4_t four = vaddq_f32(v.low, v.high);
    return add_pair(vadd_f32(vget_low_f32(four), vget_high_f32(four)));
}

// Conversions and quantisation ---------------------------------------------------------------------------------

// Round half to even for |x| < 2^22, zero for NaN: ggml's trick of adding 1.5 * 2^23.
int32x4_t nearest(float32x4_t x) {
    const int32x4_t bits = vreinterpretq_s32_f32(vaddq_f32(x, vdupq_n_f32(12582912.0f)));
    return vsubq_s32(vandq_s32(bits, vdupq_n_s32(0x007fffff)), vdupq_n_s32(0x00400000));
}

int nearest_one(float x) { return vgetq_lane_s32(nearest(vdupq_n_f32(x)), 0); }

int8x16_t codes_of_16(const float* x, float scale) {
    int16x4_t part[4];
    for (int i = 0; i < 4; ++i) part[i] = vqmovn_s32(nearest(vmulq_n_f32(vld1q_f32(x + 4 * i), scale)));
    return vcombine_s8(vqmovn_s16(vcombine_s16(part[0], part[1])), vqmovn_s16(vcombine_s16(part[2], part[3])));
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
        const float factor = __builtin_isinf(inverse) ? 0.0f : inverse;  // so tiny a block that ggml's codes wrap to 0
        for (int j = i; j < i + block_q8_k; j += 16) {
            const int8x16_t bytes = codes_of_16(x + j, factor);
            vst1q_s8(codes + j, bytes);
            block_sums[j / 16] = std::int16_t(vaddlvq_s8(bytes));
        }
    }
}

float16x4_t half_of(float32x4_t x) { return vcvt_f16_f32(x); }
float float_of(std::uint16_t half) { return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(half))), 0); }
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

// Ternary matmuls ----------------------------------------------------------------------------------------------

int8x16_t two_bits(uint8x16_t packed, int shift) {
    const uint8x16_t moved = vshlq_u8(packed, vdupq_n_s8(std::int8_t(-shift)));
    return vreinterpretq_s8_u8(vandq_u8(moved, vdupq_n_u8(3)));
}

// A block adds 16 products of a code (0..2) and an int8 to each 16-bit lane: at most 4096.  Seven blocks fit.
constexpr int blocks_before_widening = 7;

template <int R, int T>
struct I2S {
    static void run(const Rows& w, int row, const Activations& x, int token, float* out, std::size_t out_stride) {
        int32x4_t total[T][R];
        for (int t = 0; t < T; ++t) {
            for (int r = 0; r < R; ++r) total[t][r] = vdupq_n_s32(0);
        }
        const int blocks = w.cols / block_i2_s;
        for (int block = 0; block < blocks; block += blocks_before_widening) {
            add_blocks(w, row, x, token, block, smaller(block + blocks_before_widening, blocks), total);
        }
        for (int t = 0; t < T; ++t) {
            const float sum = float(x.sums[token + t]), scale = x.scales[token + t];
            float* result = out + (token + t) * out_stride + row;
            for (int r = 0; r < R; ++r) result[r] = (float(vaddvq_s32(total[t][r])) - sum) / scale * w.scale;
        }
    }

    static void add_blocks(const Rows& w, int row, const Activations& x, int token, int block, int end,
                           int32x4_t (&total)[T][R]) {
        int16x8_t part[T][R];
        for (int t = 0; t < T; ++t) {
            for (int r = 0; r < R; ++r) part[t][r] = vdupq_n_s16(0);
        }
        for (; block < end; ++block) {
            for (int half = 0; half < 2; ++half) {
                uint8x16_t bytes[R];
                for (int r = 0; r < R; ++r) bytes[r] = vld1q_u8(w.data + (row + r) * w.row_bytes + block * 32 + half * 16);
                for (int group = 0; group < 4; ++group) {
                    const int at = block * block_i2_s + group * 32 + half * 16;
                    int8x16_t values[T];
                    for (int t = 0; t < T; ++t) values[t] = vld1q_s8(x.codes + (token + t) * x.stride + at);
                    for (int r = 0; r < R; ++r) {
                        const int8x16_t weights = two_bits(bytes[r], 6 - 2 * group);
                        for (int t = 0; t < T; ++t) {
                            part[t][r] = vmlal_s8(part[t][r], vget_low_s8(weights), vget_low_s8(values[t]));
                            part[t][r] = vmlal_high_s8(part[t][r], weights, values[t]);
                        }
                    }
                }
            }
        }
        for (int t = 0; t < T; ++t) {
            for (int r = 0; r < R; ++r) total[t][r] = vpadalq_s16(total[t][r], part[t][r]);
        }
    }
};

// The digit above 8 bits of 3 * byte, for all bytes: 0, 1 or 2.
int8x16_t top_digit(uint8x16_t bytes) {
    const uint8x8_t low = vshrn_n_u16(vmull_u8(vget_low_u8(bytes), vdup_n_u8(3)), 8);
    const uint8x8_t high = vshrn_n_u16(vmull_u8(vget_high_u8(bytes), vdup_n_u8(3)), 8);
    return vreinterpretq_s8_u8(vcombine_u8(low, high));
}

// 256 codes, in the order of the elements.
struct Tq1 {
    static constexpr int bytes = tq1_0_bytes;

    static void unpack(const std::uint8_t* block, int8x16_t (&codes)[16]) {
        uint8x16_t first = vld1q_u8(block), second = vld1q_u8(block + 16), third = vld1q_u8(block + 32);
        const uint8x16_t three = vdupq_n_u8(3);
        for (int digit = 0; digit < 5; ++digit) {
            codes[2 * digit] = top_digit(first);
            codes[2 * digit + 1] = top_digit(second);
            codes[10 + digit] = top_digit(third);
            first = vmulq_u8(first, three);
            second = vmulq_u8(second, three);
            third = vmulq_u8(third, three);
        }
        const std::uint8_t* p = block + 48;
        const std::uint32_t fours = p[0] | p[1] << 8 | p[2] << 16 | std::uint32_t(p[3]) << 24;
        constexpr std::uint8_t powers[16] = {1, 1, 1, 1, 3, 3, 3, 3, 9, 9, 9, 9, 27, 27, 27, 27};
        codes[15] = top_digit(vmulq_u8(vreinterpretq_u8_u32(vdupq_n_u32(fours)), vld1q_u8(powers)));
    }
};

struct Tq2 {
    static constexpr int bytes = tq2_0_bytes;

    static void unpack(const std::uint8_t* block, int8x16_t (&codes)[16]) {
        for (int i = 0; i < 16; ++i) codes[i] = two_bits(vld1q_u8(block + i / 8 * 32 + i % 2 * 16), i % 8 / 2 * 2);
    }
};

template <typename Packing, bool is_fused>
struct Q8K {
    template <int R, int T>
    struct Tile {
        static void run(const Rows& w, int row, const Activations& x, int token, float* out, std::size_t out_stride) {
            const int blocks = w.cols / block_q8_k;
            for (int r = 0; r < R; ++r) {
                Eight sum[T];
                for (int t = 0; t < T; ++t) sum[t] = all(0.0f);
                for (int block = 0; block < blocks; ++block) {
                    add_block(w.data + (row + r) * w.row_bytes + block * Packing::bytes, x, token, block, blocks, sum);
                }
                for (int t = 0; t < T; ++t) out[(token + t) * out_stride + row + r] = add_lanes_as_halves(sum[t]);
            }
        }

        static void add_block(const std::uint8_t* packed, const Activations& x, int token, int block, int blocks,
                              Eight (&sum)[T]) {
            int8x16_t weights[16];
            Packing::unpack(packed, weights);
            const std::uint8_t* tail = packed + Packing::bytes - 2;
            const float weight_scale = float_of(std::uint16_t(tail[0] | tail[1] << 8));
            for (int t = 0; t < T; ++t) {
                const std::int8_t* codes = x.codes + (token + t) * x.stride + block * block_q8_k;
                const std::int16_t* sums = x.block_sums + ((token + t) * blocks + block) * 16;
                const Eight fours{vcvtq_f32_s32(sum_fours(weights, codes, sums)),
                                  vcvtq_f32_s32(sum_fours(weights + 1, codes + 16, sums + 8))};
                const Eight scale = all(x.scales[(token + t) * blocks + block] * weight_scale);
                sum[t] = is_fused ? fma8(fours, scale, sum[t]) : fours * scale + sum[t];
            }
        }

        // Products of every second register of sixteen, summed by the place of their four bytes, less the sums of codes.
        static int32x4_t sum_fours(const int8x16_t* weights, const std::int8_t* codes, const std::int16_t* sums) {
            int16x8_t low = vdupq_n_s16(0), high = vdupq_n_s16(0);
            for (int i = 0; i < 8; ++i) {
                const int8x16_t values = vld1q_s8(codes + 32 * i);
                low = vmlal_s8(low, vget_low_s8(weights[2 * i]), vget_low_s8(values));
                high = vmlal_high_s8(high, weights[2 * i], values);
            }
            const int32x4_t fours = vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high));
            return vsubq_s32(fours, vpaddlq_s16(vld1q_s16(sums)));
        }
    };
};

// Float matmuls ------------------------------------------------------------------------------------------------

struct F32 {
    static constexpr int bytes = 4;
    static float32x4_t load4(const std::uint8_t* p) { return vreinterpretq_f32_u8(vld1q_u8(p)); }
    static float load1(const std::uint8_t* p) {
        float value;
        __builtin_memcpy(&value, p, sizeof value);
        return value;
    }
    static float finish(Eight lane, const std::uint8_t* rest, const float* x, int n) {
        float sum = add_lanes_as_pairs(lane);
        for (int i = 0; i < n; ++i) sum = fmaf(load1(rest + i * bytes), x[i], sum);
        return sum;
    }
};

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
        static void run(const Rows& w, int row, const Activations& x, int token, float* out, std::size_t out_stride) {
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
        static void run(const Rows& w, int row, const Activations& x, int token, float* out, std::size_t out_stride) {
            Eight sum[R][T];
            for (int r = 0; r < R; ++r) {
                for (int t = 0; t < T; ++t) sum[r][t] = all(0.0f);
            }
            for (int i = 0; i < w.cols; i += lanes) {
                Eight value[T];
                for (int t = 0; t < T; ++t) value[t] = load8(x.f32 + (token + t) * x.stride + i);
                for (int r = 0; r < R; ++r) {
                    const Eight weight = load_weights<Weight>(w.data + (row + r) * w.row_bytes + i * Weight::bytes);
                    for (int t = 0; t < T; ++t) sum[r][t] = fma8(weight, value[t], sum[r][t]);
                }
            }
            for (int r = 0; r < R; ++r) {
                for (int t = 0; t < T; ++t) out[(token + t) * out_stride + row + r] = add_lanes_as_halves(sum[r][t]);
            }
        }
    };
};

// Element-wise -------------------------------------------------------------------------------------------------

void rms_norm(const float* x, const float* weight, int n, float eps, float* out) {
    double sum = 0.0;
    for (int i = 0; i < n; ++i) sum += double(x[i] * x[i]);
    const float mean = float(sum / n);
    const float scale = 1.0f / sqrtf(mean + eps);
    int i = 0;
    for (; i + lanes <= n; i += lanes) store8(out + i, load8(x + i) * all(scale) * load8(weight + i));
    for (; i < n; ++i) out[i] = x[i] * scale * weight[i];
}

// As portable::exp_by_polynomial.
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

void softmax(float* row, int n, float scale) {
    float32x4_t largest = vdupq_n_f32(-__builtin_inff());
    for (int i = 0; i < n; i += 4) {
        const float32x4_t scaled = vmulq_n_f32(vld1q_f32(row + i), scale);
        vst1q_f32(row + i, scaled);
        largest = vmaxnmq_f32(scaled, largest);
    }
    const Eight top = all(vmaxnmvq_f32(largest));
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

const KernelSet kernels{
    .name = "neon",
    .isa = "neon",
    .runs_here = [] { return true; },
    .quantize_i8 = quantize_i8,
    .quantize_q8_k = quantize_q8_k,
    .to_f16 = to_f16,
    .from_f16 = from_f16,
    .round_to_f16 = round_to_f16,
    .round_to_bf16 = round_to_bf16,
    .i2_s = multiply<I2S, 4, 2, 4>,
    .tq1_0 = multiply<Q8K<Tq1, true>::Tile, 1, 1, 4>,
    .tq2_0 = multiply<Q8K<Tq2, true>::Tile, 1, 1, 4>,
    .tq1_0_apart = multiply<Q8K<Tq1, false>::Tile, 1, 1, 4>,
    .tq2_0_apart = multiply<Q8K<Tq2, false>::Tile, 1, 1, 4>,
    .f32_dot = multiply<InFour<F32>::Tile, 1, 1, 2>,
    .f32_tile = multiply<InOne<F32>::Tile, 4, 4, 2>,
    .f16_dot = multiply<InFour<F16>::Tile, 1, 1, 2>,
    .f16_tile = multiply<InOne<F16>::Tile, 4, 4, 2>,
    .bf16_dot = multiply<InFour<BF16>::Tile, 1, 1, 2>,
    .bf16_tile = multiply<InOne<BF16>::Tile, 4, 4, 2>,
    .rms_norm = rms_norm,
    .softmax = softmax,
    .silu_mul = silu_mul,
    .relu2_mul = relu2_mul,
    .add = add,
    .rotate = rotate,
};

}  // namespace bitnet::neon

#endif
