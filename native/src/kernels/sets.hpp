// One kernel set a file; a file for another instruction set compiles to nothing.
#pragma once

#include "bitnet/kernels.hpp"

namespace bitnet::portable {
extern const KernelSet kernels;
}
namespace bitnet::avx2 {
extern const KernelSet kernels;
}
namespace bitnet::avx512 {
extern const KernelSet kernels;          // of the instructions that avx2 does not have; the rest is avx2's
extern const MatMuls for_256_bit_paths;  // of CPUs that do 64 bytes in two halves; the rest is that of avx512
}  // namespace bitnet::avx512
namespace bitnet::neon {
extern const KernelSet kernels;
}
namespace bitnet::neon_dotprod {
extern const MatMuls of_codes;  // matmuls of formats that meet int8 activations; the rest is that of neon
}
