// I2_S matmul of many tokens, by tables.
//
// A byte holds four weights, which meet the same four activations in every row.  So the 81 sums that they can
// make are computed once for 32 tokens, and a row only looks its own up: two loads and two additions do 4 x
// 32 products, where multiply-add takes eight operations.  An entry fills a cache line; an entry of half a
// line would make two loads of a cycle collide in one bank of the L1 cache half of the time.
#pragma once

#include "ternary.hpp"

namespace bitnet::avx2 {
namespace {

constexpr int table_tokens = 32;  // tokens of one table
constexpr int table_bytes = 8;    // packed bytes of a row that are looked up in one pass
constexpr int table_rows =
    1280;                    // rows of one pass: enough to pay for the tables, few enough for the L2 cache
constexpr int entries = 81;  // 3^4
constexpr int group_tokens = 64;  // tokens that share the indices of a pass
constexpr int table_groups = group_tokens / table_tokens;
constexpr int passes_before_widening =
    7;  // a pass adds 8 entries of at most 4 x 128: 7 x 4096 fits in 16 bits

constexpr int passes_a_visit = 2;  // whose offsets are found at once

struct Tables {
    alignas(64) std::int16_t entry[table_bytes][entries][table_tokens];
    alignas(64)
        std::int8_t columns[table_groups][block_i2_s][table_tokens];  // activations of one block, transposed
    alignas(64) std::uint16_t offset[passes_a_visit][table_rows][table_bytes];  // of an entry, in bytes
    alignas(64) std::int16_t part[table_groups][table_rows][table_tokens];  // since the last widening
    alignas(64) std::int32_t total[table_groups][table_rows][table_tokens];
};

// 16 x 16 bytes.
void transpose_16(const std::int8_t* from, std::size_t from_stride, std::int8_t* to, std::size_t to_stride) {
    __m128i a[16], b[16];
    for (int i = 0; i < 16; ++i)
        a[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i * from_stride));
    for (int round = 0; round < 4; ++round) {
        for (int i = 0; i < 8; ++i) {
            b[2 * i] = _mm_unpacklo_epi8(a[i], a[i + 8]);
            b[2 * i + 1] = _mm_unpackhi_epi8(a[i], a[i + 8]);
        }
        for (int i = 0; i < 16; ++i) a[i] = b[i];
    }
    for (int i = 0; i < 16; ++i) _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i * to_stride), a[i]);
}

void transpose_block(const Activations& x, int token, int block,
                     std::int8_t (&columns)[block_i2_s][table_tokens]) {
    for (int half = 0; half < table_tokens; half += 16) {
        const std::int8_t* from = x.codes + (token + half) * x.stride + block * block_i2_s;
        for (int i = 0; i < block_i2_s; i += 16)
            transpose_16(from + i, x.stride, &columns[i][half], table_tokens);
    }
}

// All sums c0 v0 + c1 v1 + c2 v2 + c3 v3 with c in -1, 0, 1 for 16 tokens, at 27 c0 + 9 c1 + 3 c2 + c3 + 40.
void fill_entries(const std::int8_t (&columns)[block_i2_s][table_tokens], int byte, int half,
                  std::int16_t (&entry)[entries][table_tokens]) {
    __m256i v[4];
    for (int i = 0; i < 4; ++i) {
        const auto* at = reinterpret_cast<const __m128i*>(&columns[byte + 32 * i][half]);
        v[i] = _mm256_cvtepi8_epi16(_mm_load_si128(at));
    }
    const __m256i all = _mm256_add_epi16(_mm256_add_epi16(v[0], v[1]), _mm256_add_epi16(v[2], v[3]));
    __m256i x0 = _mm256_sub_epi16(_mm256_setzero_si256(), all);
    int at = 0;
    for (int c0 = 0; c0 < 3; ++c0, x0 = _mm256_add_epi16(x0, v[0])) {
        __m256i x1 = x0;
        for (int c1 = 0; c1 < 3; ++c1, x1 = _mm256_add_epi16(x1, v[1])) {
            __m256i x2 = x1;
            for (int c2 = 0; c2 < 3; ++c2, x2 = _mm256_add_epi16(x2, v[2])) {
                __m256i x3 = x2;
                for (int c3 = 0; c3 < 3; ++c3, ++at, x3 = _mm256_add_epi16(x3, v[3])) {
                    _mm256_store_si256(reinterpret_cast<__m256i*>(&entry[at][half]), x3);
                }
            }
        }
    }
}

// Offsets of the entries that two passes' bytes of every row ask for: rows lie far apart, so a visit should
// pay.  A byte's high four bits are c0, c1, its low ones c2, c3.
void find_offsets(const Rows& w, int row, int rows, std::size_t at,
                  std::uint16_t (&offset)[passes_a_visit][table_rows][table_bytes]) {
    const __m128i high = _mm_setr_epi8(0, 9, 18, 0, 27, 36, 45, 0, 54, 63, 72, 0, 0, 0, 0, 0);
    const __m128i low = _mm_setr_epi8(0, 1, 2, 0, 3, 4, 5, 0, 6, 7, 8, 0, 0, 0, 0, 0);
    const __m128i four_bits = _mm_set1_epi8(15);
    const bool starts_line = at % 64 == 0;
    for (int r = 0; r < rows; ++r) {
        if (starts_line) _mm_prefetch(w.data + (row + r) * w.row_bytes + at + 64, _MM_HINT_T1);
        const __m128i bytes =
            _mm_loadu_si128(reinterpret_cast<const __m128i*>(w.data + (row + r) * w.row_bytes + at));
        const __m128i first = _mm_shuffle_epi8(high, _mm_and_si128(_mm_srli_epi16(bytes, 4), four_bits));
        const __m128i second = _mm_shuffle_epi8(low, _mm_and_si128(bytes, four_bits));
        const __m256i index = _mm256_slli_epi16(_mm256_cvtepu8_epi16(_mm_add_epi8(first, second)), 6);
        _mm_store_si128(reinterpret_cast<__m128i*>(offset[0][r]), _mm256_castsi256_si128(index));
        _mm_store_si128(reinterpret_cast<__m128i*>(offset[1][r]), _mm256_extracti128_si256(index, 1));
    }
}

// Adds entry `i` of a row; offsets holds that of the next entries in its low bits.
template <int i>
void add_entry(const char* tables, std::uint64_t& offsets, __m256i& a, __m256i& b) {
    const char* entry = tables + i * sizeof(Tables::entry[0]) + (offsets & 0xffff);
    a = _mm256_add_epi16(a, _mm256_load_si256(reinterpret_cast<const __m256i*>(entry)));
    b = _mm256_add_epi16(b, _mm256_load_si256(reinterpret_cast<const __m256i*>(entry) + 1));
    offsets >>= 16;
}

void add_entries(const Tables& tables, int rows, const std::uint16_t (&offset)[table_rows][table_bytes],
                 bool starts, std::int16_t (&part)[table_rows][table_tokens]) {
    static_assert(sizeof tables.entry[0][0] == 1 << 6, "an offset is an index times 64");
    const char* table = reinterpret_cast<const char*>(tables.entry);
    for (int r = 0; r < rows; ++r) {
        // One base register: eight would not fit, and reloading them takes loads, which lookups need most.
        asm volatile("" : "+r"(table));
        auto* target = reinterpret_cast<__m256i*>(part[r]);
        __m256i a = _mm256_setzero_si256(), b = a;
        if (!starts) a = _mm256_load_si256(target), b = _mm256_load_si256(target + 1);
        std::uint64_t offsets[2];
        __builtin_memcpy(offsets, offset[r], sizeof offsets);
        add_entry<0>(table, offsets[0], a, b);
        add_entry<1>(table, offsets[0], a, b);
        add_entry<2>(table, offsets[0], a, b);
        add_entry<3>(table, offsets[0], a, b);
        add_entry<4>(table, offsets[1], a, b);
        add_entry<5>(table, offsets[1], a, b);
        add_entry<6>(table, offsets[1], a, b);
        add_entry<7>(table, offsets[1], a, b);
        _mm256_store_si256(target, a);
        _mm256_store_si256(target + 1, b);
    }
}

void widen(int rows, const std::int16_t (&part)[table_rows][table_tokens],
           std::int32_t (&total)[table_rows][table_tokens]) {
    for (int r = 0; r < rows; ++r) {
        for (int t = 0; t < table_tokens; t += 8) {
            const __m256i more =
                _mm256_cvtepi16_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(&part[r][t])));
            auto* sum = reinterpret_cast<__m256i*>(&total[r][t]);
            _mm256_store_si256(sum, _mm256_add_epi32(_mm256_load_si256(sum), more));
        }
    }
}

// Eight registers of eight: lane j of register i becomes lane i of register j.
void transpose_8(__m256i (&x)[8]) {
    __m256i y[8];
    for (int i = 0; i < 8; i += 2) {
        y[i] = _mm256_unpacklo_epi32(x[i], x[i + 1]);
        y[i + 1] = _mm256_unpackhi_epi32(x[i], x[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        x[i] = _mm256_unpacklo_epi64(y[i], y[i + 2]);
        x[i + 1] = _mm256_unpackhi_epi64(y[i], y[i + 2]);
        x[i + 2] = _mm256_unpacklo_epi64(y[i + 1], y[i + 3]);
        x[i + 3] = _mm256_unpackhi_epi64(y[i + 1], y[i + 3]);
    }
    for (int i = 0; i < 4; ++i) {
        y[i] = _mm256_permute2x128_si256(x[i], x[i + 4], 0x20);
        y[i + 4] = _mm256_permute2x128_si256(x[i], x[i + 4], 0x31);
    }
    for (int i = 0; i < 8; ++i) x[i] = y[i];
}

// (dot of codes 0..2 - sum of activations) / activation scale * weight scale, for eight rows of one token.
__m256 scaled(__m256i total, std::int32_t sum, float scale, float weight_scale) {
    const __m256 dot = _mm256_cvtepi32_ps(_mm256_add_epi32(total, _mm256_set1_epi32(sum)));
    const __m256 signed_dot = _mm256_sub_ps(dot, _mm256_set1_ps(float(sum)));
    return _mm256_mul_ps(_mm256_div_ps(signed_dot, _mm256_set1_ps(scale)), _mm256_set1_ps(weight_scale));
}

void scale_totals(const Rows& w, int row, int rows, const Activations& x, int token,
                  const std::int32_t (&total)[table_rows][table_tokens], float* out, std::size_t out_stride) {
    for (int r = 0; r < rows; r += 8) {
        for (int t = 0; t < table_tokens; t += 8) {
            __m256i sums[8];
            for (int i = 0; i < 8; ++i) sums[i] = load(&total[r + i][t]);
            transpose_8(sums);
            for (int i = 0; i < 8; ++i) {
                const int at = token + t + i;
                const __m256 result = scaled(sums[i], x.sums[at], x.scales[at], w.scale);
                float* target = out + at * out_stride + row + r;
                if (r + 8 <= rows) {
                    _mm256_storeu_ps(target, result);
                } else {
                    alignas(32) float last[8];
                    _mm256_store_ps(last, result);
                    for (int j = 0; j < rows - r; ++j) target[j] = last[j];
                }
            }
        }
    }
}

// Rows row .. row + rows - 1 for `groups` times 32 tokens.
void multiply_by_tables(const Rows& w, int row, int rows, const Activations& x, int token, int groups,
                        float* out, std::size_t out_stride) {
    Tables tables;
    for (int g = 0; g < groups; ++g)
        __builtin_memset(tables.total[g], 0, std::size_t(rows) * sizeof tables.total[g][0]);
    const int passes = w.cols / 4 / table_bytes;
    for (int pass = 0; pass < passes; ++pass) {
        const int block = pass * table_bytes / 32, byte = pass * table_bytes % 32;
        if (byte == 0) {
            for (int g = 0; g < groups; ++g)
                transpose_block(x, token + g * table_tokens, block, tables.columns[g]);
        }
        if (pass % passes_a_visit == 0)
            find_offsets(w, row, rows, std::size_t(pass) * table_bytes, tables.offset);
        const bool is_first = pass % passes_before_widening == 0;
        const bool is_full = (pass + 1) % passes_before_widening == 0 || pass + 1 == passes;
        for (int g = 0; g < groups; ++g) {
            for (int i = 0; i < table_bytes; ++i) {
                fill_entries(tables.columns[g], byte + i, 0, tables.entry[i]);
                fill_entries(tables.columns[g], byte + i, 16, tables.entry[i]);
            }
            add_entries(tables, rows, tables.offset[pass % passes_a_visit], is_first, tables.part[g]);
            if (is_full) widen(rows, tables.part[g], tables.total[g]);
        }
    }
    for (int g = 0; g < groups; ++g) {
        scale_totals(w, row, rows, x, token + g * table_tokens, tables.total[g], out, out_stride);
    }
}

// Tables pay from about this many rows.
constexpr int fewest_table_rows = 256;

void multiply_i2_s(const Rows& w, const Activations& x, float* out, std::size_t out_stride) {
    int token = 0;
    while (w.rows >= fewest_table_rows && x.tokens - token >= table_tokens) {
        const int groups = smaller(table_groups, (x.tokens - token) / table_tokens);
        for (int row = 0; row < w.rows; row += table_rows) {
            multiply_by_tables(w, row, smaller(table_rows, w.rows - row), x, token, groups, out, out_stride);
        }
        token += groups * table_tokens;
    }
    if (token == x.tokens) return;
    Activations rest = x;
    rest.tokens -= token;
    rest.codes += token * x.stride;
    rest.scales += token;
    rest.sums += token;
    multiply<I2S, 4, 2, 4>(w, rest, out + token * out_stride, out_stride);
}

}  // namespace
}  // namespace bitnet::avx2
