// One kernel set a file; a file for another instruction set compiles to nothing.
#pragma once

#include "bitnet/kernels.hpp"

namespace bitnet::portable {
extern const KernelSet kernels;
}
namespace bitnet::avx2 {
extern const KernelSet kernels;
}
namespace bitnet::neon {
extern const KernelSet kernels;
}
