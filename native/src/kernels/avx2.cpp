// AVX2, FMA and F16C.  This file alone is compiled for them, so it includes no header with inline functions that
// the linker could pick for the rest of the program.

#include "sets.hpp"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include <immintrin.h>
#include <math.h>

#include "tiling.hpp"

namespace bitnet::avx2 {
namespace {

constexpr int lanes = 8;

// Reductions ---------------------------------------------------------------------------------------------------

__m128 add_halves(__m256 v) { return _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1)); }

float add_lanes_as_pairs(__m256 v) {
    const __m128 pairs = _mm_hadd_ps(add_halves(v), add_halves(v));
    return _mm_cvtss_f32(_mm_hadd_ps(pairs, pairs));
}

float add_lanes_as_halves(__m256 v) {
    const __m128 four = add_halves(v);
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

float largest_lane(__m256 v) {
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
}

std::int32_t add_lanes(__m256i v) {
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
}

// Conversions and quantisation ---------------------------------------------------------------------------------

__m256 magnitude(__m256 x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }

// Round half to even for |x| < 2^22, zero for NaN: ggml's trick of adding 1.5 * 2^23.
__m256i nearest(__m256 x) {
    const __m256i bits = _mm256_castps_si256(_mm256_add_ps(x, _mm256_set1_ps(12582912.0f)));
    return _mm256_sub_epi32(_mm256_and_si256(bits, _mm256_set1_epi32(0x007fffff)), _mm256_set1_epi32(0x00400000));
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

float largest_magnitude(const float* x, int n) {
    __m256 largest = _mm256_setzero_ps();
    int i = 0;
    for (; i + lanes <= n; i += lanes) largest = _mm256_max_ps(magnitude(_mm256_loadu_ps(x + i)), largest);
    float result = largest_lane(largest);
    for (; i < n; ++i) result = fabsf(x[i]) > result ? fabsf(x[i]) : result;
    return result;
}

__m256i add_bytes_in_fours(__m256i bytes) {
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes);
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

void quantize_i8(const float* x, int n, std::int8_t* codes, float* scale, std::int32_t* sum) {
    const double largest = largest_magnitude(x, n);
    *scale = float(127.0 / (largest > 1e-5 ? largest : 1e-5));
    __m256i sums = _mm256_setzero_si256();
    int i = 0;
    for (; i + 32 <= n; i += 32) {
        const __m256i bytes = codes_of_32(x + i, _mm256_set1_ps(*scale));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes + i), bytes);
        sums = _mm256_add_epi32(sums, add_bytes_in_fours(bytes));
    }
    *sum = add_lanes(sums);
    for (; i < n; ++i) {
        const int code = nearest_one(x[i] * *scale);
        codes[i] = std::int8_t(code < -128 ? -128 : smaller(code, 127));
        *sum += codes[i];
    }
}

// The value of largest magnitude, the first one when several share it; 0 when there is none.
float first_largest(const float* x, int n) {
    const float largest = largest_magnitude(x, n);
    for (int i = 0; i < n; i += lanes) {
        const __m256 equal = _mm256_cmp_ps(magnitude(_mm256_loadu_ps(x + i)), _mm256_set1_ps(largest), _CMP_EQ_OQ);
        const int mask = _mm256_movemask_ps(equal);
        if (mask) return x[i + __builtin_ctz(unsigned(mask))];
    }
    return 0.0f;
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

void quantize_q8_k(const float* x, int n, std::int8_t* codes, float* scales, std::int16_t* block_sums) {
    for (int i = 0; i < n; i += block_q8_k) {
        const float largest = first_largest(x + i, block_q8_k);
        const float inverse = largest == 0.0f ? 0.0f : -127.0f / largest;
        scales[i / block_q8_k] = largest == 0.0f ? 0.0f : 1.0f / inverse;
        const float factor = __builtin_isinf(inverse) ? 0.0f : inverse;  // so tiny a block that ggml's codes wrap to 0
        for (int j = i; j < i + block_q8_k; j += 32) {
            const __m256i bytes = codes_of_32(x + j, _mm256_set1_ps(factor));
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes + j), bytes);
            sum_sixteens(bytes, block_sums + j / 16);
        }
    }
}

float float_of(std::uint16_t half) { return _cvtsh_ss(half); }

void to_f16(const float* x, int n, std::uint16_t* out) {
    int i = 0;
    for (; i + lanes <= n; i += lanes) {
        const __m128i half = _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), half);
    }
    for (; i < n; ++i) out[i] = _cvtss_sh(x[i], _MM_FROUND_TO_NEAREST_INT);
}

void from_f16(const std::uint16_t* x, int n, float* out) {
    int i = 0;
    for (; i + lanes <= n; i += lanes) {
        const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + i));
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(half));
    }
    for (; i < n; ++i) out[i] = float_of(x[i]);
}

void round_to_f16(const float* x, int n, float* out) {
    int i = 0;
    for (; i + lanes <= n; i += lanes) {
        const __m128i half = _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT);
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(half));
    }
    for (; i < n; ++i) out[i] = float_of(_cvtss_sh(x[i], _MM_FROUND_TO_NEAREST_INT));
}

__m256 rounded_to_bf16(__m256 x) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i nearest = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(64 << 16));
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    const __m256i chosen = _mm256_blendv_epi8(nearest, quiet, is_nan);
    return _mm256_castsi256_ps(_mm256_and_si256(chosen, _mm256_set1_epi32(int(0xffff0000u))));
}

void round_to_bf16(const float* x, int n, float* out) {
    int i = 0;
    for (; i + lanes <= n; i += lanes) _mm256_storeu_ps(out + i, rounded_to_bf16(_mm256_loadu_ps(x + i)));
    for (; i < n; ++i) out[i] = _mm256_cvtss_f32(rounded_to_bf16(_mm256_set1_ps(x[i])));
}

// Ternary matmuls ----------------------------------------------------------------------------------------------

__m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

__m256i two_bits(__m256i packed, int shift) {
    return _mm256_and_si256(_mm256_srli_epi16(packed, shift), _mm256_set1_epi8(3));
}

// maddubs adds two products of a code (0..2) and an int8: at most 512 in magnitude.  63 of them fit in int16.
constexpr int blocks_before_widening = 15;  // of four each

template <int R, int T>
struct I2S {
    static void run(const Rows& w, int row, const Activations& x, int token, float* out, std::size_t out_stride) {
        const std::uint8_t* packed[R];
        const std::int8_t* codes[T];
        __m256i total[T][R];
        for (int r = 0; r < R; ++r) packed[r] = w.data + (row + r) * w.row_bytes;
        for (int t = 0; t < T; ++t) codes[t] = x.codes + (token + t) * x.stride;
        for (int t = 0; t < T; ++t) {
            for (int r = 0; r < R; ++r) total[t][r] = _mm256_setzero_si256();
        }
        const int blocks = w.cols / block_i2_s;
        for (int block = 0; block < blocks; block += blocks_before_widening) {
            add_blocks(packed, codes, block, smaller(block + blocks_before_widening, blocks), total);
        }
        for (int t = 0; t < T; ++t) {
            const float sum = float(x.sums[token + t]), scale = x.scales[token + t];
            float* result = out + (token + t) * out_stride + row;
            for (int r = 0; r < R; ++r) result[r] = (float(add_lanes(total[t][r])) - sum) / scale * w.scale;
        }
    }

    static void add_blocks(const std::uint8_t* const (&packed)[R], const std::int8_t* const (&codes)[T], int block,
                           int end, __m256i (&total)[T][R]) {
        __m256i part[T][R];
        for (int t = 0; t < T; ++t) {
            for (int r = 0; r < R; ++r) part[t][r] = _mm256_setzero_si256();
        }
        for (; block < end; ++block) {
            __m256i bytes[R];
            for (int r = 0; r < R; ++r) bytes[r] = load(packed[r] + block * 32);
#pragma GCC unroll 4
            for (int group = 0; group < 4; ++group) {
                __m256i weights[R];
                for (int r = 0; r < R; ++r) weights[r] = two_bits(bytes[r], 6 - 2 * group);
                for (int t = 0; t < T; ++t) {
                    const __m256i values = load(codes[t] + block * block_i2_s + group * 32);
                    for (int r = 0; r < R; ++r) {
                        part[t][r] = _mm256_add_epi16(part[t][r], _mm256_maddubs_epi16(weights[r], values));
                    }
                }
            }
        }
        for (int t = 0; t < T; ++t) {
            for (int r = 0; r < R; ++r) {
                total[t][r] = _mm256_add_epi32(total[t][r], _mm256_madd_epi16(part[t][r], _mm256_set1_epi16(1)));
            }
        }
    }
};

// The digit above 8 bits of 3 * byte, for all bytes: 0, 1 or 2.
__m256i top_digit(__m256i bytes) {
    const __m256i even = _mm256_and_si256(bytes, _mm256_set1_epi16(0xff));
    const __m256i odd = _mm256_srli_epi16(bytes, 8);
    const __m256i three = _mm256_set1_epi16(3);
    const __m256i even_digit = _mm256_srli_epi16(_mm256_mullo_epi16(even, three), 8);
    const __m256i odd_digit = _mm256_andnot_si256(_mm256_set1_epi16(0xff), _mm256_mullo_epi16(odd, three));
    return _mm256_or_si256(even_digit, odd_digit);
}

__m256i triple(__m256i bytes) { return _mm256_add_epi8(bytes, _mm256_add_epi8(bytes, bytes)); }

// Eight registers of 32 codes each, in the order of the elements.
struct Tq1 {
    static constexpr int bytes = tq1_0_bytes;

    static void unpack(const std::uint8_t* block, __m256i (&codes)[8]) {
        __m256i fives = load(block);
        for (int digit = 0; digit < 5; ++digit, fives = triple(fives)) codes[digit] = top_digit(fives);
        const __m128i x0 = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 32));
        const __m128i x1 = _mm_add_epi8(x0, _mm_add_epi8(x0, x0));
        const __m128i x2 = _mm_add_epi8(x1, _mm_add_epi8(x1, x1));
        const __m128i x3 = _mm_add_epi8(x2, _mm_add_epi8(x2, x2));
        const __m128i x4 = _mm_add_epi8(x3, _mm_add_epi8(x3, x3));
        codes[5] = top_digit(_mm256_set_m128i(x1, x0));
        codes[6] = top_digit(_mm256_set_m128i(x3, x2));
        codes[7] = top_digit(_mm256_set_m128i(fours(block + 48), x4));
    }

    // Four bytes times 1, 3, 9, 27.
    static __m128i fours(const std::uint8_t* p) {
        const std::uint32_t x = p[0] | p[1] << 8 | p[2] << 16 | std::uint32_t(p[3]) << 24;
        const __m256i wide = _mm256_cvtepu8_epi16(_mm_set1_epi32(int(x)));
        const __m256i powers = _mm256_setr_epi16(1, 1, 1, 1, 3, 3, 3, 3, 9, 9, 9, 9, 27, 27, 27, 27);
        const __m256i products = _mm256_and_si256(_mm256_mullo_epi16(wide, powers), _mm256_set1_epi16(0xff));
        return _mm_packus_epi16(_mm256_castsi256_si128(products), _mm256_extracti128_si256(products, 1));
    }
};

struct Tq2 {
    static constexpr int bytes = tq2_0_bytes;

    static void unpack(const std::uint8_t* block, __m256i (&codes)[8]) {
        for (int half = 0; half < 2; ++half) {
            const __m256i packed = load(block + 32 * half);
            for (int group = 0; group < 4; ++group) codes[4 * half + group] = two_bits(packed, 2 * group);
        }
    }
};

template <typename Packing, bool is_fused>
struct Q8K {
    template <int R, int T>
    struct Tile {
        static void run(const Rows& w, int row, const Activations& x, int token, float* out, std::size_t out_stride) {
            const int blocks = w.cols / block_q8_k;
            __m256 sum[R][T];
            for (int r = 0; r < R; ++r) {
                for (int t = 0; t < T; ++t) sum[r][t] = _mm256_setzero_ps();
            }
            for (int block = 0; block < blocks; ++block) {
                for (int r = 0; r < R; ++r) {
                    add_block(w.data + (row + r) * w.row_bytes + block * Packing::bytes, x, token, block, blocks, sum[r]);
                }
            }
            for (int r = 0; r < R; ++r) {
                for (int t = 0; t < T; ++t) out[(token + t) * out_stride + row + r] = add_lanes_as_halves(sum[r][t]);
            }
        }

        static void add_block(const std::uint8_t* packed, const Activations& x, int token, int block, int blocks,
                              __m256 (&sum)[T]) {
            __m256i weights[8];
            Packing::unpack(packed, weights);
            const std::uint8_t* tail = packed + Packing::bytes - 2;
            const float weight_scale = float_of(std::uint16_t(tail[0] | tail[1] << 8));
            for (int t = 0; t < T; ++t) {
                const std::int8_t* codes = x.codes + (token + t) * x.stride + block * block_q8_k;
                __m256i part = _mm256_sub_epi16(_mm256_setzero_si256(),
                                                load(x.block_sums + ((token + t) * blocks + block) * 16));
                for (int g = 0; g < 8; ++g) {
                    part = _mm256_add_epi16(part, _mm256_maddubs_epi16(weights[g], load(codes + 32 * g)));
                }
                const __m256 fours = _mm256_cvtepi32_ps(_mm256_madd_epi16(part, _mm256_set1_epi16(1)));
                const float scale = x.scales[(token + t) * blocks + block] * weight_scale;
                sum[t] = is_fused ? _mm256_fmadd_ps(fours, _mm256_set1_ps(scale), sum[t])
                                  : _mm256_add_ps(_mm256_mul_ps(fours, _mm256_set1_ps(scale)), sum[t]);
            }
        }
    };
};

// Float matmuls ------------------------------------------------------------------------------------------------

struct F32 {
    static constexpr int bytes = 4;
    static __m256 load8(const std::uint8_t* p) { return _mm256_loadu_ps(reinterpret_cast<const float*>(p)); }
    static float load1(const std::uint8_t* p) { return _mm_cvtss_f32(_mm_castsi128_ps(_mm_loadu_si32(p))); }
    static float finish(__m256 lane, const std::uint8_t* rest, const float* x, int n) {
        float sum = add_lanes_as_pairs(lane);
        for (int i = 0; i < n; ++i) sum = fmaf(load1(rest + i * bytes), x[i], sum);
        return sum;
    }
};

template <typename Weight>
float add_rest_in_double(float start, const std::uint8_t* rest, const float* x, int n) {
    double sum = start;
    for (int i = 0; i < n; ++i) sum += double(Weight::load1(rest + i * Weight::bytes) * x[i]);
    return float(sum);
}

struct F16 {
    static constexpr int bytes = 2;
    static __m256 load8(const std::uint8_t* p) {
        return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    }
    static float load1(const std::uint8_t* p) { return float_of(std::uint16_t(p[0] | p[1] << 8)); }
    static float finish(__m256 lane, const std::uint8_t* rest, const float* x, int n) {
        return add_rest_in_double<F16>(add_lanes_as_pairs(lane), rest, x, n);
    }
};

struct BF16 {
    static constexpr int bytes = 2;
    static __m256 load8(const std::uint8_t* p) {
        const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
        return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
    }
    static float load1(const std::uint8_t* p) {
        return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128((p[0] | p[1] << 8) << 16)));
    }
    static float finish(__m256 lane, const std::uint8_t* rest, const float* x, int n) {
        return add_rest_in_double<BF16>(add_lanes_as_halves(lane), rest, x, n);
    }
};

template <typename Weight>
struct InFour {
    template <int R, int T>
    struct Tile {
        static void run(const Rows& w, int row, const Activations& x, int token, float* out, std::size_t out_stride) {
            const std::uint8_t* weights[R];
            const float* values[T];
            __m256 sum[R][T][4];
            for (int r = 0; r < R; ++r) weights[r] = w.data + (row + r) * w.row_bytes;
            for (int t = 0; t < T; ++t) values[t] = x.f32 + (token + t) * x.stride;
            for (int r = 0; r < R; ++r) {
                for (int t = 0; t < T; ++t) {
                    for (int a = 0; a < 4; ++a) sum[r][t][a] = _mm256_setzero_ps();
                }
            }
            const int whole = w.cols / 32 * 32;
            for (int i = 0; i < whole; i += 32) {
                for (int a = 0; a < 4; ++a) {
                    for (int r = 0; r < R; ++r) {
                        const __m256 weight = Weight::load8(weights[r] + (i + 8 * a) * Weight::bytes);
                        for (int t = 0; t < T; ++t) {
                            sum[r][t][a] = _mm256_fmadd_ps(weight, _mm256_loadu_ps(values[t] + i + 8 * a), sum[r][t][a]);
                        }
                    }
                }
            }
            for (int r = 0; r < R; ++r) {
                for (int t = 0; t < T; ++t) {
                    const __m256(&s)[4] = sum[r][t];
                    const __m256 lane = _mm256_add_ps(_mm256_add_ps(s[0], s[2]), _mm256_add_ps(s[1], s[3]));
                    out[(token + t) * out_stride + row + r] =
                        Weight::finish(lane, weights[r] + whole * Weight::bytes, values[t] + whole, w.cols - whole);
                }
            }
        }
    };
};

template <typename Weight>
struct InOne {
    template <int R, int T>
    struct Tile {
        static void run(const Rows& w, int row, const Activations& x, int token, float* out, std::size_t out_stride) {
            const std::uint8_t* weights[R];
            const float* values[T];
            __m256 sum[R][T];
            for (int r = 0; r < R; ++r) weights[r] = w.data + (row + r) * w.row_bytes;
            for (int t = 0; t < T; ++t) values[t] = x.f32 + (token + t) * x.stride;
            for (int r = 0; r < R; ++r) {
                for (int t = 0; t < T; ++t) sum[r][t] = _mm256_setzero_ps();
            }
            for (int i = 0; i < w.cols; i += lanes) {
                __m256 value[T];
                for (int t = 0; t < T; ++t) value[t] = _mm256_loadu_ps(values[t] + i);
                for (int r = 0; r < R; ++r) {
                    const __m256 weight = Weight::load8(weights[r] + i * Weight::bytes);
                    for (int t = 0; t < T; ++t) sum[r][t] = _mm256_fmadd_ps(weight, value[t], sum[r][t]);
                }
            }
            for (int r = 0; r < R; ++r) {
                for (int t = 0; t < T; ++t) out[(token + t) * out_stride + row + r] = add_lanes_as_halves(sum[r][t]);
            }
        }
    };
};

// Element-wise -------------------------------------------------------------------------------------------------

void rms_norm(const float* x, const float* weight, int n, float eps, float* out) {
    double sum = 0.0;
    int i = 0;
    for (; i + lanes <= n; i += lanes) {
        float squares[lanes];
        _mm256_storeu_ps(squares, _mm256_mul_ps(_mm256_loadu_ps(x + i), _mm256_loadu_ps(x + i)));
        for (int l = 0; l < lanes; ++l) sum += double(squares[l]);
    }
    for (; i < n; ++i) sum += double(x[i] * x[i]);
    const float mean = float(sum / n);
    const float scale = 1.0f / sqrtf(mean + eps);
    for (i = 0; i + lanes <= n; i += lanes) {
        const __m256 scaled = _mm256_mul_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(scale));
        _mm256_storeu_ps(out + i, _mm256_mul_ps(scaled, _mm256_loadu_ps(weight + i)));
    }
    for (; i < n; ++i) out[i] = x[i] * scale * weight[i];
}

__m256 select(__m256 mask, __m256 if_set, __m256 if_not) { return _mm256_blendv_ps(if_not, if_set, mask); }

// As portable::exp_by_polynomial; the branch skips the case of results near or beyond the float range.
__m256 exp_by_polynomial(__m256 x) {
    const __m256 shift = _mm256_set1_ps(0x1.8p23f);
    const __m256 z = _mm256_fmadd_ps(x, _mm256_set1_ps(0x1.715476p+0f), shift);
    const __m256 n = _mm256_sub_ps(z, shift);
    const __m256 high = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.62e4p-1f), x);
    const __m256 b = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.7f7d1cp-20f), high);
    const __m256i e = _mm256_slli_epi32(_mm256_castps_si256(z), 23);
    const __m256 k = _mm256_castsi256_ps(_mm256_add_epi32(e, _mm256_set1_epi32(0x3f800000)));
    const __m256 u = _mm256_mul_ps(b, b);
    const __m256 upper = _mm256_fmadd_ps(_mm256_set1_ps(0x1.0e4020p-7f), b, _mm256_set1_ps(0x1.573e2ep-5f));
    const __m256 lower = _mm256_fmadd_ps(_mm256_set1_ps(0x1.555e66p-3f), b, _mm256_set1_ps(0x1.fffdb6p-2f));
    const __m256 linear = _mm256_mul_ps(_mm256_set1_ps(0x1.ffffecp-1f), b);
    const __m256 p = _mm256_fmadd_ps(_mm256_fmadd_ps(upper, u, lower), u, linear);
    const __m256 usual = _mm256_fmadd_ps(k, p, k);
    const __m256 is_large = _mm256_cmp_ps(magnitude(n), _mm256_set1_ps(126.0f), _CMP_GT_OQ);
    if (!_mm256_movemask_ps(is_large)) return usual;

    const __m256 is_negative = _mm256_cmp_ps(n, _mm256_setzero_ps(), _CMP_LE_OQ);
    const __m256i g = _mm256_and_si256(_mm256_castps_si256(is_negative), _mm256_set1_epi32(int(0x82000000u)));
    const __m256 s1 = _mm256_castsi256_ps(_mm256_add_epi32(g, _mm256_set1_epi32(0x7f000000)));
    const __m256 s2 = _mm256_castsi256_ps(_mm256_sub_epi32(e, g));
    const __m256 is_beyond = _mm256_cmp_ps(magnitude(n), _mm256_set1_ps(192.0f), _CMP_GT_OQ);
    const __m256 large = _mm256_mul_ps(_mm256_fmadd_ps(s2, p, s2), s1);
    return select(is_beyond, _mm256_mul_ps(s1, s1), select(is_large, large, usual));
}

void softmax(float* row, int n, float scale) {
    __m256 largest = _mm256_set1_ps(-__builtin_inff());
    for (int i = 0; i < n; i += lanes) {
        const __m256 scaled = _mm256_mul_ps(_mm256_loadu_ps(row + i), _mm256_set1_ps(scale));
        _mm256_storeu_ps(row + i, scaled);
        largest = _mm256_max_ps(scaled, largest);
    }
    const __m256 top = _mm256_set1_ps(largest_lane(largest));
    double sum = 0.0;
    for (int i = 0; i < n; i += lanes) {
        const __m256 value = exp_by_polynomial(_mm256_sub_ps(_mm256_loadu_ps(row + i), top));
        _mm256_storeu_ps(row + i, value);
        sum += double(add_lanes_as_halves(value));
    }
    const __m256 inverse = _mm256_set1_ps(float(1.0 / sum));
    for (int i = 0; i < n; i += lanes) _mm256_storeu_ps(row + i, _mm256_mul_ps(_mm256_loadu_ps(row + i), inverse));
}

void silu_mul(const float* gate, const float* up, int n, float* out) {
    const __m256 one = _mm256_set1_ps(1.0f);
    int i = 0;
    for (; i + lanes <= n; i += lanes) {
        const __m256 x = _mm256_loadu_ps(gate + i);
        const __m256 decay = exp_by_polynomial(_mm256_sub_ps(_mm256_setzero_ps(), x));
        const __m256 silu = _mm256_div_ps(x, _mm256_add_ps(one, decay));
        _mm256_storeu_ps(out + i, _mm256_mul_ps(silu, _mm256_loadu_ps(up + i)));
    }
    for (; i < n; ++i) out[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
}

void relu2_mul(const float* gate, const float* up, int n, float* out) {
    int i = 0;
    for (; i + lanes <= n; i += lanes) {
        const __m256 positive = _mm256_max_ps(_mm256_loadu_ps(gate + i), _mm256_setzero_ps());
        _mm256_storeu_ps(out + i, _mm256_mul_ps(_mm256_mul_ps(positive, positive), _mm256_loadu_ps(up + i)));
    }
    for (; i < n; ++i) {
        const float positive = gate[i] > 0.0f ? gate[i] : 0.0f;
        out[i] = positive * positive * up[i];
    }
}

void add(const float* x, const float* y, int n, float* out) {
    int i = 0;
    for (; i + lanes <= n; i += lanes) {
        _mm256_storeu_ps(out + i, _mm256_add_ps(_mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i)));
    }
    for (; i < n; ++i) out[i] = x[i] + y[i];
}

void rotate(float* x, const float* cos, const float* sin, int n_pairs, int step, int distance) {
    int i = 0;
    for (; step == 1 && i + lanes <= n_pairs; i += lanes) {
        const __m256 x0 = _mm256_loadu_ps(x + i), x1 = _mm256_loadu_ps(x + i + distance);
        const __m256 c = _mm256_loadu_ps(cos + i), s = _mm256_loadu_ps(sin + i);
        _mm256_storeu_ps(x + i, _mm256_fmsub_ps(x0, c, _mm256_mul_ps(x1, s)));
        _mm256_storeu_ps(x + i + distance, _mm256_fmadd_ps(x0, s, _mm256_mul_ps(x1, c)));
    }
    for (; i < n_pairs; ++i) {
        const float x0 = x[i * step], x1 = x[i * step + distance];
        x[i * step] = fmaf(x0, cos[i], -(x1 * sin[i]));
        x[i * step + distance] = fmaf(x0, sin[i], x1 * cos[i]);
    }
}

bool runs_here() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

}  // namespace

const KernelSet kernels{
    .name = "avx2",
    .isa = "avx2+fma+f16c",
    .runs_here = runs_here,
    .quantize_i8 = quantize_i8,
    .quantize_q8_k = quantize_q8_k,
    .to_f16 = to_f16,
    .from_f16 = from_f16,
    .round_to_f16 = round_to_f16,
    .round_to_bf16 = round_to_bf16,
    .i2_s = multiply<I2S, 4, 2, 4>,
    .tq1_0 = multiply<Q8K<Tq1, true>::Tile, 2, 1, 4>,
    .tq2_0 = multiply<Q8K<Tq2, true>::Tile, 2, 1, 4>,
    .tq1_0_apart = multiply<Q8K<Tq1, false>::Tile, 2, 1, 4>,
    .tq2_0_apart = multiply<Q8K<Tq2, false>::Tile, 2, 1, 4>,
    .f32_dot = multiply<InFour<F32>::Tile, 2, 1, 2>,
    .f32_tile = multiply<InOne<F32>::Tile, 4, 4, 3>,
    .f16_dot = multiply<InFour<F16>::Tile, 2, 1, 2>,
    .f16_tile = multiply<InOne<F16>::Tile, 4, 4, 3>,
    .bf16_dot = multiply<InFour<BF16>::Tile, 2, 1, 2>,
    .bf16_tile = multiply<InOne<BF16>::Tile, 4, 4, 3>,
    .rms_norm = rms_norm,
    .softmax = softmax,
    .silu_mul = silu_mul,
    .relu2_mul = relu2_mul,
    .add = add,
    .rotate = rotate,
};

}  // namespace bitnet::avx2

#endif
