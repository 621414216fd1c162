// What trace records are made of: BLAKE3 and statistics, eight lanes at a time.
//
// Every kernel set includes this file and compiles it for its own instruction set; the vector extension of
// GCC and Clang becomes whatever registers there are.  BLAKE3 follows its specification, section 2.
#pragma once

#include <cstring>

#include "bitnet/kernels.hpp"

#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace bitnet {
namespace {

using Words = std::uint32_t __attribute__((vector_size(32)));
using Floats = float __attribute__((vector_size(32)));

constexpr std::uint32_t hash_iv[8] = {0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
                                      0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19};
constexpr int hash_rounds = 7;
constexpr std::size_t hash_block = 64;

// Which message word each round's sixteen inputs are: every round permutes those of the round before.
struct HashSchedule {
    int word[hash_rounds][16];

    constexpr HashSchedule() : word() {
        constexpr int permutation[16] = {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8};
        for (int i = 0; i < 16; ++i) word[0][i] = i;
        for (int round = 1; round < hash_rounds; ++round) {
            for (int i = 0; i < 16; ++i) word[round][i] = word[round - 1][permutation[i]];
        }
    }
};
constexpr HashSchedule hash_schedule;

template <int bits>
inline void rotate_right(Words& x) {
#ifdef __AVX2__
    if constexpr (bits % 8 == 0) {  // one shuffle of bytes instead of three instructions
        const __m128i from = bits == 16 ? _mm_set_epi64x(0x0D0C0F0E09080B0A, 0x0504070601000302)
                                        : _mm_set_epi64x(0x0C0F0E0D080B0A09, 0x0407060500030201);
        x = Words(_mm256_shuffle_epi8(__m256i(x), _mm256_broadcastsi128_si256(from)));
        return;
    }
#endif
    x = (x >> bits) | (x << (32 - bits));
}

inline void mix(Words& a, Words& b, Words& c, Words& d, const Words& x, const Words& y) {
    a += b + x;
    d ^= a;
    rotate_right<16>(d);
    c += d;
    b ^= c;
    rotate_right<12>(b);
    a += b + y;
    d ^= a;
    rotate_right<8>(d);
    c += d;
    b ^= c;
    rotate_right<7>(b);
}

template <int round>
inline void mix_round(Words (&v)[16], const Words (&m)[16]) {
    constexpr auto& w = hash_schedule.word[round];
    mix(v[0], v[4], v[8], v[12], m[w[0]], m[w[1]]);
    mix(v[1], v[5], v[9], v[13], m[w[2]], m[w[3]]);
    mix(v[2], v[6], v[10], v[14], m[w[4]], m[w[5]]);
    mix(v[3], v[7], v[11], v[15], m[w[6]], m[w[7]]);
    mix(v[0], v[5], v[10], v[15], m[w[8]], m[w[9]]);
    mix(v[1], v[6], v[11], v[12], m[w[10]], m[w[11]]);
    mix(v[2], v[7], v[8], v[13], m[w[12]], m[w[13]]);
    mix(v[3], v[4], v[9], v[14], m[w[14]], m[w[15]]);
}

// Eight words of eight lanes, from lane-major to word-major.
inline void transpose(const std::uint8_t* const (&lanes)[8], Words* out) {
#ifdef __AVX2__
    __m256i x[8], y[8];
    for (int i = 0; i < 8; ++i) x[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lanes[i]));
    for (int i = 0; i < 8; i += 2) {
        y[i] = _mm256_unpacklo_epi32(x[i], x[i + 1]);
        y[i + 1] = _mm256_unpackhi_epi32(x[i], x[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        for (int j = 0; j < 2; ++j) {
            x[i + 2 * j] = _mm256_unpacklo_epi64(y[i + j], y[i + j + 2]);
            x[i + 2 * j + 1] = _mm256_unpackhi_epi64(y[i + j], y[i + j + 2]);
        }
    }
    for (int i = 0; i < 4; ++i) {
        out[i] = Words(_mm256_permute2x128_si256(x[i], x[i + 4], 0x20));
        out[i + 4] = Words(_mm256_permute2x128_si256(x[i], x[i + 4], 0x31));
    }
#else
    std::uint32_t words[8][8];
    for (int lane = 0; lane < 8; ++lane) std::memcpy(words[lane], lanes[lane], sizeof words[lane]);
    for (int word = 0; word < 8; ++word) {
        for (int lane = 0; lane < 8; ++lane) out[word][lane] = words[lane][word];
    }
#endif
}

// Sixteen little-endian words of each lane's block; beyond its end are zeros.  Lanes are mostly chunks that
// follow each other, so what lies eight chunks ahead is what the next call reads.
inline void read_block(const HashInputs& inputs, std::size_t at, std::size_t bytes, Words (&m)[16]) {
    constexpr std::size_t eight_chunks = 8 * 1024;
    std::uint8_t padded[8][hash_block];
    const std::uint8_t *front[8], *back[8];
    for (int lane = 0; lane < 8; ++lane) {
        front[lane] = inputs.data[lane] + at;
        __builtin_prefetch(front[lane] + eight_chunks);
        if (bytes < hash_block) {
            std::memset(padded[lane], 0, hash_block);
            std::memcpy(padded[lane], front[lane], bytes);
            front[lane] = padded[lane];
        }
        back[lane] = front[lane] + hash_block / 2;
    }
    transpose(front, m);
    transpose(back, m + 8);
}

void hash_eight(const HashInputs& inputs, std::uint32_t (*out)[8]) {
    Words chain[8], low, high;
    for (int i = 0; i < 8; ++i) chain[i] = Words{} + hash_iv[i];
    for (int lane = 0; lane < 8; ++lane) {
        low[lane] = std::uint32_t(inputs.counters[lane]);
        high[lane] = std::uint32_t(inputs.counters[lane] >> 32);
    }
    std::size_t at = 0;
    do {
        const std::size_t left = inputs.bytes - at, bytes = left < hash_block ? left : hash_block;
        const std::uint32_t flags =
            inputs.every | (at == 0 ? inputs.first : 0) | (left <= hash_block ? inputs.last : 0);
        Words m[16];
        read_block(inputs, at, bytes, m);
        Words v[16] = {chain[0], chain[1], chain[2], chain[3], chain[4], chain[5], chain[6], chain[7],
                       Words{} + hash_iv[0], Words{} + hash_iv[1], Words{} + hash_iv[2], Words{} + hash_iv[3],
                       low, high, Words{} + std::uint32_t(bytes), Words{} + flags};
        mix_round<0>(v, m);
        mix_round<1>(v, m);
        mix_round<2>(v, m);
        mix_round<3>(v, m);
        mix_round<4>(v, m);
        mix_round<5>(v, m);
        mix_round<6>(v, m);
        for (int i = 0; i < 8; ++i) chain[i] = v[i] ^ v[i + 8];
        at += hash_block;
    } while (at < inputs.bytes);
    for (int lane = 0; lane < 8; ++lane) {
        for (int i = 0; i < 8; ++i) out[lane][i] = chain[i][lane];
    }
}

inline bool is_finite(float x) { return x - x == 0.0f; }

RowStatistics row_statistics_by_element(const float* row, std::size_t n) {
    RowStatistics found{0, 0, __builtin_inff(), -__builtin_inff(), 0};
    for (std::size_t i = 0; i < n; ++i) {
        if (!is_finite(row[i])) {
            ++found.non_finite;
            continue;
        }
        found.sum += double(row[i]);
        found.squares += double(row[i]) * double(row[i]);
        found.min = row[i] < found.min ? row[i] : found.min;
        found.max = row[i] > found.max ? row[i] : found.max;
    }
    return found;
}

// A sum of squares that is not finite means an element that is not, or squares beyond float32.
RowStatistics row_statistics(const float* row, std::size_t n) {
    constexpr std::size_t stretch = 4096;
    if (n < 8) return row_statistics_by_element(row, n);
    Floats lowest, highest;
    std::memcpy(&lowest, row, sizeof lowest);
    highest = lowest;
    RowStatistics found{0, 0, 0, 0, 0};
    std::size_t i = 0;
    while (i + 8 <= n) {
        Floats sum{}, squares{};
        const std::size_t end = i + stretch < n ? i + stretch : n;
        for (; i + 8 <= end; i += 8) {
            Floats x;
            std::memcpy(&x, row + i, sizeof x);
            sum += x;
            squares += x * x;
            lowest = x < lowest ? x : lowest;
            highest = x > highest ? x : highest;
        }
        for (int lane = 0; lane < 8; ++lane) {
            found.sum += double(sum[lane]);
            found.squares += double(squares[lane]);
        }
    }
    const RowStatistics rest = row_statistics_by_element(row + i, n - i);
    found.sum += rest.sum;
    found.squares += rest.squares;
    found.min = rest.min, found.max = rest.max;
    for (int lane = 0; lane < 8; ++lane) {
        found.min = lowest[lane] < found.min ? lowest[lane] : found.min;
        found.max = highest[lane] > found.max ? highest[lane] : found.max;
    }
    const bool all_finite = rest.non_finite == 0 && found.squares - found.squares == 0.0;
    return all_finite ? found : row_statistics_by_element(row, n);
}

}  // namespace
}  // namespace bitnet
