#include "bitnet/metrics.hpp"

#include <memory>

#include "metrics/compare.hpp"

namespace bitnet {

#if defined(__x86_64__)
namespace avx2 {
PositionMetrics compare_logits(const float* expected, const float* actual, int n, double* kept);
}
#endif

PositionMetrics compare_logits_portably(const float* expected, const float* actual, int n) {
    return compare(expected, actual, n, std::make_unique_for_overwrite<double[]>(std::size_t(n)).get());
}

PositionMetrics compare_logits(const float* expected, const float* actual, int n) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        const auto kept = std::make_unique_for_overwrite<double[]>(std::size_t(n));
        return avx2::compare_logits(expected, actual, n, kept.get());
    }
#endif
    return compare_logits_portably(expected, actual, n);
}

}  // namespace bitnet
