// Matmuls of F32, F16 and BF16 weights: which tiles of dense.hpp fit into thirty-two registers.
#pragma once

#include "../dense.hpp"
#include "vectors.hpp"

namespace bitnet::avx512 {
namespace {

using F16 = F16As<avx2::float_of>;

// Twelve tokens share the conversion of a row's weights, which is dear in this width: tiles of multiply_in_four took a
// tenth longer on a Zen 4 CPU.
void multiply_f16_dot(const Rows& w, const Activations& x, float* out, std::size_t out_stride) {
    if (x.tokens == 1) return cover_in_streams<InFour<Sixteen, F16>::Tile, 4>(w, x, out);
    const int rest = x.tokens % 12, twelves = x.tokens - rest;
    cover<InFourByHalves<Sixteen, F16>::Tile, 1, 12>(w, part_of(x, w.cols, 0, twelves), out, out_stride);
    cover<InFourByHalves<Sixteen, F16>::Tile, 3, 4>(w, part_of(x, w.cols, twelves, rest),
                                                    out + twelves * out_stride, out_stride);
}

}  // namespace
}  // namespace bitnet::avx512
