// Matmuls of F32, F16 and BF16 weights, written once over a vector type V; see "Orders" in kernels.hpp.
//
// V has the lanes of an order, held in whatever registers a kernel set has: Eight and TwoEights in avx2/, Sixteen in
// avx512/.  It gives zero, load, load_f16, load_bf16, fma, add, add_lanes_of_dot, add_lanes_by_halves; and for
// sums by pairs load_pairs, load_bf16_pairs and FlushSubnormals.
//
// A header of templates for the kernel sets' own files, each compiled for its own instruction set.
#pragma once

#include <math.h>

#include "tiling.hpp"

namespace bitnet {
namespace {

// group: size of the groups in which products are rounded before they are added, of the elements after the last whole
// step of a dot product.  Products of an incomplete group are added by fma, and all if the size is 1.
template <int group>
struct F32InGroups {
    static constexpr int bytes = 4;
    template <typename V>
    static auto load(const std::uint8_t* p) {
        return V::load(reinterpret_cast<const float*>(p));
    }
    static float load1(const std::uint8_t* p) {
        float value;
        __builtin_memcpy(&value, p, sizeof value);
        return value;
    }
    static float add_rest(float sum, const std::uint8_t* rest, const float* x, int n) {
        const int grouped = group > 1 ? n / group * group : 0;
        for (int i = 0; i < grouped; ++i) sum += load1(rest + i * bytes) * x[i];
        for (int i = grouped; i < n; ++i) sum = fmaf(load1(rest + i * bytes), x[i], sum);
        return sum;
    }
};
using F32 = F32InGroups<1>;

template <typename Weight>
float add_rest_in_double(double sum, const std::uint8_t* rest, const float* x, int n) {
    for (int i = 0; i < n; ++i) sum += double(Weight::load1(rest + i * Weight::bytes) * x[i]);
    return float(sum);
}

template <float (*float_of)(std::uint16_t half)>
struct F16As {
    static constexpr int bytes = 2;
    template <typename V>
    static auto load(const std::uint8_t* p) {
        return V::load_f16(p);
    }
    static float load1(const std::uint8_t* p) { return float_of(std::uint16_t(p[0] | p[1] << 8)); }
    static float add_rest(float sum, const std::uint8_t* rest, const float* x, int n) {
        return add_rest_in_double<F16As>(sum, rest, x, n);
    }
};

struct BF16 {
    static constexpr int bytes = 2;
    template <typename V>
    static auto load(const std::uint8_t* p) {
        return V::load_bf16(p);
    }
    static float load1(const std::uint8_t* p) {
        const std::uint32_t bits = std::uint32_t(p[0] | p[1] << 8) << 16;
        float value;
        __builtin_memcpy(&value, &bits, sizeof value);
        return value;
    }
    static float add_rest(float sum, const std::uint8_t* rest, const float* x, int n) {
        return add_rest_in_double<BF16>(sum, rest, x, n);
    }
};

// Where R rows and T tokens of a tile lie.
template <int R, int T>
struct Operands {
    const std::uint8_t* weights[R];
    const float* values[T];

    Operands(const Rows& w, int row, const Activations& x, int token) {
        weights[0] = w.data + row * w.row_bytes;
        for (int r = 1; r < R; ++r) weights[r] = weights[r - 1] + w.row_bytes;
        for (int t = 0; t < T; ++t) values[t] = x.f32 + (token + t) * x.stride;
    }
};

// Adds the products of V::lanes columns to the sums of a tile.  Loops over a tile are unrolled, so that its sums are
// registers: GCC 12 by itself keeps arrays of them in memory.
template <typename V, typename Weight, int R, int T>
[[gnu::always_inline]] inline void add_columns(const Operands<R, T>& at, int column,
                                               typename V::Value (&sum)[R][T]) {
    typename V::Value value[T];
#pragma GCC unroll 16
    for (int t = 0; t < T; ++t) value[t] = V::load(at.values[t] + column);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
        const auto weight = Weight::template load<V>(at.weights[r] + column * Weight::bytes);
#pragma GCC unroll 16
        for (int t = 0; t < T; ++t) sum[r][t] = V::fma(weight, value[t], sum[r][t]);
    }
}

template <typename V, int R, int T>
void clear(typename V::Value (&sum)[R][T]) {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
        for (int t = 0; t < T; ++t) sum[r][t] = V::zero();
    }
}

// Lane sums of a dot product and the lanes of BF16 in avx2 differ; both have four accumulators.
template <typename V, typename Weight>
float add_lanes_of_four(typename V::Value lane) {
    if constexpr (__is_same(Weight, BF16)) return V::add_lanes_by_halves(lane);
    return V::add_lanes_of_dot(lane);
}

// Four accumulators.
template <typename V, typename Weight>
struct InFour {
    template <int R, int T>
    struct Tile {
        static void run(const Rows& w, int row, const Activations& x, int token, float* out,
                        std::size_t out_stride) {
            constexpr int step = 4 * V::lanes;
            const Operands<R, T> at(w, row, x, token);
            typename V::Value sum[4][R][T];
#pragma GCC unroll 4
            for (int a = 0; a < 4; ++a) clear<V>(sum[a]);
            const int whole = w.cols / step * step;
            for (int i = 0; i < whole; i += step) {
#pragma GCC unroll 4
                for (int a = 0; a < 4; ++a) add_columns<V, Weight>(at, i + a * V::lanes, sum[a]);
            }
#pragma GCC unroll 16
            for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
                for (int t = 0; t < T; ++t) {
                    const auto lane =
                        V::add(V::add(sum[0][r][t], sum[2][r][t]), V::add(sum[1][r][t], sum[3][r][t]));
                    out[(token + t) * out_stride + row + r] = Weight::add_rest(
                        add_lanes_of_four<V, Weight>(lane), at.weights[r] + whole * Weight::bytes,
                        at.values[t] + whole, w.cols - whole);
                }
            }
        }
    };
};

// Adds the products of columns start .. end - 1, `most` at most, to the sums of a tile, each as add_rest_in_double.
// Values are put side by side, so that the sums of one row are a vector.
template <typename Weight, int most, int R, int T>
void add_rests_in_double(const Operands<R, T>& at, int start, int end, float (&sums)[R][T]) {
    float value[most][T];
    for (int t = 0; t < T; ++t) {
        for (int i = start; i < end; ++i) value[i - start][t] = at.values[t][i];
    }
    for (int r = 0; r < R; ++r) {
        double total[T];
        for (int t = 0; t < T; ++t) total[t] = double(sums[r][t]);
        for (int i = start; i < end; ++i) {
            const float weight = Weight::load1(at.weights[r] + i * Weight::bytes);
            for (int t = 0; t < T; ++t) total[t] += double(weight * value[i - start][t]);
        }
        for (int t = 0; t < T; ++t) sums[r][t] = float(total[t]);
    }
}

// Fetches `bytes` at a column of each row of a later tile into the L2 cache: of the next, or further on where rows are
// short: 3 kB, the best that was measured of 2 to 4.  A tile's rows are as many reads, each too short for the CPU to see
// it coming.
template <typename Weight, int bytes, int R, int T>
[[gnu::always_inline]] inline void fetch_later_rows(const Rows& w, const Operands<R, T>& at, int column) {
    constexpr std::size_t line = 64, far = 3072;
    const std::size_t ahead = R * w.row_bytes < far ? far : R * w.row_bytes;
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
        const std::uint8_t* later = at.weights[r] + ahead + column * Weight::bytes;
#pragma GCC unroll 16
        for (std::size_t i = 0; i < bytes; i += line) __builtin_prefetch(later + i, 0, 2);
    }
}

// The same sums as InFour, two accumulators at a time, so that those of more rows and tokens fit in
// registers.
template <typename V, typename Weight>
struct InFourByHalves {
    template <int R, int T>
    struct Tile {
        static void run(const Rows& w, int row, const Activations& x, int token, float* out,
                        std::size_t out_stride) {
            constexpr int step = 4 * V::lanes;
            const Operands<R, T> at(w, row, x, token);
            const int whole = w.cols / step * step;
            typename V::Value lane[R][T];
            add_whole_steps(w, at, whole, lane);
            float sums[R][T];
            V::add_lanes_of_dots(lane, sums);
            static_assert(Weight::bytes == 2, "what is left of F32 is not added in double");
            if (whole < w.cols) add_rests_in_double<Weight, step>(at, whole, w.cols, sums);
#pragma GCC unroll 16
            for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
                for (int t = 0; t < T; ++t) out[(token + t) * out_stride + row + r] = sums[r][t];
            }
        }

        // The lanes of all four accumulators, added up, of columns 0 .. end - 1.
        [[gnu::always_inline]] static void add_whole_steps(const Rows& w, const Operands<R, T>& at, int end,
                                                           typename V::Value (&lane)[R][T]) {
            typename V::Value odd[R][T];
            add_two<true>(w, at, 0, end, lane);
            add_two<false>(w, at, V::lanes, end, odd);
#pragma GCC unroll 16
            for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
                for (int t = 0; t < T; ++t) lane[r][t] = V::add(lane[r][t], odd[r][t]);
            }
        }

        // Sums of accumulators start / lanes and start / lanes + 2.
        template <bool fetches>
        [[gnu::always_inline]] static void add_two(const Rows& w, const Operands<R, T>& at, int start,
                                                   int end, typename V::Value (&result)[R][T]) {
            typename V::Value first[R][T], second[R][T];
            clear<V>(first);
            clear<V>(second);
            for (int i = start; i < end; i += 4 * V::lanes) {
                if constexpr (fetches && R > 1)
                    fetch_later_rows<Weight, 4 * V::lanes * Weight::bytes>(w, at, i);
                add_columns<V, Weight>(at, i, first);
                add_columns<V, Weight>(at, i + 2 * V::lanes, second);
            }
#pragma GCC unroll 16
            for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
                for (int t = 0; t < T; ++t) result[r][t] = V::add(first[r][t], second[r][t]);
            }
        }
    };
};

// A dot product in four accumulators.  One token is bound by memory, and its rows are read once, in R1 streams.  More
// share the conversion of weights in tiles of R rows x T tokens, whose R T products take R + T loads a step.
template <typename V, typename Weight, int R1, int R, int T>
void multiply_in_four(const Rows& w, const Activations& x, float* out, std::size_t out_stride) {
    if (x.tokens == 1) return cover_in_streams<InFour<V, Weight>::template Tile, R1>(w, x, out);
    cover<InFourByHalves<V, Weight>::template Tile, R, T>(w, x, out, out_stride);
}

// One accumulator.
template <typename V, typename Weight>
struct InOne {
    template <int R, int T>
    struct Tile {
        static void run(const Rows& w, int row, const Activations& x, int token, float* out,
                        std::size_t out_stride) {
            const Operands<R, T> at(w, row, x, token);
            typename V::Value sum[R][T];
            clear<V>(sum);
            for (int i = 0; i < w.cols; i += V::lanes) add_columns<V, Weight>(at, i, sum);
#pragma GCC unroll 16
            for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
                for (int t = 0; t < T; ++t)
                    out[(token + t) * out_stride + row + r] = V::add_lanes_by_halves(sum[r][t]);
            }
        }
    };
};

// BF16 in avx512: two accumulators, whose lane sums are added in double.
template <typename V>
struct InTwo {
    template <int R, int T>
    struct Tile {
        static void run(const Rows& w, int row, const Activations& x, int token, float* out,
                        std::size_t out_stride) {
            constexpr int step = 2 * V::lanes;
            const Operands<R, T> at(w, row, x, token);
            typename V::Value first[R][T], second[R][T];
            clear<V>(first);
            clear<V>(second);
            const int whole = w.cols / step * step;
            for (int i = 0; i < whole; i += step) {
                add_columns<V, BF16>(at, i, first);
                add_columns<V, BF16>(at, i + V::lanes, second);
            }
            for (int r = 0; r < R; ++r) {
                for (int t = 0; t < T; ++t) {
                    const double both = double(V::add_lanes_by_halves(first[r][t])) +
                                        double(V::add_lanes_by_halves(second[r][t]));
                    out[(token + t) * out_stride + row + r] = add_rest_in_double<BF16>(
                        both, at.weights[r] + whole * BF16::bytes, at.values[t] + whole, w.cols - whole);
                }
            }
        }
    };
};

// BF16 by pairs in `accumulators` of sixteen lanes: two in a dot product, one in a tile.
template <typename V, int accumulators>
struct ByPairs {
    template <int R, int T>
    struct Tile {
        static void run(const Rows& w, int row, const Activations& x, int token, float* out,
                        std::size_t out_stride) {
            constexpr int step = 32 * accumulators;
            const Operands<R, T> at(w, row, x, token);
            typename V::Value sum[accumulators][R][T];
            const int whole = w.cols / step * step;
            add_pairs(at, whole, sum);
            for (int r = 0; r < R; ++r) {
                for (int t = 0; t < T; ++t) {
                    double total = double(V::add_lanes_by_halves(sum[0][r][t]));
                    if constexpr (accumulators == 2) total += double(V::add_lanes_by_halves(sum[1][r][t]));
                    out[(token + t) * out_stride + row + r] = add_rest_in_double<BF16>(
                        total, at.weights[r] + whole * BF16::bytes, at.values[t] + whole, w.cols - whole);
                }
            }
        }

        // Not a part of `run` and never inlined there, so that no other arithmetic is done while subnormal numbers count
        // as zero.
        [[gnu::noinline]] static void add_pairs(const Operands<R, T>& at, int end,
                                                typename V::Value (&result)[accumulators][R][T]) {
            const typename V::FlushSubnormals flush;
            typename V::Value sum[accumulators][R][T];
            for (int a = 0; a < accumulators; ++a) clear<V>(sum[a]);
            for (int i = 0; i < end; i += 32 * accumulators) {
                for (int a = 0; a < accumulators; ++a) add_32(at, i + 32 * a, sum[a]);
            }
            for (int a = 0; a < accumulators; ++a) {
                for (int r = 0; r < R; ++r) {
                    for (int t = 0; t < T; ++t) result[a][r][t] = sum[a][r][t];
                }
            }
        }

        [[gnu::always_inline]] static void add_32(const Operands<R, T>& at, int column,
                                                  typename V::Value (&sum)[R][T]) {
            typename V::Pairs value[T];
            for (int t = 0; t < T; ++t) value[t] = V::load_pairs(at.values[t] + column);
            for (int r = 0; r < R; ++r) {
                const typename V::Pairs weight = V::load_bf16_pairs(at.weights[r] + column * BF16::bytes);
                for (int t = 0; t < T; ++t) {
                    sum[r][t] = V::fma(weight.odd, value[t].odd, sum[r][t]);
                    sum[r][t] = V::fma(weight.even, value[t].even, sum[r][t]);
                }
            }
        }
    };
};

}  // namespace
}  // namespace bitnet
