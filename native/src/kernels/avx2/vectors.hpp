// The vector types of dense.hpp in registers of eight floats.
#pragma once

#include "activations.hpp"

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
    static Value load(const float* p) { return _mm256_loadu_ps(p); }
    static Value load_f16(const std::uint8_t* p) { return load_f16_8(p); }
    static Value load_bf16(const std::uint8_t* p) { return load_bf16_8(p); }
    static Value fma(Value a, Value b, Value sum) { return _mm256_fmadd_ps(a, b, sum); }
    static Value add(Value a, Value b) { return _mm256_add_ps(a, b); }
    static float add_lanes_of_dot(Value v) { return add_lanes_as_pairs(v); }
    static float add_lanes_by_halves(Value v) { return add_lanes_as_halves(v); }

    template <int n>
    static void add_lanes_of_dots(const Value* lane, float (&sums)[n]) {
        if constexpr (n == 6) return add_lanes_of_six(lane, sums);
        for (int i = 0; i < n; ++i) sums[i] = add_lanes_as_pairs(lane[i]);
    }

    // Six sums at once, each as add_lanes_as_pairs.
    [[gnu::always_inline]] static void add_lanes_of_six(const Value* lane, float (&sums)[6]) {
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

    template <int n>
    static void add_lanes_of_dots(const Value* lane, float (&sums)[n]) {
        for (int i = 0; i < n; ++i) sums[i] = add_lanes_by_halves(lane[i]);
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
