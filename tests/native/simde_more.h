// AVX-512 intrinsics of the kernels that SIMDe 0.7 lacks, each by two of AVX2's.
#pragma once

#include <simde/x86/avx512.h>

static inline __m512i emulated_join(__m256i low, __m256i high) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

static inline __m512 emulated_cvtph_ps(__m256i half) {
    const __m256 low = _mm256_cvtph_ps(_mm256_castsi256_si128(half));
    const __m256 high = _mm256_cvtph_ps(_mm256_extracti128_si256(half, 1));
    return _mm512_castsi512_ps(emulated_join(_mm256_castps_si256(low), _mm256_castps_si256(high)));
}
#define _mm512_cvtph_ps emulated_cvtph_ps

static inline __m512i emulated_cvtepu16_epi32(__m256i words) {
    return emulated_join(_mm256_cvtepu16_epi32(_mm256_castsi256_si128(words)),
                         _mm256_cvtepu16_epi32(_mm256_extracti128_si256(words, 1)));
}
#define _mm512_cvtepu16_epi32 emulated_cvtepu16_epi32
