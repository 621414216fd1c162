// I2_S matmul of many tokens, by tables.
#pragma once

#include "../avx2/lookup.hpp"
#include "ternary.hpp"

namespace bitnet::avx512 {
namespace {

// The 16-bit sums of all tokens of a table.
struct ThirtyTwoWords {
    using Value = __m512i;
    static constexpr int lanes = 32;

    static Value zero() { return _mm512_setzero_si512(); }
    static Value load(const std::int16_t* p) { return _mm512_load_si512(p); }
    static Value load_bytes(const std::int8_t* p) {
        return _mm512_cvtepi8_epi16(_mm256_load_si256(reinterpret_cast<const __m256i*>(p)));
    }
    static void store(std::int16_t* p, Value v) { _mm512_store_si512(p, v); }
    static Value add(Value a, Value b) { return _mm512_add_epi16(a, b); }
    static Value sub(Value a, Value b) { return _mm512_sub_epi16(a, b); }
    static Value add_saturated(Value a, Value b) { return _mm512_adds_epi16(a, b); }
    static Value magnitude(Value v) { return _mm512_abs_epi16(v); }
    static bool reaches_limit(Value v) { return _mm512_cmpeq_epi16_mask(v, _mm512_set1_epi16(32767)) != 0; }
};

// W  has as many lanes as a table has tokens: ThirtyTwoWords, or SixteenWords of avx2 for CPUs on which a load of 64
//    bytes takes as long as two of 32: twice as many bytes of a row are looked up for each sum that is loaded and stored
template <typename W>
void multiply_i2_s(const Rows& w, const Activations& x, float* out, std::size_t out_stride) {
    const int done = avx2::multiply_by_tables_if_many<W>(w, x, 512, out, out_stride);
    if (done == x.tokens) return;
    const Activations rest = part_of(x, w.cols, done, x.tokens - done);
    multiply<I2S, 4, 4, 4>(w, rest, out + done * out_stride, out_stride);
}

}  // namespace
}  // namespace bitnet::avx512
