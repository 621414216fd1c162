#include "bitnet/rotation.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace bitnet {
namespace {

// The pair, not whole, that turns so often within the context that the model was trained on.
float pair_that_turns(float turns, const HyperParameters& hyper) {
    const float per_radian =
        float(hyper.rope_scaling.original_context) / (turns * 2 * std::numbers::pi_v<float>);
    return float(hyper.rope_dim) * std::log(per_radian) / (2 * std::log(hyper.rope_base));
}

// 1 for pairs that turn 32 times and more, 0 for those that turn once or less; as ggml_rope_yarn_corr_dims, whose
// upper limit is the number of dimensions and not of pairs.
std::vector<float> left_alone_by_yarn(const HyperParameters& hyper) {
    const float low = std::max(0.0f, std::floor(pair_that_turns(32, hyper)));
    const float high = std::min(float(hyper.rope_dim - 1), std::ceil(pair_that_turns(1, hyper)));
    std::vector<float> shares;
    for (int pair = 0; pair < hyper.rope_dim / 2; ++pair) {
        const float ramp = (float(pair) - low) / std::max(0.001f, high - low);
        shares.push_back(1 - std::min(1.0f, std::max(0.0f, ramp)));
    }
    return shares;
}

// 1 + ln(factor) / 10, by the detours on which llama.cpp and ggml come to it.
float yarn_magnitude(const HyperParameters& hyper) {
    const float freq_scale = 1.0f / hyper.rope_scaling.factor;
    return 1.0f + 0.1f * std::log(1.0f / freq_scale);
}

}  // namespace

Rotation::Rotation(const HyperParameters& hyper, const float* factors, const Arithmetic& arithmetic)
    : hyper_(hyper),
      factors_(factors),
      in_fours_(hyper.rope_pairs == RopePairs::norm && rotates_in_fours(arithmetic)),
      theta_scale_(std::pow(hyper.rope_base, -2.0f / float(hyper.rope_dim))),
      magnitude_(hyper.rope_scaling.yarn ? yarn_magnitude(hyper) : 1.0f) {
    if (hyper.rope_scaling.yarn) left_alone_ = left_alone_by_yarn(hyper);
}

float Rotation::scaled(float theta, int pair) const {
    const float divided = (1.0f / hyper_.rope_scaling.factor) * theta;
    if (left_alone_.empty()) return divided;
    const float share = left_alone_[std::size_t(pair)];
    return std::fma(divided, 1 - share, theta * share);
}

// As ggml: theta is a running float product, which drifts from base^(-2 i / n) by some ulps.
void Rotation::set(int first, int n) {
    const int pairs = hyper_.rope_dim / 2;
    cos_.resize(std::size_t(n) * std::size_t(pairs));
    sin_.resize(cos_.size());
    std::size_t at = 0;
    for (int position = first; position < first + n; ++position) {
        float theta = float(position);
        for (int i = 0; i < pairs; ++i, ++at, theta *= theta_scale_) {
            const float angle = scaled(factors_ ? theta / factors_[i] : theta, i);
            cos_[at] = std::cos(angle) * magnitude_;
            sin_[at] = std::sin(angle) * magnitude_;
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
