// One kernel set a file; a file for another instruction set compiles to nothing.
#pragma once

#include "bitnet/kernels.hpp"

namespace bitnet {
// The ternary kernels of a set that takes most other kernels from the set for older CPUs.
struct TernaryKernels {
    MatMul i2_s, tq1_0, tq2_0, tq1_0_apart, tq2_0_apart;
    MatMul tq1_0_in_one_sum = nullptr, tq2_0_in_one_sum = nullptr;
};
// BF16 by pairs, as the only kernels in which two orders of sixteen lanes differ.
struct Bf16Kernels {
    MatMul dot, tile;
};
}  // namespace bitnet

namespace bitnet::portable {
extern const KernelSet kernels;
}
namespace bitnet::avx2 {
extern const KernelSet kernels;
}
namespace bitnet::avx512 {
extern const TernaryKernels ternary;  // the rest is that of avx2
extern const OrderedKernels in_sixteen;
extern const Bf16Kernels by_pairs;
}  // namespace bitnet::avx512
namespace bitnet::neon {
extern const KernelSet kernels;
}
namespace bitnet::neon_dotprod {
extern const TernaryKernels ternary;  // the rest is that of neon
}
