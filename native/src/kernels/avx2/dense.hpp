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

}  // namespace
}  // namespace bitnet::avx2
