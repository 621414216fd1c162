// Matmuls of F32, F16 and BF16 weights: which tiles of dense.hpp fit into sixteen registers.
#pragma once

#include "../dense.hpp"
#include "vectors.hpp"

namespace bitnet::avx2 {
namespace {

using F16 = F16As<float_of>;

// One token is bound by memory, and its rows are read once.  Three rows by two tokens do with five loads what one by
// six does with seven.
void multiply_f16_dot(const Rows& w, const Activations& x, float* out, std::size_t out_stride) {
    if (x.tokens == 1) return cover_in_streams<InFour<Eight, F16>::Tile, 4>(w, x, out);
    cover<InFourByHalves<Eight, F16>::Tile, 3, 2>(w, x, out, out_stride);
}

// The same with accumulators of two registers.
void multiply_f16_dot_in_sixteen(const Rows& w, const Activations& x, float* out, std::size_t out_stride) {
    if (x.tokens == 1) return cover_in_streams<InFour<TwoEights, F16>::Tile, 2>(w, x, out);
    cover<InFourByHalves<TwoEights, F16>::Tile, 1, 3>(w, x, out, out_stride);
}

}  // namespace
}  // namespace bitnet::avx2
