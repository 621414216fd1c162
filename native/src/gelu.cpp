#include "bitnet/gelu.hpp"

#include <cmath>

#include "bitnet/half.hpp"

namespace bitnet {
namespace {

constexpr int f16_numbers = 1 << 16;
constexpr float limit = 10.0f;  // beyond it GELU is 0 or x, and ggml looks nothing up

// By the hyperbolic tangent: Hendrycks and Gimpel 2016, arXiv 1606.08415.
float gelu(float x) {
    constexpr float root_of_2_over_pi = 0.79788456080286535587989211986876f;
    return 0.5f * x * (1.0f + std::tanh(root_of_2_over_pi * x * std::fma(0.044715f * x, x, 1.0f)));
}

}  // namespace

GeluTable::GeluTable(bool needed) {
    if (!needed) return;
    for (int bits = 0; bits < f16_numbers; ++bits) {
        values_.push_back(f16_of_float(gelu(float_of_f16(std::uint16_t(bits)))));
    }
}

void GeluTable::multiply(const float* gate, const float* up, int n, float* out) const {
    for (int i = 0; i < n; ++i) {
        const float x = gate[i];
        if (x <= -limit) {
            out[i] = 0.0f;
        } else {
            out[i] = (x >= limit ? x : float_of_f16(values_[f16_of_float(x)])) * up[i];
        }
    }
}

}  // namespace bitnet
