// Matmuls of F32, F16 and BF16 weights.
#pragma once

#include "activations.hpp"

namespace bitnet::avx2 {
namespace {

struct F32 {
    static constexpr int bytes = 4;
    static __m256 load8(const std::uint8_t* p) { return _mm256_loadu_ps(reinterpret_cast<const float*>(p)); }
    static float load1(const std::uint8_t* p) { return _mm_cvtss_f32(_mm_castsi128_ps(_mm_loadu_si32(p))); }
    static float finish(__m256 lane, const std::uint8_t* rest, const float* x, int n) {
        float sum = add_lanes_as_pairs(lane);
        for (int i = 0; i < n; ++i) sum = fmaf(load1(rest + i * bytes), x[i], sum);
        return sum;
    }
};

template <typename Weight>
float add_rest_in_double(float start, const std::uint8_t* rest, const float* x, int n) {
    double sum = start;
    for (int i = 0; i < n; ++i) sum += double(Weight::load1(rest + i * Weight::bytes) * x[i]);
    return float(sum);
}

struct F16 {
    static constexpr int bytes = 2;
    static __m256 load8(const std::uint8_t* p) {
        return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    }
    static float load1(const std::uint8_t* p) { return float_of(std::uint16_t(p[0] | p[1] << 8)); }
    static float finish(__m256 lane, const std::uint8_t* rest, const float* x, int n) {
        return add_rest_in_double<F16>(add_lanes_as_pairs(lane), rest, x, n);
    }
};

struct BF16 {
    static constexpr int bytes = 2;
    static __m256 load8(const std::uint8_t* p) {
        const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
        return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
    }
    static float load1(const std::uint8_t* p) {
        return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128((p[0] | p[1] << 8) << 16)));
    }
    static float finish(__m256 lane, const std::uint8_t* rest, const float* x, int n) {
        return add_rest_in_double<BF16>(add_lanes_as_halves(lane), rest, x, n);
    }
};

template <typename Weight>
struct InFour {
    template <int R, int T>
    struct Tile {
        static void run(const Rows& w, int row, const Activations& x, int token, float* out,
                        std::size_t out_stride) {
            const std::uint8_t* weights[R];
            const float* values[T];
            __m256 sum[R][T][4];
            for (int r = 0; r < R; ++r) weights[r] = w.data + (row + r) * w.row_bytes;
            for (int t = 0; t < T; ++t) values[t] = x.f32 + (token + t) * x.stride;
            for (int r = 0; r < R; ++r) {
                for (int t = 0; t < T; ++t) {
                    for (int a = 0; a < 4; ++a) sum[r][t][a] = _mm256_setzero_ps();
                }
            }
            const int whole = w.cols / 32 * 32;
            for (int i = 0; i < whole; i += 32) {
                for (int a = 0; a < 4; ++a) {
                    for (int r = 0; r < R; ++r) {
                        const __m256 weight = Weight::load8(weights[r] + (i + 8 * a) * Weight::bytes);
                        for (int t = 0; t < T; ++t) {
                            sum[r][t][a] =
                                _mm256_fmadd_ps(weight, _mm256_loadu_ps(values[t] + i + 8 * a), sum[r][t][a]);
                        }
                    }
                }
            }
            for (int r = 0; r < R; ++r) {
                for (int t = 0; t < T; ++t) {
                    const __m256(&s)[4] = sum[r][t];
                    const __m256 lane = _mm256_add_ps(_mm256_add_ps(s[0], s[2]), _mm256_add_ps(s[1], s[3]));
                    out[(token + t) * out_stride + row + r] = Weight::finish(
                        lane, weights[r] + whole * Weight::bytes, values[t] + whole, w.cols - whole);
                }
            }
        }
    };
};

// Six sums at once, each as add_lanes_as_pairs.
[[gnu::always_inline]] inline void add_lanes_of_six(const __m256* lane, float (&sums)[6]) {
    __m256 four[3];  // the low half for an even one, the high half for the odd one behind it
    for (int i = 0; i < 3; ++i) {
        four[i] = _mm256_add_ps(_mm256_permute2f128_ps(lane[2 * i], lane[2 * i + 1], 0x20),
                                _mm256_permute2f128_ps(lane[2 * i], lane[2 * i + 1], 0x31));
    }
    alignas(32) float pairs[8];
    _mm256_store_ps(pairs,
                    _mm256_hadd_ps(_mm256_hadd_ps(four[0], four[1]), _mm256_hadd_ps(four[2], four[2])));
    for (int i = 0; i < 6; ++i) sums[i] = pairs[i % 2 * 4 + i / 2];
}

// The same sums as InFour, two accumulators at a time, so that those of more rows and tokens fit in
// registers.
template <typename Weight>
struct InFourByHalves {
    template <int R, int T>
    struct Tile {
        static void run(const Rows& w, int row, const Activations& x, int token, float* out,
                        std::size_t out_stride) {
            const std::uint8_t* weights[R];
            const float* values[T];
            for (int r = 0; r < R; ++r) weights[r] = w.data + (row + r) * w.row_bytes;
            for (int t = 0; t < T; ++t) values[t] = x.f32 + (token + t) * x.stride;
            const int whole = w.cols / 32 * 32;
            __m256 even[R][T], odd[R][T];
            add_products(weights, values, 0, whole, even);
            add_products(weights, values, 8, whole, odd);
            for (int r = 0; r < R; ++r) {
                for (int t = 0; t < T; ++t) even[r][t] = _mm256_add_ps(even[r][t], odd[r][t]);
            }
            if (R * T == 6 && whole == w.cols) {
                float sums[6];
                add_lanes_of_six(even[0], sums);
                for (int i = 0; i < R * T; ++i) out[(token + i % T) * out_stride + row + i / T] = sums[i];
                return;
            }
            for (int r = 0; r < R; ++r) {
                for (int t = 0; t < T; ++t) {
                    out[(token + t) * out_stride + row + r] = Weight::finish(
                        even[r][t], weights[r] + whole * Weight::bytes, values[t] + whole, w.cols - whole);
                }
            }
        }

        // Sums of accumulators start / 8 and start / 8 + 2.
        static void add_products(const std::uint8_t* const (&weights)[R], const float* const (&values)[T],
                                 int start, int end, __m256 (&result)[R][T]) {
            __m256 first[R][T], second[R][T];
            for (int r = 0; r < R; ++r) {
                for (int t = 0; t < T; ++t) first[r][t] = second[r][t] = _mm256_setzero_ps();
            }
            for (int i = start; i < end; i += 32) {
                add_eights(weights, values, i, first);
                add_eights(weights, values, i + 16, second);
            }
            for (int r = 0; r < R; ++r) {
                for (int t = 0; t < T; ++t) result[r][t] = _mm256_add_ps(first[r][t], second[r][t]);
            }
        }

        static void add_eights(const std::uint8_t* const (&weights)[R], const float* const (&values)[T],
                               int i, __m256 (&sum)[R][T]) {
            for (int r = 0; r < R; ++r) {
                const __m256 weight = Weight::load8(weights[r] + i * Weight::bytes);
                for (int t = 0; t < T; ++t)
                    sum[r][t] = _mm256_fmadd_ps(weight, _mm256_loadu_ps(values[t] + i), sum[r][t]);
            }
        }
    };
};

template <typename Weight>
struct InOne {
    template <int R, int T>
    struct Tile {
        static void run(const Rows& w, int row, const Activations& x, int token, float* out,
                        std::size_t out_stride) {
            const std::uint8_t* weights[R];
            const float* values[T];
            __m256 sum[R][T];
            for (int r = 0; r < R; ++r) weights[r] = w.data + (row + r) * w.row_bytes;
            for (int t = 0; t < T; ++t) values[t] = x.f32 + (token + t) * x.stride;
            for (int r = 0; r < R; ++r) {
                for (int t = 0; t < T; ++t) sum[r][t] = _mm256_setzero_ps();
            }
            for (int i = 0; i < w.cols; i += lanes) {
                __m256 value[T];
                for (int t = 0; t < T; ++t) value[t] = _mm256_loadu_ps(values[t] + i);
                for (int r = 0; r < R; ++r) {
                    const __m256 weight = Weight::load8(weights[r] + i * Weight::bytes);
                    for (int t = 0; t < T; ++t) sum[r][t] = _mm256_fmadd_ps(weight, value[t], sum[r][t]);
                }
            }
            for (int r = 0; r < R; ++r) {
                for (int t = 0; t < T; ++t)
                    out[(token + t) * out_stride + row + r] = add_lanes_as_halves(sum[r][t]);
            }
        }
    };
};

// One token is bound by memory, and its rows are read once.  Six share the conversion of a row's weights,
// which costs as much as two products.
void multiply_f16_dot(const Rows& w, const Activations& x, float* out, std::size_t out_stride) {
    if (x.tokens == 1) return cover_in_streams<InFour<F16>::Tile, 4>(w, x, out);
    const int rest = x.tokens % 6, sixes = x.tokens - rest;
    cover<InFourByHalves<F16>::Tile, 1, 6>(w, part_of(x, w.cols, 0, sixes), out, out_stride);
    cover<InFourByHalves<F16>::Tile, 3, 2>(w, part_of(x, w.cols, sixes, rest), out + sixes * out_stride,
                                           out_stride);
}

}  // namespace
}  // namespace bitnet::avx2
