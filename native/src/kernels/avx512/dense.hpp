// Matmuls of F32, F16 and BF16 weights: which tiles of dense.hpp fit into thirty-two registers.
#pragma once

#include "../dense.hpp"
#include "vectors.hpp"

namespace bitnet::avx512 {
namespace {

using F16 = F16As<avx2::float_of>;

// One token is bound by memory, and its rows are read once.  Twelve share the conversion of a row's weights.
void multiply_f16_dot(const Rows& w, const Activations& x, float* out, std::size_t out_stride) {
    if (x.tokens == 1) return cover_in_streams<InFour<Sixteen, F16>::Tile, 4>(w, x, out);
    const int rest = x.tokens % 12, twelves = x.tokens - rest;
    cover<InFourByHalves<Sixteen, F16>::Tile, 1, 12>(w, part_of(x, w.cols, 0, twelves), out, out_stride);
    cover<InFourByHalves<Sixteen, F16>::Tile, 3, 4>(w, part_of(x, w.cols, twelves, rest),
                                                    out + twelves * out_stride, out_stride);
}

// The sums of AVX2 builds; three rows by four tokens do with seven loads what one by twelve does with thirteen.
void multiply_f16_dot_in_eight(const Rows& w, const Activations& x, float* out, std::size_t out_stride) {
    if (x.tokens == 1) return cover_in_streams<InFour<avx2::Eight, F16>::Tile, 4>(w, x, out);
    cover<InFourByHalves<avx2::Eight, F16>::Tile, 3, 4>(w, x, out, out_stride);
}

}  // namespace
}  // namespace bitnet::avx512
