// AVX-512 with VNNI.  As avx2.cpp: alone compiled for them, and everything it includes is in anonymous
// namespaces.

#include "sets.hpp"

#if defined(__x86_64__)

#include "avx512/dense.hpp"
#include "avx512/exp.hpp"
#include "avx512/ternary.hpp"

namespace bitnet::avx512 {

const TernaryKernels ternary{
    .i2_s = multiply<I2S, 4, 4, 4>,
    .tq1_0 = multiply<Q8K<Tq1, true>::Tile, 1, 1, 4>,
    .tq2_0 = multiply<Q8K<Tq2, true>::Tile, 1, 1, 4>,
    .tq1_0_apart = multiply<Q8K<Tq1, false>::Tile, 1, 1, 4>,
    .tq2_0_apart = multiply<Q8K<Tq2, false>::Tile, 1, 1, 4>,
};

const OrderedKernels in_sixteen{
    .f32_dot = multiply<InFour<Sixteen, F32>::Tile, 2, 1, 2>,
    .f32_dot_gcc = multiply<InFour<Sixteen, F32InGroups<8>>::Tile, 2, 1, 2>,
    .f32_tile = multiply<InOne<Sixteen, F32>::Tile, 4, 4, 6>,
    .f16_dot = multiply_f16_dot,
    .f16_tile = multiply<InOne<Sixteen, F16>::Tile, 4, 4, 6>,
    .bf16_dot = multiply<InTwo<Sixteen>::Tile, 4, 1, 2>,
    .bf16_tile = multiply<InOne<Sixteen, BF16>::Tile, 4, 4, 6>,
    .softmax = softmax,
    .silu_mul = silu_mul,
};

const Bf16Kernels by_pairs{
    .dot = multiply<ByPairs<Sixteen, 2>::Tile, 4, 2, 2>,
    .tile = multiply<ByPairs<Sixteen, 1>::Tile, 4, 4, 4>,
};

}  // namespace bitnet::avx512

#endif
