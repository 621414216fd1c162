// Distances between the logits of two engines at one position.
#pragma once

namespace bitnet {

constexpr int top_k = 10;

// As PositionMetrics of the harness, which says what each member means.  Where either side is not finite
// every distance is NaN and both argmax are -1.
struct PositionMetrics {
    double cosine, one_minus_cosine;
    double l2, relative_l2;
    double max_abs;
    double kl;
    int argmax_expected, argmax_actual;
    double margin_expected, margin_actual;
    double contested;
    double top_k_overlap;
    double rms_expected;
    bool expected_is_finite, actual_is_finite;
};

// Both are (n,) with n > 0.  Sums are of doubles, in lanes.
PositionMetrics compare_logits(const float* expected, const float* actual, int n);

// What a CPU without AVX2 runs, for tests.
PositionMetrics compare_logits_portably(const float* expected, const float* actual, int n);

}  // namespace bitnet
