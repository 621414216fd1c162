// One kernel set a file; a file for another instruction set compiles to nothing.
#pragma once

#include "bitnet/kernels.hpp"

namespace bitnet {
// What a set has that takes all other kernels of another one.
struct TernaryKernels {
    MatMul i2_s, tq1_0, tq2_0, tq1_0_apart, tq2_0_apart;
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
}
namespace bitnet::neon {
extern const KernelSet kernels;
}
namespace bitnet::neon_dotprod {
extern const TernaryKernels ternary;  // the rest is that of neon
}
