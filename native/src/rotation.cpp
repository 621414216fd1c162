#include "bitnet/rotation.hpp"

#include <cmath>

namespace bitnet {

Rotation::Rotation(const HyperParameters& hyper, const float* factors, const Arithmetic& arithmetic)
    : hyper_(hyper),
      factors_(factors),
      in_fours_(hyper.rope_pairs == RopePairs::norm && rotates_in_fours(arithmetic)),
      theta_scale_(std::pow(hyper.rope_base, -2.0f / float(hyper.rope_dim))) {}

// As ggml: theta is a running float product, which drifts from base^(-2 i / n) by some ulps.
void Rotation::set(int first, int n) {
    const int pairs = hyper_.rope_dim / 2;
    cos_.resize(std::size_t(n) * std::size_t(pairs));
    sin_.resize(cos_.size());
    std::size_t at = 0;
    for (int position = first; position < first + n; ++position) {
        float theta = float(position);
        for (int i = 0; i < pairs; ++i, ++at, theta *= theta_scale_) {
            const float angle = factors_ ? theta / factors_[i] : theta;
            cos_[at] = std::cos(angle);
            sin_[at] = std::sin(angle);
        }
    }
}

void Rotation::apply(const KernelSet& kernels, int i, float* heads, int n_head) const {
    const int pairs = hyper_.rope_dim / 2;
    const bool neox = hyper_.rope_pairs == RopePairs::neox;
    const std::size_t start = std::size_t(i) * std::size_t(pairs);
    const auto rotate = in_fours_ ? kernels.rotate_in_fours : kernels.rotate;
    for (int head = 0; head < n_head; ++head) {
        rotate(heads + std::size_t(head) * std::size_t(hyper_.head_dim), cos_.data() + start,
               sin_.data() + start, pairs, neox ? 1 : 2, neox ? pairs : 1);
    }
}

}  // namespace bitnet
