// Which build of ggml the engine computes like, to the bit.
#pragma once

#include <cstdint>

#include "bitnet/kernels.hpp"

namespace bitnet {

// The generations of ggml differ where several tokens are multiplied at once, as a batch.
//   bitnet_cpp  BF16 weights have no tiles
//   llama_cpp   a tile needs a multiple of four rows
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
    bool fuses_sums = false;  // in plain C, as Q2_0's are; GCC decides by the CPU that it tunes for
};

// Whether tiles of F16 weights (cached K and V are such weights) take activations in float32; otherwise they take
// them rounded to F16, as dots always do.  Tiles that take float32 need contiguous activations, so with them q.k is a
// tile only in models with one head.
constexpr bool f16_tiles_take_f32(const Arithmetic& arithmetic) {
    if (is_neon(arithmetic.order)) return arithmetic.order == Order::neon;
    return arithmetic.generation == Generation::bitnet_cpp;
}

// The fewest tokens of a batch that are multiplied in tiles; fewer are multiplied by dots.
constexpr int fewest_tokens_of_tile(Order order, Format format) {
    if (is_neon(order) && format == Format::f32) return 4;
    return order == Order::neon_fp16 && format == Format::f16 ? 8 : 2;
}

// Whether the quantiser of Q8_K activations uses fma: GCC's does for NEON.  (For NEON both compilers also fuse product
// and sum of TQ1_0 and TQ2_0, whose kernels add in plain C there.)
constexpr bool has_fused_quantiser(const Arithmetic& arithmetic) {
    return arithmetic.compiler == Compiler::gcc && is_neon(arithmetic.order);
}

// Whether adjacent pairs are rotated in groups of four, as GCC compiles ggml's rotation for AArch64.
constexpr bool rotates_in_fours(const Arithmetic& arithmetic) {
    return arithmetic.compiler == Compiler::gcc && is_neon(arithmetic.order);
}

}  // namespace bitnet
