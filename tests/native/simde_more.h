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

static inline __m256i emulated_cvtps_ph(__m512 v, int) {
    const __m128i low = _mm256_cvtps_ph(_mm512_castps512_ps256(v), _MM_FROUND_TO_NEAREST_INT);
    const __m256 upper = _mm256_castsi256_ps(_mm512_extracti64x4_epi64(_mm512_castps_si512(v), 1));
    return _mm256_set_m128i(_mm256_cvtps_ph(upper, _MM_FROUND_TO_NEAREST_INT), low);
}
#define _mm512_cvtps_ph emulated_cvtps_ph

static inline __m512d emulated_cvtps_pd(__m256 v) {
    const __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(v));
    const __m256d high = _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
    return _mm512_castsi512_pd(emulated_join(_mm256_castpd_si256(low), _mm256_castpd_si256(high)));
}
#define _mm512_cvtps_pd emulated_cvtps_pd
