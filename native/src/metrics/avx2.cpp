// The same for AVX2 and FMA; the only file of it with ISA flags.

#if defined(__AVX2__) && defined(__FMA__)

#include "compare.hpp"

namespace bitnet::avx2 {

PositionMetrics compare_logits(const float* expected, const float* actual, int n, double* kept) {
    return compare(expected, actual, n, kept);
}

}  // namespace bitnet::avx2

#endif
