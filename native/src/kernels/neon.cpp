// NEON as every AArch64 has it.  Eight lanes are two registers of four.  The orders of AVX2 and of NEON builds are
// written for it.

#include "sets.hpp"

#if defined(__aarch64__)

#include "neon/activations.hpp"
#include "neon/dense.hpp"
#include "neon/elementwise.hpp"
#include "neon/in_four.hpp"
#include "neon/ternary.hpp"

namespace bitnet::neon {
namespace {

constexpr OrderedKernels in_eight{
    .matmuls = matmuls({
        {Format::f32, Sums::dot, multiply<InFour<F32>::Tile, 1, 1, 2>},
        {Format::f32, Sums::dot_gcc, multiply<InFour<F32InGroups<4>>::Tile, 1, 1, 2>},
        {Format::f32, Sums::tile, multiply<InOne<F32>::Tile, 4, 4, 2>},
        {Format::f16, Sums::dot, multiply<InFour<F16>::Tile, 1, 1, 2>},
        {Format::f16, Sums::tile, multiply<InOne<F16>::Tile, 4, 4, 2>},
        {Format::bf16, Sums::dot, multiply<InFour<BF16>::Tile, 1, 1, 2>},
        {Format::bf16, Sums::tile, multiply<InOne<BF16>::Tile, 4, 4, 2>},
    }),
    .softmax = softmax,
    .silu_mul = silu_mul,
};

constexpr OrderedKernels in_four_lanes{
    .matmuls = matmuls({
        {Format::f32, Sums::dot, multiply<in_four::EachAlone<in_four::Dot<F32InGroups<8>>>::Tile, 1, 1, 2>},
        {Format::f32, Sums::dot_gcc,
         multiply<in_four::EachAlone<in_four::Dot<F32InGroups<4>>>::Tile, 1, 1, 2>},
        {Format::f32, Sums::tile, multiply<in_four::InOne<F32>::Tile, 4, 4, 4>},
        {Format::f16, Sums::dot, multiply<in_four::EachAlone<in_four::Dot<F16>>::Tile, 1, 1, 2>},
        {Format::f16, Sums::tile, multiply<in_four::InOne<F16>::Tile, 4, 4, 4>},
        {Format::bf16, Sums::dot, multiply<in_four::EachAlone<in_four::Bf16Dot>::Tile, 1, 1, 2>},
        {Format::bf16, Sums::tile, multiply<in_four::EachAlone<in_four::Bf16Dot>::Tile, 1, 1, 2>},
    }),
    .softmax = in_four::softmax,
    .silu_mul = in_four::silu_mul,
};

}  // namespace

constinit const KernelSet kernels{
    .name = "neon",
    .isa = "neon",
    .runs_here = [] { return true; },
    .quantize_i8 = quantize_i8,
    .quantize_q8_k = quantize_q8_k,
    .to_f16 = to_f16,
    .from_f16 = from_f16,
    .round_to_f16 = round_to_f16,
    .round_to_bf16 = round_to_bf16,
    .matmuls = matmuls({
        {Format::i2_s, Sums::whole, multiply<I2S, 4, 2, 4>},
        {Format::tq1_0, Sums::lanes, multiply<Q8K<Tq1, true>::Tile, 1, 1, 4>},
        {Format::tq2_0, Sums::lanes, multiply<Q8K<Tq2, true>::Tile, 1, 1, 4>},
        {Format::tq1_0, Sums::lanes_rounded, multiply<Q8K<Tq1, false>::Tile, 1, 1, 4>},
        {Format::tq2_0, Sums::lanes_rounded, multiply<Q8K<Tq2, false>::Tile, 1, 1, 4>},
        {Format::tq1_0, Sums::one, multiply<in_four::OneSum<Tq1, SumFours>::Tile, 1, 1, 4>},
        {Format::tq2_0, Sums::one, multiply<in_four::OneSum<Tq2, SumFours>::Tile, 1, 1, 4>},
    }),
    .rms_norm = rms_norm,
    .relu2_mul = relu2_mul,
    .add = add,
    .rotate = rotate,
    .orders = {in_eight, {}, {}, in_four_lanes},
};

}  // namespace bitnet::neon

#endif
