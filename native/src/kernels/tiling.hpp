// Covering a product of rows x tokens with tiles; a header of templates for the kernel sets' own files.
#pragma once

#include "bitnet/kernels.hpp"

namespace bitnet {
namespace {  // every file has its own, compiled for its own instruction set

inline int smaller(int a, int b) { return a < b ? a : b; }

template <template <int, int> class Tile, int R, int T>
void cover_tokens(const Rows& w, int row, const Activations& x, float* out, std::size_t out_stride) {
    int token = 0;
    for (; token + T <= x.tokens; token += T) Tile<R, T>::run(w, row, x, token, out, out_stride);
    for (; token < x.tokens; ++token) Tile<R, 1>::run(w, row, x, token, out, out_stride);
}

template <template <int, int> class Tile, int R, int T>
void cover(const Rows& w, const Activations& x, float* out, std::size_t out_stride) {
    int row = 0;
    for (; row + R <= w.rows; row += R) cover_tokens<Tile, R, T>(w, row, x, out, out_stride);
    for (; row < w.rows; ++row) cover_tokens<Tile, 1, T>(w, row, x, out, out_stride);
}

// Tiles of R1 rows where there are fewer than T tokens, of R rows x T tokens where there are more.
template <template <int, int> class Tile, int R1, int R, int T>
void multiply(const Rows& w, const Activations& x, float* out, std::size_t out_stride) {
    if (x.tokens < T) return cover<Tile, R1, 1>(w, x, out, out_stride);
    cover<Tile, R, T>(w, x, out, out_stride);
}

}  // namespace
}  // namespace bitnet
