// AVX2, FMA and F16C.  This file alone is compiled for them, and it includes no header with inline functions
// that the linker could pick for the rest of the program: everything in avx2/ is in anonymous namespaces.

#include "sets.hpp"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include "avx2/activations.hpp"
#include "avx2/elementwise.hpp"
#include "avx2/exp.hpp"
#include "avx2/k_blocks.hpp"
#include "avx2/lookup.hpp"
#include "avx2/small_blocks.hpp"
#include "avx2/ternary.hpp"
#include "avx2/vectors.hpp"
#include "dense.hpp"

namespace bitnet::avx2 {
namespace {

bool runs_here() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

using F16 = F16As<float_of>;

constexpr OrderedKernels in_eight{
    .matmuls = matmuls({
        {Format::f32, Sums::dot, multiply<InFour<Eight, F32>::Tile, 2, 1, 2>},
        {Format::f32, Sums::dot_gcc, multiply<InFour<Eight, F32InGroups<4>>::Tile, 2, 1, 2>},
        {Format::f32, Sums::tile, multiply<InOne<Eight, F32>::Tile, 4, 4, 3>},
        {Format::f16, Sums::dot, multiply_in_four<Eight, F16, 4, 3, 2>},
        {Format::f16, Sums::tile, multiply<InOne<Eight, F16>::Tile, 4, 4, 3>},
        {Format::bf16, Sums::dot, multiply<InFour<Eight, BF16>::Tile, 4, 1, 2>},
        {Format::bf16, Sums::tile, multiply<InOne<Eight, BF16>::Tile, 4, 4, 3>},
    }),
    .softmax = softmax<exp_by_bits, 8>,
    .silu_mul = silu_mul<exp_by_bits, 8>,
};

constexpr OrderedKernels in_sixteen{
    .matmuls = matmuls({
        {Format::f32, Sums::dot, multiply<InFour<TwoEights, F32>::Tile, 1, 1, 1>},
        {Format::f32, Sums::dot_gcc, multiply<InFour<TwoEights, F32InGroups<8>>::Tile, 1, 1, 1>},
        {Format::f32, Sums::tile, multiply<InOne<TwoEights, F32>::Tile, 4, 2, 3>},
        {Format::f16, Sums::dot, multiply_in_four<TwoEights, F16, 2, 1, 3>},
        {Format::f16, Sums::tile, multiply<InOne<TwoEights, F16>::Tile, 4, 2, 3>},
        {Format::bf16, Sums::dot, multiply<InTwo<TwoEights>::Tile, 2, 1, 2>},
        {Format::bf16, Sums::tile, multiply<InOne<TwoEights, BF16>::Tile, 4, 2, 3>},
    }),
    .softmax = softmax<exp_by_scaling, 16>,
    .silu_mul = silu_mul<exp_by_scaling, 16>,
};

constexpr OrderedKernels in_sixteen_by_pairs{
    .matmuls = matmuls(
        {
            {Format::bf16, Sums::dot, multiply<ByPairs<TwoEights, 2>::Tile, 2, 1, 2>},
            {Format::bf16, Sums::tile, multiply<ByPairs<TwoEights, 1>::Tile, 2, 2, 2>},
        },
        in_sixteen.matmuls),
    .softmax = in_sixteen.softmax,
    .silu_mul = in_sixteen.silu_mul,
};

}  // namespace

constinit const KernelSet kernels{
    .name = "avx2",
    .isa = "avx2+fma+f16c",
    .runs_here = runs_here,
    .quantize_i8 = quantize_i8<Eight>,
    .quantize_q8_k = quantize_q8_k<Eight>,
    .quantize_q8_0 = quantize_q8_0,
    .to_f16 = to_f16<Eight>,
    .from_f16 = from_f16<Eight>,
    .round_to_f16 = round_to_f16<Eight>,
    .round_to_bf16 = round_to_bf16<Eight>,
    .matmuls = matmuls({
        {Format::i2_s, Sums::whole, multiply_i2_s},
        {Format::tq1_0, Sums::lanes, multiply<Q8K<Tq1, true>::Tile, 4, 1, 4>},
        {Format::tq2_0, Sums::lanes, multiply<Q8K<Tq2, true>::Tile, 4, 1, 4>},
        {Format::tq1_0, Sums::lanes_rounded, multiply<Q8K<Tq1, false>::Tile, 4, 1, 4>},
        {Format::tq2_0, Sums::lanes_rounded, multiply<Q8K<Tq2, false>::Tile, 4, 1, 4>},
        {Format::q8_0, Sums::lanes, multiply<InLanes<Q80>::Tile, 4, 1, 4>},
        {Format::q5_0, Sums::lanes, multiply<InLanes<Q50>::Tile, 4, 1, 4>},
        {Format::q4_0, Sums::lanes, multiply<InLanes<Q40>::Tile, 4, 1, 4>},
        {Format::q4_0, Sums::one, multiply<InOneSum<Q40>::Tile, 4, 4, 4>},
        {Format::q4_1, Sums::lanes, multiply<InLanes<Q41>::Tile, 4, 1, 4>},
        {Format::q2_0, Sums::one, multiply<Q2InOneSum<true>::Tile, 4, 1, 4>},
        {Format::q2_0, Sums::one_rounded, multiply<Q2InOneSum<false>::Tile, 4, 1, 4>},
        {Format::q1_0, Sums::lanes, multiply<Q1InLanes::Tile, 4, 1, 4>},
        {Format::q6_k, Sums::lanes, multiply<KQuant<Q6K, Way::lanes>::Tile, 4, 1, 4>},
        {Format::q6_k, Sums::lanes_offset, multiply<KQuant<Q6K, Way::lanes_offset>::Tile, 4, 1, 4>},
        {Format::q6_k, Sums::tile, multiply<KQuant<Q6K, Way::tile>::Tile, 4, 1, 4>},
        {Format::q6_k, Sums::tile_rounded, multiply<KQuant<Q6K, Way::tile_rounded>::Tile, 4, 1, 4>},
        {Format::q4_k, Sums::lanes, multiply<KQuant<Q4K, Way::lanes>::Tile, 4, 1, 4>},
        {Format::q4_k, Sums::one, multiply<KQuant<Q4K, Way::one>::Tile, 4, 1, 4>},
        {Format::q4_k, Sums::one_in_parts, multiply<KQuant<Q4K, Way::one_in_parts>::Tile, 4, 1, 4>},
        {Format::q4_k, Sums::tile, multiply<KQuant<Q4K, Way::tile>::Tile, 4, 1, 4>},
        {Format::q4_k, Sums::tile_rounded, multiply<KQuant<Q4K, Way::tile_rounded>::Tile, 4, 1, 4>},
        {Format::q3_k, Sums::lanes, multiply<KQuant<Q3K, Way::lanes>::Tile, 4, 1, 4>},
        {Format::q3_k, Sums::tile, multiply<KQuant<Q3K, Way::tile>::Tile, 4, 1, 4>},
        {Format::q3_k, Sums::tile_rounded, multiply<KQuant<Q3K, Way::tile_rounded>::Tile, 4, 1, 4>},
    }),
    .rms_norm = rms_norm<Eight>,
    .relu2_mul = relu2_mul<Eight>,
    .add = add<Eight>,
    .rotate = rotate<Eight>,
    .orders = {in_eight, in_sixteen, in_sixteen_by_pairs},
};

}  // namespace bitnet::avx2

#endif
