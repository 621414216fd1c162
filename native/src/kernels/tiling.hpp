// Covering a product of rows x tokens with tiles; a header of templates for the kernel sets' own files.
#pragma once

#include "bitnet/kernels.hpp"

namespace bitnet {
namespace {  // every file has its own, compiled for its own instruction set

inline int smaller(int a, int b) { return a < b ? a : b; }

// The tokens first .. first + count - 1 of activations of `cols` columns.
inline Activations part_of(const Activations& x, int cols, int first, int count) {
    Activations part = x;
    part.tokens = count;
    const std::size_t start = std::size_t(first) * x.stride;
    if (x.f32) part.f32 += start;
    if (x.codes) part.codes += start;
    if (x.sums) part.sums += first;
    if (x.block_sums) part.block_sums += first * (cols / 16);
    if (x.scales) part.scales += std::size_t(first) * x.scale_stride;
    if (x.value_sums) part.value_sums += std::size_t(first) * x.scale_stride;
    return part;
}

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

// One token, which is bound by memory.  The rows of a tile are far apart, so that the CPU sees R long reads
// and fetches ahead in each; neighbouring rows would be one read, which it does not follow fast enough.
template <template <int, int> class Tile, int R, typename Token>
void cover_in_streams(const Rows& w, const Token& x, float* out) {
    const int rows = w.rows / R;  // of a stream
    const std::size_t stream_bytes = std::size_t(rows) * w.row_bytes;
    for (int row = 0; row < rows; ++row) {
        const Rows apart{w.data + std::size_t(row) * w.row_bytes, stream_bytes, R, w.cols, w.scale};
        float products[R];
        Tile<R, 1>::run(apart, 0, x, 0, products, R);
        for (int r = 0; r < R; ++r) out[r * rows + row] = products[r];
    }
    for (int row = R * rows; row < w.rows; ++row) Tile<1, 1>::run(w, row, x, 0, out, std::size_t(w.rows));
}

// R1 streams for one token, tiles of R1 rows where there are fewer than T tokens, of R rows x T tokens where
// there are more.
template <template <int, int> class Tile, int R1, int R, int T>
void multiply(const Rows& w, const Activations& x, float* out, std::size_t out_stride) {
    if (x.tokens == 1) return cover_in_streams<Tile, R1>(w, x, out);
    if (x.tokens < T) return cover<Tile, R1, 1>(w, x, out, out_stride);
    cover<Tile, R, T>(w, x, out, out_stride);
}

}  // namespace
}  // namespace bitnet
