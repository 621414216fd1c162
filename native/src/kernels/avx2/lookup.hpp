// I2_S matmul of many tokens, by tables.
//
// A byte holds four weights, which meet the same four activations in every row.  So the 81 sums that they can
// make are computed once for many tokens, and a row only looks its own up: two loads and two additions of AVX2, or one
// of AVX-512, do 4 x 32 products, where multiply-add takes eight operations and dpbusd two.
#pragma once

#include "one_token.hpp"

namespace bitnet::avx2 {
namespace {

constexpr int entries = 81;  // 3^4
// Rows of one pass: enough to pay for the tables, few enough for the L2 cache.
constexpr int table_rows = 1280;
constexpr int group_tokens = 128;  // tokens that share the offsets of a block
constexpr int block_bytes = block_i2_s / 4;

// A table's entry holds the sums of as many tokens as W has lanes.  Four times 81 cache lines fit in the L1
// cache, eight times would not; a line holds an entry each of as many tables as fit in it.
template <typename W>
struct TableShape {
    static constexpr int lines = 4;
    static constexpr int words_of_line = 32;
    static constexpr int tokens = W::lanes;
    static constexpr int tables_of_line = words_of_line / tokens;
    static constexpr int bytes = lines * tables_of_line;  // of a row that are looked up in one pass
    static constexpr int passes = block_bytes / bytes;
    static constexpr int groups = group_tokens / tokens;
};

// What the rows' lookups add up to: in 16 bits as long as that cannot overflow.
template <int tokens>
struct TableSums {
    alignas(64) std::int16_t part[table_rows][tokens];  // since the last widening
    alignas(64) std::int32_t total[table_rows][tokens];
    alignas(64) std::int16_t largest[tokens];  // that a part can be

    void clear_parts(int rows) {
        __builtin_memset(part, 0, std::size_t(rows) * sizeof part[0]);
        __builtin_memset(largest, 0, sizeof largest);
    }
    void clear(int rows) {
        clear_parts(rows);
        __builtin_memset(total, 0, std::size_t(rows) * sizeof total[0]);
    }
};

template <typename W, typename Shape = TableShape<W>>
struct Tables {
    using Columns = std::int8_t[block_i2_s][Shape::tokens];
    using Line = std::int16_t[Shape::tables_of_line][Shape::tokens];
    using Offsets = std::uint16_t[table_rows][Shape::bytes];

    alignas(64) Line entry[Shape::lines][entries];
    alignas(64) Columns columns;                // activations of one block, transposed
    alignas(64) Offsets offset[Shape::passes];  // of an entry's line, in bytes
    TableSums<Shape::tokens> sums[Shape::groups];
};

// Sixteen tokens' 16-bit sums in a register.
struct SixteenWords {
    using Value = __m256i;
    static constexpr int lanes = 16;

    static Value zero() { return _mm256_setzero_si256(); }
    static Value load(const std::int16_t* p) { return _mm256_load_si256(reinterpret_cast<const Value*>(p)); }
    static Value load_bytes(const std::int8_t* p) {
        return _mm256_cvtepi8_epi16(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
    }
    static void store(std::int16_t* p, Value v) { _mm256_store_si256(reinterpret_cast<Value*>(p), v); }
    static Value add(Value a, Value b) { return _mm256_add_epi16(a, b); }
    static Value sub(Value a, Value b) { return _mm256_sub_epi16(a, b); }
    static Value add_saturated(Value a, Value b) { return _mm256_adds_epi16(a, b); }
    static Value magnitude(Value v) { return _mm256_abs_epi16(v); }
    static bool reaches_limit(Value v) {
        return _mm256_movemask_epi8(_mm256_cmpeq_epi16(v, _mm256_set1_epi16(32767))) != 0;
    }
};

// Thirty-two tokens' in two registers.  An entry fills a cache line; where it fills half of one, two loads of a cycle
// may collide in one bank of the L1 cache.
struct TwoSixteens {
    using One = SixteenWords;
    struct Value {
        One::Value first, second;
    };
    static constexpr int lanes = 2 * One::lanes;

    static Value zero() { return {One::zero(), One::zero()}; }
    static Value load(const std::int16_t* p) { return {One::load(p), One::load(p + One::lanes)}; }
    static Value load_bytes(const std::int8_t* p) {
        return {One::load_bytes(p), One::load_bytes(p + One::lanes)};
    }
    static void store(std::int16_t* p, Value v) {
        One::store(p, v.first);
        One::store(p + One::lanes, v.second);
    }
    static Value add(Value a, Value b) { return {One::add(a.first, b.first), One::add(a.second, b.second)}; }
    static Value sub(Value a, Value b) { return {One::sub(a.first, b.first), One::sub(a.second, b.second)}; }
    static Value add_saturated(Value a, Value b) {
        return {One::add_saturated(a.first, b.first), One::add_saturated(a.second, b.second)};
    }
    static Value magnitude(Value v) { return {One::magnitude(v.first), One::magnitude(v.second)}; }
    static bool reaches_limit(Value v) { return One::reaches_limit(v.first) || One::reaches_limit(v.second); }
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

template <int tokens>
void transpose_block(const Activations& x, int token, int block, std::int8_t (&columns)[block_i2_s][tokens]) {
    for (int half = 0; half < tokens; half += 16) {
        const std::int8_t* from = x.codes + (token + half) * x.stride + block * block_i2_s;
        for (int i = 0; i < block_i2_s; i += 16) transpose_16(from + i, x.stride, &columns[i][half], tokens);
    }
}

// All sums c0 v0 + c1 v1 + c2 v2 + c3 v3 with c in -1, 0, 1 for every token, at 27 c0 + 9 c1 + 3 c2 + c3 + 40.
// Returns the largest, |v0| + |v1| + |v2| + |v3|.
//
// byte   of the block's
// table  among those that share lines
template <typename W>
typename W::Value fill_entries(const typename Tables<W>::Columns& columns, int byte, int table,
                               typename Tables<W>::Line (&entry)[entries]) {
    using Value = typename W::Value;
    Value v[4];
    for (int i = 0; i < 4; ++i) v[i] = W::load_bytes(columns[byte + 32 * i]);
    Value x0 = W::sub(W::zero(), W::add(W::add(v[0], v[1]), W::add(v[2], v[3])));
    int at = 0;
    for (int c0 = 0; c0 < 3; ++c0, x0 = W::add(x0, v[0])) {
        Value x1 = x0;
        for (int c1 = 0; c1 < 3; ++c1, x1 = W::add(x1, v[1])) {
            Value x2 = x1;
            for (int c2 = 0; c2 < 3; ++c2, x2 = W::add(x2, v[2])) {
                Value x3 = x2;
                for (int c3 = 0; c3 < 3; ++c3, ++at, x3 = W::add(x3, v[3])) W::store(entry[at][table], x3);
            }
        }
    }
    return W::add(W::add(W::magnitude(v[0]), W::magnitude(v[1])),
                  W::add(W::magnitude(v[2]), W::magnitude(v[3])));
}

__m256i twice(__m128i x) { return _mm256_set_m128i(x, x); }

// Eight of the bytes as offsets of lines, the index times 64, for one pass or for two.
template <typename Offsets, int passes>
void store_offsets(__m128i eight_bytes, int eight, int row, Offsets (&offset)[passes]) {
    const __m128i offsets = _mm_slli_epi16(_mm_cvtepu8_epi16(eight_bytes), 6);
    if constexpr (passes == 4) {
        _mm_store_si128(reinterpret_cast<__m128i*>(offset[eight][row]), offsets);
    } else {
        static_assert(passes == 8);
        _mm_storel_epi64(reinterpret_cast<__m128i*>(offset[2 * eight][row]), offsets);
        _mm_storeh_pd(reinterpret_cast<double*>(offset[2 * eight + 1][row]), _mm_castsi128_pd(offsets));
    }
}

// Offsets of the entries that the bytes of every row's block ask for: rows lie far apart, so a visit should
// pay.  A byte's high four bits are c0, c1, its low ones c2, c3.
template <typename Offsets, int passes>
void find_offsets(const Rows& w, int row, int rows, int block, Offsets (&offset)[passes]) {
    const __m256i of_c01 = twice(_mm_setr_epi8(0, 9, 18, 0, 27, 36, 45, 0, 54, 63, 72, 0, 0, 0, 0, 0));
    const __m256i of_c23 = twice(_mm_setr_epi8(0, 1, 2, 0, 3, 4, 5, 0, 6, 7, 8, 0, 0, 0, 0, 0));
    const __m256i four_bits = _mm256_set1_epi8(15);
    const std::uint8_t* at = w.data + row * w.row_bytes + block * block_bytes;
    for (int r = 0; r < rows; ++r, at += w.row_bytes) {
        _mm_prefetch(at + 64, _MM_HINT_T1);
        const __m256i bytes = load(at);
        const __m256i c01 = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), four_bits);
        const __m256i c23 = _mm256_and_si256(bytes, four_bits);
        const __m256i index =
            _mm256_add_epi8(_mm256_shuffle_epi8(of_c01, c01), _mm256_shuffle_epi8(of_c23, c23));
        const __m128i low = _mm256_castsi256_si128(index), high = _mm256_extracti128_si256(index, 1);
        store_offsets(low, 0, r, offset);
        store_offsets(_mm_unpackhi_epi64(low, low), 1, r, offset);
        store_offsets(high, 2, r, offset);
        store_offsets(_mm_unpackhi_epi64(high, high), 3, r, offset);
    }
}

// Adds the entries of one pass to each row's part.
template <typename W>
void add_entries(const Tables<W>& tables, int rows, const typename Tables<W>::Offsets& offset,
                 std::int16_t (&part)[table_rows][W::lanes]) {
    using Shape = TableShape<W>;
    static_assert(sizeof tables.entry[0][0] == 1 << 6, "an offset is an index times 64");
    const char* entry = reinterpret_cast<const char*>(tables.entry);
#pragma GCC unroll 2
    for (int r = 0; r < rows; ++r) {
        typename W::Value sum = W::load(part[r]);
        for (int first = 0; first < Shape::bytes; first += 4) {
            std::uint64_t offsets;  // four in one load, as loads are what bounds this loop
            __builtin_memcpy(&offsets, &offset[r][first], sizeof offsets);
            for (int i = first; i < first + 4; ++i, offsets >>= 16) {
                const char* table = entry + i / Shape::tables_of_line * sizeof tables.entry[0] +
                                    i % Shape::tables_of_line * sizeof(typename W::Value);
                sum = W::add(sum, W::load(reinterpret_cast<const std::int16_t*>(table + (offsets & 0xffff))));
            }
        }
        W::store(part[r], sum);
    }
}

// Moves the 16-bit parts into the 32-bit totals.
template <int tokens>
void widen(int rows, TableSums<tokens>& sums) {
    for (int r = 0; r < rows; ++r) {
        for (int t = 0; t < tokens; t += 8) {
            const auto* part = reinterpret_cast<const __m128i*>(&sums.part[r][t]);
            auto* total = reinterpret_cast<__m256i*>(&sums.total[r][t]);
            const __m256i more = _mm256_cvtepi16_epi32(_mm_load_si128(part));
            _mm256_store_si256(total, _mm256_add_epi32(_mm256_load_si256(total), more));
        }
    }
    sums.clear_parts(rows);
}

// Makes room in the parts for sums as large as `more`, of each token.
template <typename W>
void make_room(int rows, typename W::Value more, TableSums<W::lanes>& sums) {
    if (W::reaches_limit(W::add_saturated(W::load(sums.largest), more))) widen(rows, sums);
    W::store(sums.largest, W::add(W::load(sums.largest), more));
}

template <typename W>
void add_pass(Tables<W>& tables, int rows, int pass, TableSums<W::lanes>& sums) {
    using Shape = TableShape<W>;
    typename W::Value largest = W::zero();  // at most 8 x 4 x 128
    for (int i = 0; i < Shape::bytes; ++i) {
        largest = W::add(largest,
                         fill_entries<W>(tables.columns, pass * Shape::bytes + i, i % Shape::tables_of_line,
                                         tables.entry[i / Shape::tables_of_line]));
    }
    make_room<W>(rows, largest, sums);
    add_entries<W>(tables, rows, tables.offset[pass], sums.part);
}

// Eight registers of eight: lane j of register i becomes lane i of register j.  Inlined even where two kernels call it,
// so that they stay registers.
[[gnu::always_inline]] inline void transpose_8(__m256i (&x)[8]) {
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

template <int tokens>
void scale_totals(const Rows& w, int row, int rows, const Activations& x, int token,
                  const std::int32_t (&total)[table_rows][tokens], float* out, std::size_t out_stride) {
    for (int r = 0; r < rows; r += 8) {
        for (int t = 0; t < tokens; t += 8) {
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

// Rows row .. row + rows - 1 for `groups` groups of a table's tokens.
template <typename W>
void multiply_by_tables(const Rows& w, int row, int rows, const Activations& x, int token, int groups,
                        float* out, std::size_t out_stride) {
    using Shape = TableShape<W>;
    Tables<W> tables;
    for (int g = 0; g < groups; ++g) tables.sums[g].clear(rows);
    for (int block = 0; block < w.cols / block_i2_s; ++block) {
        find_offsets(w, row, rows, block, tables.offset);
        for (int g = 0; g < groups; ++g) {
            transpose_block(x, token + g * Shape::tokens, block, tables.columns);
            for (int pass = 0; pass < Shape::passes; ++pass) add_pass<W>(tables, rows, pass, tables.sums[g]);
        }
    }
    for (int g = 0; g < groups; ++g) {
        widen(rows, tables.sums[g]);
        scale_totals(w, row, rows, x, token + g * Shape::tokens, tables.sums[g].total, out, out_stride);
    }
}

// The product for as many of the tokens as tables pay for; returns how many these are.
//
// fewest_rows  from which about they are faster than what else the kernel set has
template <typename W>
int multiply_by_tables_if_many(const Rows& w, const Activations& x, int fewest_rows, float* out,
                               std::size_t out_stride) {
    using Shape = TableShape<W>;
    int token = 0;
    while (w.rows >= fewest_rows && x.tokens - token >= Shape::tokens) {
        const int groups = smaller(Shape::groups, (x.tokens - token) / Shape::tokens);
        for (int row = 0; row < w.rows; row += table_rows) {
            multiply_by_tables<W>(w, row, smaller(table_rows, w.rows - row), x, token, groups, out,
                                  out_stride);
        }
        token += groups * Shape::tokens;
    }
    return token;
}

void multiply_i2_s(const Rows& w, const Activations& x, float* out, std::size_t out_stride) {
    const int done = multiply_by_tables_if_many<TwoSixteens>(w, x, 256, out, out_stride);
    if (done == x.tokens) return;
    const Activations rest = part_of(x, w.cols, done, x.tokens - done);
    if (rest.tokens == 1)
        return cover_in_streams<OneToken, 4>(w, in_stretches(rest, w.cols), out + done * out_stride);
    multiply<I2S, 4, 2, 4>(w, rest, out + done * out_stride, out_stride);
}

}  // namespace
}  // namespace bitnet::avx2
