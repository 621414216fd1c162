// The definition of every kernel, in plain C++: no intrinsics, one value at a time, in the orders of
// kernels.hpp.

#include <algorithm>
#include <bit>
#include <cmath>

#include "bitnet/half.hpp"
#include "portable/dense.hpp"
#include "portable/exp.hpp"
#include "portable/half_dense.hpp"
#include "portable/integers.hpp"
#include "portable/ternary.hpp"
#include "sets.hpp"

namespace bitnet::portable {
namespace {

// Round half to even for |x| < 2^22, zero for NaN: ggml's trick of adding 1.5 * 2^23.
constexpr float shift_to_integer = 12582912.0f;
int integer_of_shifted(float x) { return int(std::bit_cast<std::uint32_t>(x) & 0x007fffffu) - 0x00400000; }
int nearest(float x) { return integer_of_shifted(x + shift_to_integer); }

// The same of x * y, which is not rounded to float before.
int nearest_to_product(float x, float y) { return integer_of_shifted(std::fma(x, y, shift_to_integer)); }

void quantize_i8(const float* x, int n, std::int8_t* codes, float* scale, std::int32_t* sum) {
    float largest = 0.0f;
    for (int i = 0; i < n; ++i) largest = std::max(largest, std::fabs(x[i]));
    *scale = float(127.0 / std::max(1e-5, double(largest)));
    *sum = 0;
    for (int i = 0; i < n; ++i) {
        const int code = std::clamp(nearest(x[i] * *scale), -128, 127);
        codes[i] = std::int8_t(code);
        *sum += code;
    }
}

template <bool is_fused>
void quantize_q8_k_block(const float* x, std::int8_t* codes, float* scale, std::int16_t* block_sums) {
    float largest = 0.0f;
    for (int i = 0; i < block_q8_k; ++i) {
        if (std::fabs(x[i]) > std::fabs(largest)) largest = x[i];
    }
    const float inverse = largest == 0.0f ? 0.0f : -127.0f / largest;
    *scale = largest == 0.0f ? 0.0f : 1.0f / inverse;
    const float factor = std::isinf(inverse) ? 0.0f : inverse;  // so tiny a block that ggml's codes wrap to 0
    std::fill_n(block_sums, block_q8_k / 16, std::int16_t(0));
    for (int i = 0; i < block_q8_k; ++i) {
        const int code = is_fused ? nearest_to_product(factor, x[i]) : nearest(factor * x[i]);
        codes[i] = std::int8_t(std::min(127, code));
        block_sums[i / 16] = std::int16_t(block_sums[i / 16] + codes[i]);
    }
}

template <bool is_fused>
void quantize_q8_k(const float* x, int n, std::int8_t* codes, float* scales, std::int16_t* block_sums) {
    for (int i = 0; i < n; i += block_q8_k) {
        quantize_q8_k_block<is_fused>(x + i, codes + i, scales + i / block_q8_k, block_sums + i / 16);
    }
}

void quantize_q8_0(const float* x, int n, std::int8_t* codes, float* scales, float* value_sums) {
    for (int b = 0; b < n / block_q8_0; ++b, x += block_q8_0, codes += block_q8_0) {
        float largest = 0.0f;
        for (int i = 0; i < block_q8_0; ++i) largest = std::max(largest, std::fabs(x[i]));
        const float scale = largest / 127.0f, inverse = largest == 0.0f ? 0.0f : 127.0f / largest;
        const float factor = std::isinf(inverse) ? 0.0f : inverse;  // so tiny a block that its scale is 0
        int sum = 0;
        for (int i = 0; i < block_q8_0; ++i) {
            codes[i] = std::int8_t(std::clamp(nearest(x[i] * factor), -128, 127));
            sum += codes[i];
        }
        scales[b] = float_of_f16(f16_of_float(scale));
        value_sums[b] = float_of_f16(f16_of_float(scale * float(sum)));
    }
}

void to_f16(const float* x, int n, std::uint16_t* out) {
    for (int i = 0; i < n; ++i) out[i] = f16_of_float(x[i]);
}

void from_f16(const std::uint16_t* x, int n, float* out) {
    for (int i = 0; i < n; ++i) out[i] = float_of_f16(x[i]);
}

void round_to_f16(const float* x, int n, float* out) {
    for (int i = 0; i < n; ++i) out[i] = float_of_f16(f16_of_float(x[i]));
}

void round_to_bf16(const float* x, int n, float* out) {
    for (int i = 0; i < n; ++i) out[i] = float_of_bf16(bf16_of_float(x[i]));
}

void rms_norm(const float* x, const float* weight, int n, float eps, float* out) {
    double sum = 0.0;
    for (int i = 0; i < n; ++i) sum += double(x[i] * x[i]);
    const float mean = float(sum / n);
    const float scale = 1.0f / std::sqrt(mean + eps);
    for (int i = 0; i < n; ++i) out[i] = x[i] * scale * weight[i];
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
        float& first = x[i * step];
        float& second = x[i * step + distance];
        const float x0 = first, x1 = second;
        first = std::fma(x0, cos[i], -(x1 * sin[i]));
        second = std::fma(x0, sin[i], x1 * cos[i]);
    }
}

void rotate_in_fours(float* x, const float* cos, const float* sin, int n_pairs, int step, int distance) {
    const int in_fours = n_pairs / 4 * 4;
    for (int i = 0; i < in_fours; ++i) {
        float& first = x[i * step];
        float& second = x[i * step + distance];
        const float x0 = first, x1 = second;
        first = std::fma(-x1, sin[i], x0 * cos[i]);
        second = std::fma(x0, sin[i], x1 * cos[i]);
    }
    rotate(x + in_fours * step, cos + in_fours, sin + in_fours, n_pairs - in_fours, step, distance);
}

constexpr OrderedKernels in_eight{
    .matmuls = matmuls({
        {Format::f32, Sums::dot, f32_dot<Eight, 1>},
        {Format::f32, Sums::dot_gcc, f32_dot<Eight, 4>},
        {Format::f32, Sums::tile, tile<F32, Eight>},
        {Format::f16, Sums::dot, f16_dot<Eight>},
        {Format::f16, Sums::tile, tile<F16, Eight>},
        {Format::bf16, Sums::dot, bf16_dot_avx2},
        {Format::bf16, Sums::tile, tile<BF16, Eight>},
    }),
    .softmax = softmax<exp_by_bits, Eight>,
    .silu_mul = silu_mul<exp_by_bits, Eight>,
};

constexpr OrderedKernels in_sixteen{
    .matmuls = matmuls({
        {Format::f32, Sums::dot, f32_dot<Sixteen, 1>},
        {Format::f32, Sums::dot_gcc, f32_dot<Sixteen, 8>},
        {Format::f32, Sums::tile, tile<F32, Sixteen>},
        {Format::f16, Sums::dot, f16_dot<Sixteen>},
        {Format::f16, Sums::tile, tile<F16, Sixteen>},
        {Format::bf16, Sums::dot, bf16_dot_avx512},
        {Format::bf16, Sums::tile, tile<BF16, Sixteen>},
    }),
    .softmax = softmax<exp_by_scaling, Sixteen>,
    .silu_mul = silu_mul<exp_by_scaling, Sixteen>,
};

constexpr OrderedKernels in_sixteen_by_pairs{
    .matmuls = matmuls(
        {
            {Format::bf16, Sums::dot, bf16_dot_in_pairs},
            {Format::bf16, Sums::tile, bf16_tile_in_pairs},
        },
        in_sixteen.matmuls),
    .softmax = in_sixteen.softmax,
    .silu_mul = in_sixteen.silu_mul,
};

constexpr OrderedKernels in_four{
    .matmuls = matmuls({
        {Format::f32, Sums::dot, f32_dot<Four, 8>},
        {Format::f32, Sums::dot_gcc, f32_dot<Four, 4>},
        {Format::f32, Sums::tile, tile<F32, Four>},
        {Format::f16, Sums::dot, f16_dot<Four>},
        {Format::f16, Sums::tile, tile<F16, Four>},
        {Format::bf16, Sums::dot, bf16_dot_in_double},
        {Format::bf16, Sums::tile, bf16_dot_in_double},
    }),
    .softmax = softmax<exp_by_bits, Four>,
    .silu_mul = silu_mul<exp_by_bits, Four>,
};

constexpr OrderedKernels in_four_and_half{
    .matmuls = matmuls(
        {
            {Format::f16, Sums::dot, f16_dot_in_half},
            {Format::f16, Sums::tile, f16_tile_in_half},
        },
        in_four.matmuls),
    .softmax = in_four.softmax,
    .silu_mul = in_four.silu_mul,
};

}  // namespace

constinit const KernelSet kernels{
    .name = "portable",
    .isa = "c++",
    .runs_here = [] { return true; },
    .quantize_i8 = quantize_i8,
    .quantize_q8_k = quantize_q8_k<false>,
    .quantize_q8_k_fused = quantize_q8_k<true>,
    .quantize_q8_0 = quantize_q8_0,
    .to_f16 = to_f16,
    .from_f16 = from_f16,
    .round_to_f16 = round_to_f16,
    .round_to_bf16 = round_to_bf16,
    .matmuls = matmuls({
        {Format::i2_s, Sums::whole, i2_s},
        {Format::tq1_0, Sums::lanes, each_dot<dot_tq_in_lanes<Tq1, true>>},
        {Format::tq2_0, Sums::lanes, each_dot<dot_tq_in_lanes<Tq2, true>>},
        {Format::tq1_0, Sums::lanes_rounded, each_dot<dot_tq_in_lanes<Tq1, false>>},
        {Format::tq2_0, Sums::lanes_rounded, each_dot<dot_tq_in_lanes<Tq2, false>>},
        {Format::tq1_0, Sums::one, each_dot<dot_tq_in_one<Tq1>>},
        {Format::tq2_0, Sums::one, each_dot<dot_tq_in_one<Tq2>>},
        {Format::q8_0, Sums::lanes, each_dot<dot_q8_0_in_lanes<Q80>>},
        {Format::q5_0, Sums::lanes, each_dot<dot_q8_0_in_lanes<Q50>>},
        {Format::q4_0, Sums::lanes, each_dot<dot_q8_0_in_lanes<Q40>>},
        {Format::q4_0, Sums::one, each_dot<dot_q8_0_in_one<Q40>>},
        {Format::q4_1, Sums::lanes, each_dot<dot_q8_0_in_lanes<Q41>>},
        {Format::q2_0, Sums::one, each_dot<dot_parts_in_one<Q20, true>>},
        {Format::q2_0, Sums::one_rounded, each_dot<dot_parts_in_one<Q20, false>>},
        {Format::q1_0, Sums::lanes, each_dot<dot_parts_in_lanes<Q10>>},
        {Format::q6_k, Sums::lanes, each_dot<dot_k_in_lanes<Q6K, false>>},
        {Format::q6_k, Sums::lanes_offset, each_dot<dot_k_in_lanes<Q6K, true>>},
        {Format::q6_k, Sums::tile, each_dot<dot_k_in_tile<Q6K, true>>},
        {Format::q6_k, Sums::tile_rounded, each_dot<dot_k_in_tile<Q6K, false>>},
        {Format::q4_k, Sums::lanes, each_dot<dot_k_in_lanes<Q4K, false>>},
        {Format::q4_k, Sums::one, each_dot<dot_k_in_one<Q4K, 16>>},
        {Format::q4_k, Sums::one_in_parts, each_dot<dot_k_in_one<Q4K, 4>>},
        {Format::q4_k, Sums::tile, each_dot<dot_k_in_tile<Q4K, true>>},
        {Format::q4_k, Sums::tile_rounded, each_dot<dot_k_in_tile<Q4K, false>>},
        {Format::q3_k, Sums::lanes, each_dot<dot_k_in_lanes<Q3K, false>>},
        {Format::q3_k, Sums::tile, each_dot<dot_k_in_tile<Q3K, true>>},
        {Format::q3_k, Sums::tile_rounded, each_dot<dot_k_in_tile<Q3K, false>>},
    }),
    .rms_norm = rms_norm,
    .relu2_mul = relu2_mul,
    .add = add,
    .rotate = rotate,
    .rotate_in_fours = rotate_in_fours,
    .orders = {in_eight, in_sixteen, in_sixteen_by_pairs, in_four, in_four_and_half},
};

}  // namespace bitnet::portable
