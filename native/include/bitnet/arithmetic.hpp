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

// What a compiler makes of a * b + c where ggml's source leaves it open.
//   gcc    one fma of the intrinsics for product and sum in TQ1_0 and TQ2_0; rounded products of the F32 elements
//          that are left over by a dot product, in groups
//   clang  the other way round
enum class Compiler : std::uint8_t { gcc, clang };

struct Arithmetic {
    Generation generation;
    Order order;  // of the instruction set that it was built for
    Compiler compiler;
};

}  // namespace bitnet
