// NEON as every AArch64 has it.  Eight lanes are two registers of four.  The order of AVX2 builds alone is written
// for it.

#include "sets.hpp"

#if defined(__aarch64__)

#include "neon/activations.hpp"
#include "neon/dense.hpp"
#include "neon/elementwise.hpp"
#include "neon/ternary.hpp"
#include "trace.hpp"

namespace bitnet::neon {
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
    .rms_norm = rms_norm,
    .relu2_mul = relu2_mul,
    .add = add,
    .rotate = rotate,
    .hash_eight = hash_eight,
    .row_statistics = row_statistics,
    .orders = {{
        .f32_dot = multiply<InFour<F32>::Tile, 1, 1, 2>,
        .f32_dot_gcc = multiply<InFour<F32InGroups<4>>::Tile, 1, 1, 2>,
        .f32_tile = multiply<InOne<F32>::Tile, 4, 4, 2>,
        .f16_dot = multiply<InFour<F16>::Tile, 1, 1, 2>,
        .f16_tile = multiply<InOne<F16>::Tile, 4, 4, 2>,
        .bf16_dot = multiply<InFour<BF16>::Tile, 1, 1, 2>,
        .bf16_tile = multiply<InOne<BF16>::Tile, 4, 4, 2>,
        .softmax = softmax,
        .silu_mul = silu_mul,
    }},
};

}  // namespace bitnet::neon

#endif
