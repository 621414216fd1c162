// Conversions and quantisation of activations, as templates over the vector types of vectors.hpp and of AVX-512.
#pragma once

#include "../tiling.hpp"
#include "rounding.hpp"

namespace bitnet::avx2 {
namespace {

// NaN is no magnitude.
template <typename V>
float largest_magnitude(const float* x, int n) {
    auto largest = V::zero();
    int i = 0;
    for (; i + V::lanes <= n; i += V::lanes) largest = V::max(V::magnitude(V::load(x + i)), largest);
    float result = V::largest_lane(largest);
    for (; i < n; ++i) result = fabsf(x[i]) > result ? fabsf(x[i]) : result;
    return result;
}

template <typename V>
void quantize_i8(const float* x, int n, std::int8_t* codes, float* scale, std::int32_t* sum) {
    const double largest = largest_magnitude<V>(x, n);
    *scale = float(127.0 / (largest > 1e-5 ? largest : 1e-5));
    const auto factor = V::splat(*scale);
    auto fours = V::no_sums();
    int i = 0;
    for (; i + V::codes <= n; i += V::codes) {
        const auto bytes = V::codes_of(x + i, factor);
        V::store(codes + i, bytes);
        fours = V::add_fours(fours, bytes);
    }
    *sum = V::add_lanes(fours);
    for (; i < n; ++i) {
        codes[i] = V::code_of(x[i] * *scale);
        *sum += codes[i];
    }
}

// The value of largest magnitude, the first one when several share it; 0 when there is none.
template <typename V>
float first_largest(const float* x, int n) {
    const auto largest = V::splat(largest_magnitude<V>(x, n));
    for (int i = 0; i < n; i += V::lanes) {
        const unsigned mask = V::where_equal(V::magnitude(V::load(x + i)), largest);
        if (mask) return x[i + __builtin_ctz(mask)];
    }
    return 0.0f;
}

template <typename V>
void quantize_q8_k(const float* x, int n, std::int8_t* codes, float* scales, std::int16_t* block_sums) {
    for (int i = 0; i < n; i += block_q8_k) {
        const float largest = first_largest<V>(x + i, block_q8_k);
        const float inverse = largest == 0.0f ? 0.0f : -127.0f / largest;
        scales[i / block_q8_k] = largest == 0.0f ? 0.0f : 1.0f / inverse;
        const float factor =
            __builtin_isinf(inverse) ? 0.0f : inverse;  // so tiny a block that ggml's codes wrap to 0
        for (int j = i; j < i + block_q8_k; j += V::codes) {
            const auto bytes = V::codes_of(x + j, V::splat(factor));
            V::store(codes + j, bytes);
            V::sum_sixteens(bytes, block_sums + j / 16);
        }
    }
}

template <typename V>
void to_f16(const float* x, int n, std::uint16_t* out) {
    int i = 0;
    for (; i + V::lanes <= n; i += V::lanes) V::store_f16(out + i, V::load(x + i));
    for (; i < n; ++i) out[i] = _cvtss_sh(x[i], _MM_FROUND_TO_NEAREST_INT);
}

template <typename V>
void from_f16(const std::uint16_t* x, int n, float* out) {
    int i = 0;
    for (; i + V::lanes <= n; i += V::lanes)
        V::store(out + i, V::load_f16(reinterpret_cast<const std::uint8_t*>(x + i)));
    for (; i < n; ++i) out[i] = _cvtsh_ss(x[i]);
}

template <typename V>
void round_to_f16(const float* x, int n, float* out) {
    int i = 0;
    for (; i + V::lanes <= n; i += V::lanes) {
        std::uint16_t halves[V::lanes];
        V::store_f16(halves, V::load(x + i));
        V::store(out + i, V::load_f16(reinterpret_cast<const std::uint8_t*>(halves)));
    }
    for (; i < n; ++i) out[i] = _cvtsh_ss(_cvtss_sh(x[i], _MM_FROUND_TO_NEAREST_INT));
}

template <typename V>
void round_to_bf16(const float* x, int n, float* out) {
    int i = 0;
    for (; i + V::lanes <= n; i += V::lanes) V::store(out + i, V::rounded_to_bf16(V::load(x + i)));
    for (; i < n; ++i) {
        float rounded[V::lanes];
        V::store(rounded, V::rounded_to_bf16(V::splat(x[i])));
        out[i] = rounded[0];
    }
}

}  // namespace
}  // namespace bitnet::avx2
