// AVX-512 with VNNI.  As avx2.cpp: alone compiled for them, and everything it includes is in anonymous
// namespaces.

#include "sets.hpp"

#if defined(__x86_64__)

#include "avx512/ternary.hpp"

namespace bitnet::avx512 {

const TernaryKernels ternary{
    .i2_s = multiply<I2S, 4, 4, 4>,
    .tq1_0 = multiply<Q8K<Tq1, true>::Tile, 1, 1, 4>,
    .tq2_0 = multiply<Q8K<Tq2, true>::Tile, 1, 1, 4>,
    .tq1_0_apart = multiply<Q8K<Tq1, false>::Tile, 1, 1, 4>,
    .tq2_0_apart = multiply<Q8K<Tq2, false>::Tile, 1, 1, 4>,
};

}  // namespace bitnet::avx512

#endif
