// Rotary position embedding: the angles of a run of positions, and turning heads by them.
#pragma once

#include <vector>

#include "bitnet/arithmetic.hpp"
#include "bitnet/model.hpp"

namespace bitnet {

class Rotation {
public:
    Rotation(const HyperParameters& hyper, const float* factors, const Arithmetic& arithmetic);

    // Prepare positions first .. first + n - 1.
    void set(int first, int n);

    // Turn the heads (n_head, head_dim) of the i-th prepared position in place.
    void apply(const KernelSet& kernels, int i, float* heads, int n_head) const;

private:
    float scaled(float theta, int pair) const;

    HyperParameters hyper_;
    const float* factors_;
    bool in_fours_;
    float theta_scale_;
    float magnitude_;                // what cosines and sines are multiplied by
    std::vector<float> left_alone_;  // (rope_dim / 2,) how much of a pair's angle YaRN does not divide
    std::vector<float> cos_, sin_;   // (positions, rope_dim / 2)
};

}  // namespace bitnet
