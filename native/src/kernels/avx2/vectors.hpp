// The vector types of dense.hpp in registers of eight floats; Eight is also that of elementwise.hpp and activations.hpp.
#pragma once

#include "rounding.hpp"

namespace bitnet::avx2 {
namespace {

__m256 load_f16_8(const std::uint8_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

__m256 load_bf16_8(const std::uint8_t* p) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

// The eight lanes of AVX2 builds.
struct Eight {
    using Value = __m256;
    static constexpr int lanes = 8;

    static Value zero() { return _mm256_setzero_ps(); }
    static Value splat(float x) { return _mm256_set1_ps(x); }
    static Value load(const float* p) { return _mm256_loadu_ps(p); }
    static void store(float* p, Value v) { _mm256_storeu_ps(p, v); }
    static void store_f16(std::uint16_t* p, Value v) {
        const __m128i halves = _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p), halves);
    }
    static Value load_f16(const std::uint8_t* p) { return load_f16_8(p); }
    static Value load_bf16(const std::uint8_t* p) { return load_bf16_8(p); }
    static Value fma(Value a, Value b, Value sum) { return _mm256_fmadd_ps(a, b, sum); }
    static Value fmsub(Value a, Value b, Value c) { return _mm256_fmsub_ps(a, b, c); }
    static Value add(Value a, Value b) { return _mm256_add_ps(a, b); }
    static Value mul(Value a, Value b) { return _mm256_mul_ps(a, b); }
    static Value max(Value a, Value b) { return _mm256_max_ps(a, b); }  // b if one of them is NaN
    static Value magnitude(Value v) { return avx2::magnitude(v); }
    static float largest_lane(Value v) { return avx2::largest_lane(v); }
    static unsigned where_equal(Value a, Value b) {
        return unsigned(_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_EQ_OQ)));
    }
    static Value rounded_to_bf16(Value v) { return avx2::rounded_to_bf16(v); }
    static float add_lanes_of_dot(Value v) { return add_lanes_as_pairs(v); }
    static float add_lanes_by_halves(Value v) { return add_lanes_as_halves(v); }

    struct Doubles {
        __m256d low, high;
    };
    static Doubles no_doubles() { return {_mm256_setzero_pd(), _mm256_setzero_pd()}; }
    static Doubles add(Doubles sum, Value v) {
        return {_mm256_add_pd(sum.low, _mm256_cvtps_pd(_mm256_castps256_ps128(v))),
                _mm256_add_pd(sum.high, _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1)))};
    }
    static double add_lanes(Doubles sum) {
        alignas(32) double part[4];
        _mm256_store_pd(part, _mm256_add_pd(sum.low, sum.high));
        return (part[0] + part[1]) + (part[2] + part[3]);
    }

    using Bytes = __m256i;
    static constexpr int codes = 32;  // in one
    static Bytes codes_of(const float* x, Value scale) { return codes_of_32(x, scale); }
    static std::int8_t code_of(float scaled) {
        const int code = nearest_one(scaled);
        return std::int8_t(code < -128 ? -128 : code > 127 ? 127 : code);
    }
    static void store(std::int8_t* p, Bytes b) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), b); }
    static __m256i no_sums() { return _mm256_setzero_si256(); }
    static __m256i add_fours(__m256i sums, Bytes b) { return _mm256_add_epi32(sums, add_bytes_in_fours(b)); }
    static int add_lanes(__m256i sums) { return avx2::add_lanes(sums); }
    static void sum_sixteens(Bytes b, std::int16_t* sums) { avx2::sum_sixteens(b, sums); }

    template <int R, int T>
    static void add_lanes_of_dots(const Value (&lane)[R][T], float (&sums)[R][T]) {
        if constexpr (R * T % 6 == 0) {
#pragma GCC unroll 2
            for (int i = 0; i < R * T; i += 6) add_lanes_of_six(lane[0] + i, sums[0] + i);
            return;
        }
        for (int i = 0; i < R * T; ++i) sums[i / T][i % T] = add_lanes_as_pairs(lane[i / T][i % T]);
    }

    // Six sums at once, each as add_lanes_as_pairs.
    [[gnu::always_inline]] static void add_lanes_of_six(const Value* lane, float* sums) {
        __m256 four[3];  // the low half for an even one, the high half for the odd one behind it
        for (int i = 0; i < 3; ++i) {
            four[i] = _mm256_add_ps(_mm256_permute2f128_ps(lane[2 * i], lane[2 * i + 1], 0x20),
                                    _mm256_permute2f128_ps(lane[2 * i], lane[2 * i + 1], 0x31));
        }
        alignas(32) float pairs[8];
        _mm256_store_ps(pairs,
                        _mm256_hadd_ps(_mm256_hadd_ps(four[0], four[1]), _mm256_hadd_ps(four[2], four[2])));
        for (int i = 0; i < 6; ++i) sums[i] = pairs[i % 2 * 4 + i / 2];
    }
};

// The sixteen lanes of AVX-512 builds, in two registers.
struct TwoEights {
    struct Value {
        __m256 low, high;
    };
    struct Pairs {
        Value even, odd;
    };
    static constexpr int lanes = 16;

    static Value zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
    static Value load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
    static Value load_f16(const std::uint8_t* p) { return {load_f16_8(p), load_f16_8(p + 16)}; }
    static Value load_bf16(const std::uint8_t* p) { return {load_bf16_8(p), load_bf16_8(p + 16)}; }
    static Value fma(Value a, Value b, Value sum) {
        return {_mm256_fmadd_ps(a.low, b.low, sum.low), _mm256_fmadd_ps(a.high, b.high, sum.high)};
    }
    static Value add(Value a, Value b) {
        return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
    }
    static float add_lanes_by_halves(Value v) { return add_lanes_as_halves(_mm256_add_ps(v.low, v.high)); }
    static float add_lanes_of_dot(Value v) { return add_lanes_by_halves(v); }

    template <int R, int T>
    static void add_lanes_of_dots(const Value (&lane)[R][T], float (&sums)[R][T]) {
        for (int i = 0; i < R * T; ++i) sums[i / T][i % T] = add_lanes_by_halves(lane[i / T][i % T]);
    }

    // Elements 2 l and 2 l + 1 of sixteen, for eight lanes.
    struct EightPairs {
        __m256 even, odd;
    };
    static EightPairs split(__m256 first, __m256 second) {
        const __m256i order = _mm256_setr_epi32(0, 1, 4, 5, 2, 3, 6, 7);
        return {_mm256_permutevar8x32_ps(_mm256_shuffle_ps(first, second, 0x88), order),
                _mm256_permutevar8x32_ps(_mm256_shuffle_ps(first, second, 0xdd), order)};
    }
    static Pairs load_pairs(const float* p) {
        const EightPairs low = split(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8));
        const EightPairs high = split(_mm256_loadu_ps(p + 16), _mm256_loadu_ps(p + 24));
        return {{low.even, high.even}, {low.odd, high.odd}};
    }
    static EightPairs load_8_bf16_pairs(const std::uint8_t* p) {
        const __m256i both = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
        const __m256i odd = _mm256_and_si256(both, _mm256_set1_epi32(int(0xffff0000u)));
        return {_mm256_castsi256_ps(_mm256_slli_epi32(both, 16)), _mm256_castsi256_ps(odd)};
    }
    static Pairs load_bf16_pairs(const std::uint8_t* p) {
        const EightPairs low = load_8_bf16_pairs(p), high = load_8_bf16_pairs(p + 32);
        return {{low.even, high.even}, {low.odd, high.odd}};
    }

    // As long as such an object lives, subnormal inputs and results of this thread's float operations are zero.
    class FlushSubnormals {
    public:
        FlushSubnormals() : saved_(_mm_getcsr()) {
            constexpr unsigned flush_to_zero = 0x8000, denormals_are_zero = 0x0040;
            _mm_setcsr(saved_ | flush_to_zero | denormals_are_zero);
        }
        ~FlushSubnormals() { _mm_setcsr(saved_); }
        FlushSubnormals(const FlushSubnormals&) = delete;
        FlushSubnormals& operator=(const FlushSubnormals&) = delete;

    private:
        unsigned saved_;
    };
};

}  // namespace
}  // namespace bitnet::avx2
