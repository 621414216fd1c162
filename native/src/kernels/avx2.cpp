// AVX2, FMA and F16C.  This file alone is compiled for them, and it includes no header with inline functions
// that the linker could pick for the rest of the program: everything in avx2/ is in anonymous namespaces.

#include "sets.hpp"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include "avx2/activations.hpp"
#include "avx2/dense.hpp"
#include "avx2/elementwise.hpp"
#include "avx2/exp.hpp"
#include "avx2/lookup.hpp"
#include "avx2/ternary.hpp"

namespace bitnet::avx2 {
namespace {

bool runs_here() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

constexpr OrderedKernels in_eight{
    .f32_dot = multiply<InFour<Eight, F32>::Tile, 2, 1, 2>,
    .f32_dot_gcc = multiply<InFour<Eight, F32InGroups<4>>::Tile, 2, 1, 2>,
    .f32_tile = multiply<InOne<Eight, F32>::Tile, 4, 4, 3>,
    .f16_dot = multiply_f16_dot,
    .f16_tile = multiply<InOne<Eight, F16>::Tile, 4, 4, 3>,
    .bf16_dot = multiply<InFour<Eight, BF16>::Tile, 4, 1, 2>,
    .bf16_tile = multiply<InOne<Eight, BF16>::Tile, 4, 4, 3>,
    .softmax = softmax<exp_by_bits, 8>,
    .silu_mul = silu_mul<exp_by_bits, 8>,
};

constexpr OrderedKernels in_sixteen{
    .f32_dot = multiply<InFour<TwoEights, F32>::Tile, 1, 1, 1>,
    .f32_dot_gcc = multiply<InFour<TwoEights, F32InGroups<8>>::Tile, 1, 1, 1>,
    .f32_tile = multiply<InOne<TwoEights, F32>::Tile, 4, 2, 3>,
    .f16_dot = multiply_f16_dot_in_sixteen,
    .f16_tile = multiply<InOne<TwoEights, F16>::Tile, 4, 2, 3>,
    .bf16_dot = multiply<InTwo<TwoEights>::Tile, 2, 1, 2>,
    .bf16_tile = multiply<InOne<TwoEights, BF16>::Tile, 4, 2, 3>,
    .softmax = softmax<exp_by_scaling, 16>,
    .silu_mul = silu_mul<exp_by_scaling, 16>,
};

constexpr OrderedKernels in_sixteen_by_pairs = [] {
    OrderedKernels kernels = in_sixteen;
    kernels.bf16_dot = multiply<ByPairs<TwoEights, 2>::Tile, 2, 1, 2>;
    kernels.bf16_tile = multiply<ByPairs<TwoEights, 1>::Tile, 2, 2, 2>;
    return kernels;
}();

}  // namespace

const KernelSet kernels{
    .name = "avx2",
    .isa = "avx2+fma+f16c",
    .runs_here = runs_here,
    .quantize_i8 = quantize_i8,
    .quantize_q8_k = quantize_q8_k,
    .to_f16 = to_f16,
    .from_f16 = from_f16,
    .round_to_f16 = round_to_f16,
    .round_to_bf16 = round_to_bf16,
    .i2_s = multiply_i2_s,
    .tq1_0 = multiply<Q8K<Tq1, true>::Tile, 4, 1, 4>,
    .tq2_0 = multiply<Q8K<Tq2, true>::Tile, 4, 1, 4>,
    .tq1_0_apart = multiply<Q8K<Tq1, false>::Tile, 4, 1, 4>,
    .tq2_0_apart = multiply<Q8K<Tq2, false>::Tile, 4, 1, 4>,
    .rms_norm = rms_norm,
    .relu2_mul = relu2_mul,
    .add = add,
    .rotate = rotate,
    .orders = {in_eight, in_sixteen, in_sixteen_by_pairs},
};

}  // namespace bitnet::avx2

#endif
