// AVX-512 intrinsics of the kernels that SIMDe 0.7 lacks.
#pragma once

#include <cstdint>

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

// Quarters of a, then of b, of which `order` names two bits each.
static inline __m512 emulated_shuffle_f32x4(__m512 a, __m512 b, int order) {
    alignas(64) float from[2][16], to[16];
    _mm512_store_ps(from[0], a);
    _mm512_store_ps(from[1], b);
    for (int i = 0; i < 16; ++i) to[i] = from[i / 8][(order >> i / 4 * 2 & 3) * 4 + i % 4];
    return _mm512_load_ps(to);
}
#define _mm512_shuffle_f32x4 emulated_shuffle_f32x4

static inline std::uint32_t emulated_cmpeq_epi16_mask(__m512i a, __m512i b) {
    alignas(64) std::int16_t x[32], y[32];
    _mm512_store_si512(x, a);
    _mm512_store_si512(y, b);
    std::uint32_t mask = 0;
    for (int i = 0; i < 32; ++i) mask |= std::uint32_t(x[i] == y[i]) << i;
    return mask;
}
#define _mm512_cmpeq_epi16_mask emulated_cmpeq_epi16_mask
