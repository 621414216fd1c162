// Matmuls of F32, F16 and BF16 weights: which tiles of dense.hpp fit into thirty-two registers.
#pragma once

#include "../dense.hpp"
#include "vectors.hpp"

namespace bitnet::avx512 {
namespace {

using F16 = F16As<avx2::float_of>;

// As InFourByHalves, and sixteen dot products at once: their lanes are added together, and four sums are stored at a time.
// In q.k, of few columns, adding the lanes takes as long as the products.
template <int R, int T>
struct F16Dot : InFourByHalves<Sixteen, F16>::Tile<R, T> {};

template <>
struct F16Dot<4, 4> {
    static void run(const Rows& w, int row, const Activations& x, int token, float* out,
                    std::size_t out_stride) {
        const int whole = w.cols / step * step;
        __m512 quarters[4];  // of a row: a quarter for each token
#pragma GCC unroll 1
        for (int r = 0; r < 4; r += 2) {  // the sums of two rows are as many as there are registers
            __m512 lane[2][4];
            F16Dot<2, 4>::add_whole_steps(w, {w, row + r, x, token}, whole, lane);
            quarters[r] = Sixteen::add_to_quarters(lane[0]);
            quarters[r + 1] = Sixteen::add_to_quarters(lane[1]);
        }
        float* first = out + token * out_stride + row;
        Sixteen::store_quarters(Sixteen::add_quarters(quarters), first, out_stride);
        if (whole < w.cols) add_rests({w, row, x, token}, whole, w.cols, first, out_stride);
    }

private:
    static constexpr int step = 4 * Sixteen::lanes;

    // Never inlined, for the sake of the registers.
    [[gnu::noinline]] static void add_rests(const Operands<4, 4>& at, int whole, int cols, float* first,
                                            std::size_t out_stride) {
        float sums[4][4];
        for (int i = 0; i < 16; ++i) sums[i / 4][i % 4] = first[i % 4 * out_stride + i / 4];
        add_rests_in_double<F16, step>(at, whole, cols, sums);
        for (int i = 0; i < 16; ++i) first[i % 4 * out_stride + i / 4] = sums[i / 4][i % 4];
    }
};

void multiply_f16_dot(const Rows& w, const Activations& x, float* out, std::size_t out_stride) {
    if (x.tokens == 1) return cover_in_streams<InFour<Sixteen, F16>::Tile, 4>(w, x, out);
    const int rest = x.tokens % 4, fours = x.tokens - rest;
    cover<F16Dot, 4, 4>(w, part_of(x, w.cols, 0, fours), out, out_stride);
    cover<F16Dot, 4, 2>(w, part_of(x, w.cols, fours, rest), out + fours * out_stride, out_stride);
}

}  // namespace
}  // namespace bitnet::avx512
