// Values rounded to int8 codes, F16 and BF16, in registers of eight floats.
#pragma once

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

__m256i add_bytes_in_fours(__m256i bytes) {
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes);
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
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

float float_of(std::uint16_t half) { return _cvtsh_ss(half); }

__m256 rounded_to_bf16(__m256 x) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i nearest = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(64 << 16));
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    const __m256i chosen = _mm256_blendv_epi8(nearest, quiet, is_nan);
    return _mm256_castsi256_ps(_mm256_and_si256(chosen, _mm256_set1_epi32(int(0xffff0000u))));
}

}  // namespace
}  // namespace bitnet::avx2
