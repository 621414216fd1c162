// AVX-512 with VNNI.  As avx2.cpp: alone compiled for them, and everything it includes is in anonymous
// namespaces.

#include "sets.hpp"

#if defined(__x86_64__)

#include "avx2/activations.hpp"
#include "avx2/elementwise.hpp"
#include "avx512/dense.hpp"
#include "avx512/exp.hpp"
#include "avx512/k_blocks.hpp"
#include "avx512/lookup.hpp"
#include "avx512/ternary.hpp"

namespace bitnet::avx512 {

namespace {

// The order of AVX2 builds where twice as many registers pay; avx2 has the rest.
constexpr OrderedKernels in_eight{
    .matmuls = matmuls({{Format::f16, Sums::dot, multiply_in_four<avx2::Eight, F16, 4, 3, 4>}}),
    .softmax = nullptr,
    .silu_mul = nullptr,
};

constexpr OrderedKernels in_sixteen{
    .matmuls = matmuls({
        {Format::f32, Sums::dot, multiply<InFour<Sixteen, F32>::Tile, 2, 1, 2>},
        {Format::f32, Sums::dot_gcc, multiply<InFour<Sixteen, F32InGroups<8>>::Tile, 2, 1, 2>},
        {Format::f32, Sums::tile, multiply<InOne<Sixteen, F32>::Tile, 4, 4, 6>},
        {Format::f16, Sums::dot, multiply_f16_dot},
        {Format::f16, Sums::tile, multiply<InOne<Sixteen, F16>::Tile, 4, 4, 6>},
        {Format::bf16, Sums::dot, multiply<InTwo<Sixteen>::Tile, 4, 1, 2>},
        {Format::bf16, Sums::tile, multiply<InOne<Sixteen, BF16>::Tile, 4, 4, 6>},
    }),
    .softmax = softmax,
    .silu_mul = silu_mul,
};

// BF16, in which alone two orders of sixteen lanes differ.
constexpr OrderedKernels in_sixteen_by_pairs{
    .matmuls = matmuls(
        {
            {Format::bf16, Sums::dot, multiply<ByPairs<Sixteen, 2>::Tile, 4, 2, 2>},
            {Format::bf16, Sums::tile, multiply<ByPairs<Sixteen, 1>::Tile, 4, 4, 4>},
        },
        in_sixteen.matmuls),
    .softmax = in_sixteen.softmax,
    .silu_mul = in_sixteen.silu_mul,
};

}  // namespace

constinit const MatMuls for_256_bit_paths = matmuls({
    {Format::i2_s, Sums::whole, multiply_i2_s<avx2::SixteenWords>},
});

// The kernels that use the instructions; kernel_sets.cpp knows where they run, and takes the rest from avx2.
constinit const KernelSet kernels{
    .name = "avx512",
    .isa = "avx512f+bw+vl+dq+vnni",
    .quantize_i8 = avx2::quantize_i8<Sixteen>,
    .quantize_q8_k = avx2::quantize_q8_k<Sixteen>,
    .to_f16 = avx2::to_f16<Sixteen>,
    .from_f16 = avx2::from_f16<Sixteen>,
    .round_to_f16 = avx2::round_to_f16<Sixteen>,
    .round_to_bf16 = avx2::round_to_bf16<Sixteen>,
    .matmuls = matmuls({
        {Format::i2_s, Sums::whole, multiply_i2_s<ThirtyTwoWords>},
        {Format::tq1_0, Sums::lanes, multiply<Q8K<Tq1, true>::Tile, 1, 1, 4>},
        {Format::tq2_0, Sums::lanes, multiply<Q8K<Tq2, true>::Tile, 1, 1, 4>},
        {Format::tq1_0, Sums::lanes_rounded, multiply<Q8K<Tq1, false>::Tile, 1, 1, 4>},
        {Format::tq2_0, Sums::lanes_rounded, multiply<Q8K<Tq2, false>::Tile, 1, 1, 4>},
        {Format::q6_k, Sums::lanes, multiply<KQuant<Q6K, Way::lanes>::Tile, 4, 1, 4>},
        {Format::q6_k, Sums::lanes_offset, multiply<KQuant<Q6K, Way::lanes_offset>::Tile, 4, 1, 4>},
        {Format::q6_k, Sums::tile, multiply<KQuant<Q6K, Way::tile>::Tile, 4, 1, 4>},
        {Format::q6_k, Sums::tile_rounded, multiply<KQuant<Q6K, Way::tile_rounded>::Tile, 4, 1, 4>},
    }),
    .rms_norm = avx2::rms_norm<Sixteen>,
    .relu2_mul = avx2::relu2_mul<Sixteen>,
    .add = avx2::add<Sixteen>,
    .rotate = avx2::rotate<Sixteen>,
    .orders = {in_eight, in_sixteen, in_sixteen_by_pairs},
};

}  // namespace bitnet::avx512

#endif
