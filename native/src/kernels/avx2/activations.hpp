// Conversions and quantisation of activations.
#pragma once

#include "../tiling.hpp"
#include "lanes.hpp"

namespace bitnet::avx2 {
namespace {

// Round half to even for |x| < 2^22, zero for NaN: ggml's trick of adding 1.5 * 2^23.
__m256i nearest(__m256 x) {
    const __m256i bits = _mm256_castps_si256(_mm256_add_ps(x, _mm256_set1_ps(12582912.0f)));
    return _mm256_sub_epi32(_mm256_and_si256(bits, _mm256_set1_epi32(0x007fffff)),
                            _mm256_set1_epi32(0x00400000));
}

int nearest_one(float x) { return _mm256_extract_epi32(nearest(_mm256_set1_ps(x)), 0); }

// Codes of 32 values, in order, saturated to int8.
__m256i codes_of_32(const float* x, __m256 scale) {
    const __m256i a = nearest(_mm256_mul_ps(_mm256_loadu_ps(x), scale));
    const __m256i b = nearest(_mm256_mul_ps(_mm256_loadu_ps(x + 8), scale));
    const __m256i c = nearest(_mm256_mul_ps(_mm256_loadu_ps(x + 16), scale));
    const __m256i d = nearest(_mm256_mul_ps(_mm256_loadu_ps(x + 24), scale));
    const __m256i mixed = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    return _mm256_permutevar8x32_epi32(mixed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

float largest_magnitude(const float* x, int n) {
    __m256 largest = _mm256_setzero_ps();
    int i = 0;
    for (; i + lanes <= n; i += lanes) largest = _mm256_max_ps(magnitude(_mm256_loadu_ps(x + i)), largest);
    float result = largest_lane(largest);
    for (; i < n; ++i) result = fabsf(x[i]) > result ? fabsf(x[i]) : result;
    return result;
}

__m256i add_bytes_in_fours(__m256i bytes) {
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes);
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

void quantize_i8(const float* x, int n, std::int8_t* codes, float* scale, std::int32_t* sum) {
    const double largest = largest_magnitude(x, n);
    *scale = float(127.0 / (largest > 1e-5 ? largest : 1e-5));
    __m256i sums = _mm256_setzero_si256();
    int i = 0;
    for (; i + 32 <= n; i += 32) {
        const __m256i bytes = codes_of_32(x + i, _mm256_set1_ps(*scale));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes + i), bytes);
        sums = _mm256_add_epi32(sums, add_bytes_in_fours(bytes));
    }
    *sum = add_lanes(sums);
    for (; i < n; ++i) {
        const int code = nearest_one(x[i] * *scale);
        codes[i] = std::int8_t(code < -128 ? -128 : smaller(code, 127));
        *sum += codes[i];
    }
}

// The value of largest magnitude, the first one when several share it; 0 when there is none.
float first_largest(const float* x, int n) {
    const float largest = largest_magnitude(x, n);
    for (int i = 0; i < n; i += lanes) {
        const __m256 equal =
            _mm256_cmp_ps(magnitude(_mm256_loadu_ps(x + i)), _mm256_set1_ps(largest), _CMP_EQ_OQ);
        const int mask = _mm256_movemask_ps(equal);
        if (mask) return x[i + __builtin_ctz(unsigned(mask))];
    }
    return 0.0f;
}

// Sums of the two sixteens of bytes; the instruction sums unsigned ones, hence the bias.
void sum_sixteens(__m256i bytes, std::int16_t* sums) {
    const __m256i biased = _mm256_xor_si256(bytes, _mm256_set1_epi8(-128));
    const __m256i eights = _mm256_sad_epu8(biased, _mm256_setzero_si256());
    alignas(32) std::int64_t part[4];
    _mm256_store_si256(reinterpret_cast<__m256i*>(part), eights);
    sums[0] = std::int16_t(part[0] + part[1] - 16 * 128);
    sums[1] = std::int16_t(part[2] + part[3] - 16 * 128);
}

void quantize_q8_k(const float* x, int n, std::int8_t* codes, float* scales, std::int16_t* block_sums) {
    for (int i = 0; i < n; i += block_q8_k) {
        const float largest = first_largest(x + i, block_q8_k);
        const float inverse = largest == 0.0f ? 0.0f : -127.0f / largest;
        scales[i / block_q8_k] = largest == 0.0f ? 0.0f : 1.0f / inverse;
        const float factor =
            __builtin_isinf(inverse) ? 0.0f : inverse;  // so tiny a block that ggml's codes wrap to 0
        for (int j = i; j < i + block_q8_k; j += 32) {
            const __m256i bytes = codes_of_32(x + j, _mm256_set1_ps(factor));
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes + j), bytes);
            sum_sixteens(bytes, block_sums + j / 16);
        }
    }
}

float float_of(std::uint16_t half) { return _cvtsh_ss(half); }

void to_f16(const float* x, int n, std::uint16_t* out) {
    int i = 0;
    for (; i + lanes <= n; i += lanes) {
        const __m128i half = _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), half);
    }
    for (; i < n; ++i) out[i] = _cvtss_sh(x[i], _MM_FROUND_TO_NEAREST_INT);
}

void from_f16(const std::uint16_t* x, int n, float* out) {
    int i = 0;
    for (; i + lanes <= n; i += lanes) {
        const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + i));
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(half));
    }
    for (; i < n; ++i) out[i] = float_of(x[i]);
}

void round_to_f16(const float* x, int n, float* out) {
    int i = 0;
    for (; i + lanes <= n; i += lanes) {
        const __m128i half = _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT);
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(half));
    }
    for (; i < n; ++i) out[i] = float_of(_cvtss_sh(x[i], _MM_FROUND_TO_NEAREST_INT));
}

__m256 rounded_to_bf16(__m256 x) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i nearest = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(64 << 16));
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    const __m256i chosen = _mm256_blendv_epi8(nearest, quiet, is_nan);
    return _mm256_castsi256_ps(_mm256_and_si256(chosen, _mm256_set1_epi32(int(0xffff0000u))));
}

void round_to_bf16(const float* x, int n, float* out) {
    int i = 0;
    for (; i + lanes <= n; i += lanes) _mm256_storeu_ps(out + i, rounded_to_bf16(_mm256_loadu_ps(x + i)));
    for (; i < n; ++i) out[i] = _mm256_cvtss_f32(rounded_to_bf16(_mm256_set1_ps(x[i])));
}

}  // namespace
}  // namespace bitnet::avx2
