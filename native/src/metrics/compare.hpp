// All distances of a position in at most three sweeps over vectors that fit in the cache.
//
// The definition is compare/metrics.py of the harness; this computes the same formulas.  A file that includes
// this one compiles it for its own instruction set: everything is in an anonymous namespace, and nothing of
// the standard library is used that the linker could pick for the rest of the program.
#pragma once

#include <math.h>
#if defined(__FMA__)
#include <immintrin.h>
#endif

#include <cstdint>

#include "bitnet/metrics.hpp"

namespace bitnet {
namespace {

// Vectors of the compiler: it splits them where registers are shorter.
using Four = double __attribute__((vector_size(32)));
using FourFloats = float __attribute__((vector_size(16)));
using FourIntegers = std::int64_t __attribute__((vector_size(32)));

template <typename V>
struct Integers {
    using type = FourIntegers;
};
template <>
struct Integers<double> {
    using type = std::int64_t;
};

constexpr double infinity = __builtin_inf();

Four load(const float* p) {
    FourFloats values;
    __builtin_memcpy(&values, p, sizeof values);
    return __builtin_convertvector(values, Four);
}

// What a sweep keeps of an element for the next one.
void store(double* p, Four v) { __builtin_memcpy(p, &v, sizeof v); }
void store(double* p, double v) { *p = v; }
void restore(const double* p, Four& v) { __builtin_memcpy(&v, p, sizeof v); }
void restore(const double* p, double& v) { v = *p; }

template <typename V>
V larger(V x, V y) {
    return x > y ? x : y;
}

template <typename V>
V smaller(V x, V y) {
    return x < y ? x : y;
}

// x * y + z; rounded once where the instruction exists, which is half of the arithmetic here.
double fused(double x, double y, double z) {
#if defined(__FMA__)
    return fma(x, y, z);
#else
    return x * y + z;
#endif
}

Four fused(Four x, Four y, Four z) {
#if defined(__FMA__)
    return _mm256_fmadd_pd(x, y, z);
#else
    return x * y + z;
#endif
}

// A polynomial in x; coefficients from the highest power down.
template <typename V, int N>
V horner(const double (&coefficients)[N], V x) {
    V sum = V{} + coefficients[0];
#pragma GCC unroll 32
    for (int i = 1; i < N; ++i) sum = fused(sum, x, V{} + coefficients[i]);
    return sum;
}

// e^x for x <= 0 within 4 ulp; 0 below -708, where the result would be subnormal.  x = n log 2 + r with
// |r| <= 0.35, and Taylor's polynomial of degree 13 leaves 0.35^14 / 14! = 5e-18 of e^r.
template <typename V>
[[gnu::always_inline]] inline V exp_of_negative(V x) {
    constexpr double taylor[] = {
        1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320,
        1.0 / 5040,       1.0 / 720,       1.0 / 120,      1.0 / 24,      1.0 / 6,      0.5,
        1.0,              1.0};
    constexpr double shift = 0x1.8p52;  // adding it rounds to an integer, which lies in the lowest bits
    const V in_range = larger(x, V{} - 708.0);
    const V shifted = in_range * 0x1.71547652b82fep+0 + shift;
    const V n = shifted - shift;
    const V r = (in_range - n * 0x1.62e42feep-1) - n * 0x1.a39ef35793c76p-33;  // n times the first is exact
    using I = typename Integers<V>::type;
    const V power = __builtin_bit_cast(V, (__builtin_bit_cast(I, shifted) + 1023) << 52);
    return x < -708.0 ? V{} : horner(taylor, r) * power;
}

// e^x - 1 - x for |x| <= 1 without cancellation: Taylor's terms up to x^19 / 19!, the next is 4e-19.
template <typename V>
V exp_beyond_linear(V x) {
    constexpr double taylor[] = {1.0 / 121645100408832000.0,
                                 1.0 / 6402373705728000.0,
                                 1.0 / 355687428096000.0,
                                 1.0 / 20922789888000.0,
                                 1.0 / 1307674368000.0,
                                 1.0 / 87178291200.0,
                                 1.0 / 6227020800,
                                 1.0 / 479001600,
                                 1.0 / 39916800,
                                 1.0 / 3628800,
                                 1.0 / 362880,
                                 1.0 / 40320,
                                 1.0 / 5040,
                                 1.0 / 720,
                                 1.0 / 120,
                                 1.0 / 24,
                                 1.0 / 6,
                                 0.5};
    return horner(taylor, x) * (x * x);
}

double add_lanes(Four v) { return (v[0] + v[2]) + (v[1] + v[3]); }

// First sweep.
template <typename V>
struct Squares {
    V expected{}, actual{}, delta{};
    V highest_delta = V{} - infinity, lowest_delta = V{} + infinity;

    void add(V e, V a, double*) {
        const V d = a - e;
        expected += e * e;
        actual += a * a;
        delta += d * d;
        highest_delta = larger(d, highest_delta);
        lowest_delta = smaller(d, lowest_delta);
    }

    void merge(const Squares<Four>& other) {
        expected += add_lanes(other.expected);
        actual += add_lanes(other.actual);
        delta += add_lanes(other.delta);
        for (int l = 0; l < 4; ++l) {
            highest_delta = larger(other.highest_delta[l], highest_delta);
            lowest_delta = smaller(other.lowest_delta[l], lowest_delta);
        }
    }
};

// Second sweep: weights of the softmax of expected, not yet divided by their total; and the unit vectors.
template <typename V>
struct Weights {
    double highest, inverse_norm_expected, inverse_norm_actual;
    V total{}, times_delta{}, apart{};

    void add(V e, V a, double* kept) {
        const V weight = exp_of_negative(e - highest);
        store(kept, weight);
        const V difference = e * inverse_norm_expected - a * inverse_norm_actual;
        total += weight;
        times_delta += weight * (a - e);
        apart += difference * difference;
    }

    void merge(const Weights<Four>& other) {
        total += add_lanes(other.total);
        times_delta += add_lanes(other.times_delta);
        apart += add_lanes(other.apart);
    }
};

// Third sweep where no log ratio of probabilities is far from the mean: E[e^x - 1 - x].
template <typename V>
struct Near {
    double mean_delta;
    V sum{};

    void add(V e, V a, const double* kept) {
        V weight;
        restore(kept, weight);
        sum += weight * exp_beyond_linear((a - e) - mean_delta);
    }

    void merge(const Near<Four>& other) { sum += add_lanes(other.sum); }
};

// Third sweep otherwise: the other side's total, and the mean of the difference of both exponents.
template <typename V>
struct Far {
    double highest_expected, highest_actual;
    V total_actual{}, sum{};

    void add(V e, V a, const double* kept) {
        V weight;
        restore(kept, weight);
        const V log_actual = a - highest_actual;
        total_actual += exp_of_negative(log_actual);
        sum += weight * ((e - highest_expected) - log_actual);
    }

    void merge(const Far<Four>& other) {
        total_actual += add_lanes(other.total_actual);
        sum += add_lanes(other.sum);
    }
};

template <template <typename> class Sums, typename... Constants>
Sums<double> sweep(const float* expected, const float* actual, int n, double* kept, Constants... constants) {
    Sums<Four> even{constants...}, odd{constants...};
    Sums<double> sums{constants...};
    int i = 0;
    for (; i + 8 <= n; i += 8) {
        even.add(load(expected + i), load(actual + i), kept + i);
        odd.add(load(expected + i + 4), load(actual + i + 4), kept + i + 4);
    }
    for (; i < n; ++i) sums.add(expected[i], actual[i], kept + i);
    sums.merge(even);
    sums.merge(odd);
    return sums;
}

// The top_k largest values, the largest first; among equals the lowest index first.
struct Best {
    int count = 0;
    float value[top_k];
    int index[top_k];

    void offer(float x, int at) {
        if (count == top_k && !(x > value[top_k - 1])) return;
        int i = count < top_k ? count++ : top_k - 1;
        for (; i > 0 && x > value[i - 1]; --i) {
            value[i] = value[i - 1];
            index[i] = index[i - 1];
        }
        value[i] = x;
        index[i] = at;
    }

    double lead() const { return count > 1 ? double(value[0]) - double(value[1]) : infinity; }
};

// Few values are among the best so far, so a block is searched only if its largest value is.
Best find_best(const float* x, int n) {
    constexpr int block = 64;
    Best best;
    int i = 0;
    for (; i < n && best.count < top_k; ++i) best.offer(x[i], i);
    for (; i + block <= n; i += block) {
        FourFloats largest[2], next;
        __builtin_memcpy(largest, x + i, sizeof largest);
        for (int j = 8; j < block; j += 4) {
            __builtin_memcpy(&next, x + i + j, sizeof next);
            largest[j / 4 % 2] = larger(next, largest[j / 4 % 2]);
        }
        const FourFloats four = larger(largest[0], largest[1]);
        if (larger(larger(four[0], four[1]), larger(four[2], four[3])) > best.value[top_k - 1]) {
            for (int j = 0; j < block; ++j) best.offer(x[i + j], i + j);
        }
    }
    for (; i < n; ++i) best.offer(x[i], i);
    return best;
}

double shared(const Best& expected, const Best& actual) {
    int both = 0;
    for (int i = 0; i < expected.count; ++i) {
        for (int j = 0; j < actual.count; ++j) both += expected.index[i] == actual.index[j];
    }
    return double(both) / expected.count;
}

PositionMetrics unmeasurable(bool expected_is_finite, bool actual_is_finite) {
    constexpr double nan = __builtin_nan("");
    return {nan, nan, nan, nan, nan, nan,
            -1,  -1,  nan, nan, nan, nan, nan, expected_is_finite, actual_is_finite};
}

struct Divergence {
    double apart, kl;  // 1 - cosine, and KL(softmax(expected) || softmax(actual))
};

Divergence diverge(const float* expected, const float* actual, int n, double* kept,
                   const Squares<double>& squares, double highest_e, double highest_a) {
    const double norm_e = sqrt(squares.expected), norm_a = sqrt(squares.actual);
    const auto weights = sweep<Weights>(expected, actual, n, kept, highest_e, 1.0 / norm_e, 1.0 / norm_a);
    double apart = 0.5 * weights.apart;
    if (norm_e == 0.0 || norm_a == 0.0) apart = norm_e == norm_a ? 0.0 : 1.0;

    const double mean = weights.times_delta / weights.total;
    double kl;
    if (squares.highest_delta - mean <= 1.0 && squares.lowest_delta - mean >= -1.0) {
        kl = log1p(sweep<Near>(expected, actual, n, kept, mean).sum / weights.total);
    } else {
        const auto far = sweep<Far>(expected, actual, n, kept, highest_e, highest_a);
        kl = far.sum / weights.total + log(far.total_actual / weights.total);
    }
    return {apart, kl < 0.0 ? 0.0 : kl};  // rounding alone can make it negative; NaN stays
}

PositionMetrics compare(const float* expected, const float* actual, int n, double* kept) {
    const auto squares = sweep<Squares>(expected, actual, n, kept);
    const bool finite_e = __builtin_isfinite(squares.expected), finite_a = __builtin_isfinite(squares.actual);
    if (!finite_e || !finite_a) return unmeasurable(finite_e, finite_a);
    const double norm_e = sqrt(squares.expected), l2 = sqrt(squares.delta);
    const Best best_e = find_best(expected, n), best_a = find_best(actual, n);
    const double highest_e = best_e.value[0], highest_a = best_a.value[0];

    // Of equal vectors, which exact engines give, there is nothing more to measure.
    const bool are_equal = squares.highest_delta == 0.0 && squares.lowest_delta == 0.0;
    const auto [apart, kl] = are_equal ? Divergence{0.0, 0.0}
                                       : diverge(expected, actual, n, kept, squares, highest_e, highest_a);
    return {
        .cosine = 1.0 - apart,
        .one_minus_cosine = apart,
        .l2 = l2,
        .relative_l2 = norm_e != 0.0 ? l2 / norm_e : (l2 != 0.0 ? infinity : 0.0),
        .max_abs = larger(squares.highest_delta, -squares.lowest_delta),
        .kl = kl,
        .argmax_expected = best_e.index[0],
        .argmax_actual = best_a.index[0],
        .margin_expected = best_e.lead(),
        .margin_actual = best_a.lead(),
        .contested = highest_e - double(expected[best_a.index[0]]),
        .top_k_overlap = shared(best_e, best_a),
        .rms_expected = norm_e / sqrt(double(n)),
        .expected_is_finite = true,
        .actual_is_finite = true,
    };
}

}  // namespace
}  // namespace bitnet
