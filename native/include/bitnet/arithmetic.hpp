// Which build of ggml the engine computes like, to the bit.
#pragma once

#include <cstdint>

#include "bitnet/kernels.hpp"

namespace bitnet {

// The generations of ggml differ where F16 operands meet several tokens.
//   bitnet_cpp  F16 weights (and cached V) meet float32 activations in a batch; BF16 weights have no tiles; q.k is
//               a `dot` unless there is one head
//   llama_cpp   F16 weights always meet activations rounded to F16; a tile needs four rows; q.k is a `tile` in a
//               batch
enum class Generation : std::uint8_t { bitnet_cpp, llama_cpp };

struct Arithmetic {
    Generation generation;
    Order order;  // of the instruction set that it was built for
    bool fused;   // its compiler made one fma of a * b + c in the products of TQ1_0 and TQ2_0 (GCC does, Clang not)
};

}  // namespace bitnet
