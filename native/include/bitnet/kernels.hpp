// Kernel sets: the same functions, written for different instruction sets.
//
// Every set computes the same bits.  Integers are exact; every float is rounded in a prescribed order, so
// `portable` is the definition and the others are faster ways to it.  Where builds of ggml for different
// instruction sets add in different orders, a kernel exists once for each order (see "Orders" below), and every
// set has all of them: which order is computed and which instructions compute it are independent.
//
// Kernels check nothing and allocate nothing; pointers may be misaligned.  Callers keep these promises:
// cols is a multiple of the format's block, and a buffer holds what its comment says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>

#include "bitnet/format.hpp"

namespace bitnet {

// Consecutive rows of a packed matrix, where they lie in the file.
struct Rows {
    const std::uint8_t* data;
    std::size_t row_bytes;  // distance of two rows
    int rows;
    int cols;
    float scale;  // I2_S: of the whole tensor
};

// Activations of some tokens, in the form that the weight format multiplies; unused members are null.
// For F16 and BF16 weights ggml rounds activations to 16 bits; callers round f32 values beforehand
// (round_to_f16), which gives the same products and spares the kernel a conversion.
struct Activations {
    int tokens = 0;
    std::size_t stride = 0;              // elements between two tokens, in f32 and codes
    std::size_t scale_stride = 0;        // scales of a token
    const float* f32 = nullptr;          // (tokens, cols)
    const std::int8_t* codes = nullptr;  // (tokens, cols)
    // I8 (tokens,): codes = x * scale; Q8_0 (tokens, cols / 32) and Q8_K (tokens, cols / 256): x = codes * scale
    const float* scales = nullptr;
    const std::int32_t* sums = nullptr;        // I8 (tokens,): sums of codes
    const std::int16_t* block_sums = nullptr;  // Q8_K (tokens, cols / 16): sums of 16 codes
    const float* value_sums = nullptr;  // Q8_0 (tokens, cols / 32): scale times sum of codes, rounded to F16
};

// out[token * out_stride + row] = dot product.
using MatMul = void (*)(const Rows& weights, const Activations& x, float* out, std::size_t out_stride);

// Orders of float sums: those of ggml built for AVX2 (w = 8 lanes), AVX-512 (w = 16) and NEON (w = 4).  Element e of
// a sum is added by fma to lane e % w of an accumulator.  Lanes are added "by halves": l + (l + w / 2), then
// the same for the first half of them, down to one.
//   dot    four accumulators: element e goes to accumulator (e / w) % 4; they are added as (0 + 2) + (1 + 3),
//          then their lanes by halves, except that avx2 and both orders of NEON add the last four lanes as pairs,
//          (0 + 1) + (2 + 3).
//          Elements beyond the last whole 4 w are added one by one: rounded products to a double for F16 and
//          BF16; by fma to the float sum for F32, where some builds round the products of whole groups of elements
//          first: GCC's (_gcc) of w / 2 elements, in both orders of NEON of four, and there Clang's of eight.
//          BF16 in avx2 adds all lanes by halves.  In avx512 it has two accumulators, element e goes to (e / 16) % 2,
//          and their lane sums are added in double.
//   tile   one accumulator, lanes by halves, in both orders of NEON four lanes as pairs.  cols is a multiple of
//          tile_step.
//   BF16 in avx512_bf16 goes by pairs, as the instruction vdpbf16ps: of 32 elements, lane l adds the product of
//          2 l + 1 and then that of 2 l, subnormal inputs and results being zero.  A dot has two accumulators,
//          element e goes to (e / 32) % 2; their lane sums are added in double, then the elements beyond the
//          last 64.  A tile has one.
//   BF16 in both orders of NEON is one sum of rounded products in double, element after element; there is no tile,
//   and the dot stands in its place.
//   F16 in neon_fp16, the order of builds with FP16 vector arithmetic, has w = 8 lanes that are F16 numbers: every
//   fma rounds to F16, and so do the sums of accumulators.  Lanes are added in float, by halves and then as pairs.
// Softmax and SiLU evaluate e^x w elements at a time, in avx512 by another last step (portable/exp.hpp), and
// softmax adds w exponentials as a tile adds lanes before it adds them to the double sum.
enum class Order : std::uint8_t { avx2, avx512, avx512_bf16, neon, neon_fp16 };
constexpr int order_count = 5;

constexpr bool is_neon(Order order) { return order == Order::neon || order == Order::neon_fp16; }

// Columns of a tile are a multiple of this.
constexpr int tile_step(Order order, Format format) {
    switch (order) {
        case Order::avx2:
            return 8;
        case Order::avx512:
            return 16;
        case Order::avx512_bf16:
            return format == Format::bf16 ? 32 : 16;
        case Order::neon:
            return 4;
        case Order::neon_fp16:
            return format == Format::f16 ? 8 : 4;
    }
    return 0;
}

// Columns of a whole step of a dot of F16: one of each of its four accumulators.
constexpr int f16_dot_step(Order order) { return 4 * tile_step(order, Format::f16); }

// How the products of a row are added up.
//   dot, dot_gcc, tile
//         of floats: as told with the orders
//   whole an integer of the whole row, which is scaled in the end
//   lanes of a block with integers and scales, the integers are summed in eight lanes (e % 32) / 4; the sums times the
//         scales are added to float lanes by fma, and these are added by halves.  AVX-512 builds of ggml do the same.
//   lanes_rounded
//         the same, but the sums times the scales are rounded before they are added
//         A block of Q1_0 adds the lanes of its four Q8_0 blocks times their scales before it scales them.
//   lanes_offset
//         lanes, of codes as they are stored in Q6_K; lane l takes back what the parts 2 l and 2 l + 1 of sixteen are
//         too large by
//   one   one float sum, to which each block's integer times its scales is added by fma
//         A block of Q2_0 adds up two Q8_0 blocks, each times its scale, before it scales them.
//   one_rounded
//         the same, but the product is rounded before it is added
//   one_in_parts
//         the same with the integers of every 64 weights of Q4_K
//   tile_rounded
//         a tile of K-quants is one float sum too, to which a block's integer times its weights' scale, a float, times
//         its activations' scale is added; in a tile by fma, in tile_rounded rounded before
// Leasts (Q4_1, Q4_K) have sums of their own: one float sum by fma, or in lanes of Q4_K four, those of 64 elements in
// each.  In tiles they are taken from each block.
enum class Sums : std::uint8_t {
    dot,
    dot_gcc,
    tile,
    tile_rounded,
    whole,
    lanes,
    lanes_rounded,
    lanes_offset,
    one,
    one_rounded,
    one_in_parts
};
constexpr int sums_count = int(Sums::one_in_parts) + 1;

struct MatMulKernel {
    Format format;
    Sums sums;
    MatMul multiply;
};

// Kernels by format and sums; null where there is none.
struct MatMuls {
    MatMul of[format_count][sums_count] = {};
};

// Evaluated by the compiler, so that no kernel set's file has code that runs when the program starts.
consteval MatMuls matmuls(std::initializer_list<MatMulKernel> kernels, MatMuls others = {}) {
    for (const MatMulKernel& kernel : kernels)
        others.of[int(kernel.format)][int(kernel.sums)] = kernel.multiply;
    return others;
}

// Kernels that exist once for each order.
struct OrderedKernels {
    MatMuls matmuls;  // of floats
    // row = softmax(row * scale) in place; n is a multiple of 16, absent elements are -inf.
    void (*softmax)(float* row, int n, float scale);
    // out = silu(gate) * up; out may be gate or up.
    void (*silu_mul)(const float* gate, const float* up, int n, float* out);
};

// A null here is a kernel that has not been written for a set's instructions; kernel_sets() fills in that of the set
// whose instructions it has too, or portable's.
struct KernelSet {
    const char* name;
    const char* isa;  // what its file was compiled for
    bool (*runs_here)() = nullptr;

    // Per-token int8: scale = 127 / max(|x|max, 1e-5), codes = clamp(round_half_even(x * scale)).
    void (*quantize_i8)(const float* x, int n, std::int8_t* codes, float* scale, std::int32_t* sum) = nullptr;
    // Q8_K: for every 256 values a scale -(first value of largest magnitude) / 127; n is a multiple of 256.
    void (*quantize_q8_k)(const float* x, int n, std::int8_t* codes, float* scales,
                          std::int16_t* block_sums) = nullptr;
    // The same, but factor * x is not rounded to float before it is rounded to a code.
    void (*quantize_q8_k_fused)(const float* x, int n, std::int8_t* codes, float* scales,
                                std::int16_t* block_sums) = nullptr;
    // Q8_0: for every 32 values scale = largest magnitude / 127, codes = round_half_even(x * (127 / largest)); then
    // scale, and scale * sum of codes, are rounded to F16; n is a multiple of 32.
    void (*quantize_q8_0)(const float* x, int n, std::int8_t* codes, float* scales,
                          float* value_sums) = nullptr;
    void (*to_f16)(const float* x, int n, std::uint16_t* out) = nullptr;
    void (*from_f16)(const std::uint16_t* x, int n, float* out) = nullptr;
    void (*round_to_f16)(const float* x, int n, float* out) = nullptr;
    void (*round_to_bf16)(const float* x, int n, float* out) = nullptr;

    MatMuls matmuls;  // of formats whose sums are the same in every order

    // out = x / sqrt(mean(x^2) + eps) * weight; squares are rounded to float and summed one by one in double.
    void (*rms_norm)(const float* x, const float* weight, int n, float eps, float* out) = nullptr;
    // out = relu(gate)^2 * up; out may be gate or up.
    void (*relu2_mul)(const float* gate, const float* up, int n, float* out) = nullptr;
    void (*add)(const float* x, const float* y, int n, float* out) = nullptr;
    // Rotates pairs (x[i * step], x[i * step + distance]) in place for i < n_pairs; cos and sin are
    // (n_pairs,).
    void (*rotate)(float* x, const float* cos, const float* sin, int n_pairs, int step,
                   int distance) = nullptr;
    // The same, but in whole groups of four pairs the other product of x0 cos - x1 sin is rounded, that with cos.
    void (*rotate_in_fours)(float* x, const float* cos, const float* sin, int n_pairs, int step,
                            int distance) = nullptr;

    OrderedKernels orders[order_count];

    const OrderedKernels& in(Order order) const { return orders[int(order)]; }

    // Null for sums that the format never has.
    MatMul matmul(Format format, Sums sums, Order order) const {
        const MatMul ordered = in(order).matmuls.of[int(format)][int(sums)];
        return ordered ? ordered : matmuls.of[int(format)][int(sums)];
    }
};

// What this program was built with, best first; `portable` is last and always runs.
std::span<const KernelSet* const> kernel_sets();

// The set of that name, or the best that runs here for "auto"; null when there is none or it does not run
// here.
const KernelSet* find_kernel_set(const char* name);

}  // namespace bitnet
