// AVX-512 with VNNI.  As avx2.cpp: alone compiled for them, and everything it includes is in anonymous
// namespaces.

#include "sets.hpp"

#if defined(__x86_64__)

#include "avx512/dense.hpp"
#include "avx512/exp.hpp"
#include "avx512/ternary.hpp"

namespace bitnet::avx512 {

constinit const MatMuls of_codes = matmuls({
    {Format::i2_s, Sums::whole, multiply<I2S, 4, 4, 4>},
    {Format::tq1_0, Sums::lanes, multiply<Q8K<Tq1, true>::Tile, 1, 1, 4>},
    {Format::tq2_0, Sums::lanes, multiply<Q8K<Tq2, true>::Tile, 1, 1, 4>},
    {Format::tq1_0, Sums::lanes_rounded, multiply<Q8K<Tq1, false>::Tile, 1, 1, 4>},
    {Format::tq2_0, Sums::lanes_rounded, multiply<Q8K<Tq2, false>::Tile, 1, 1, 4>},
});

constinit const OrderedKernels in_sixteen{
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

constinit const MatMuls by_pairs = matmuls({
    {Format::bf16, Sums::dot, multiply<ByPairs<Sixteen, 2>::Tile, 4, 2, 2>},
    {Format::bf16, Sums::tile, multiply<ByPairs<Sixteen, 1>::Tile, 4, 4, 4>},
});

}  // namespace bitnet::avx512

#endif
