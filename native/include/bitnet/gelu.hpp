// GELU as ggml computes it: looked up by the F16 number next to x.
#pragma once

#include <cstdint>
#include <vector>

namespace bitnet {

class GeluTable {
public:
    // Empty unless it is needed: it takes 128 KiB.
    explicit GeluTable(bool needed);

    // out = gelu(gate) x up.
    void multiply(const float* gate, const float* up, int n, float* out) const;

private:
    std::vector<std::uint16_t> values_;  // F16, by the bits of an F16 number
};

}  // namespace bitnet
