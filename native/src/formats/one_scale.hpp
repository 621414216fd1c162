// What the formats of bitnet.cpp share: its packing rule, and a tail of 32 bytes after the codes whose first
// four are the float32 scale of the tensor.
#pragma once

#include <algorithm>

#include "checks.hpp"

namespace bitnet::formats {

constexpr std::size_t tail_bytes = 32;

// Smaller weights are zero.  bitnet.cpp's C code compares in double, its converter in float32: the float
// nearest to 1e-6 is dead to the first and alive to the second.
inline bool is_dead(float weight) { return double(std::fabs(weight)) < 1e-6; }
inline bool is_dead_to_the_converter(float weight) { return std::fabs(weight) < 1e-6f; }

inline int sign(float weight) { return (weight > 0) - (weight < 0); }

inline float largest_magnitude(const float* values, std::size_t n) {
    float largest = 0;
    for (std::size_t i = 0; i < n; ++i) largest = std::max(largest, std::fabs(values[i]));
    return largest;
}

// Layout says how codes lie before the tail:
//   name
//   code_bytes(shape)                  throws for a shape that it cannot hold
//   is_dead(weight)                    which of the two above
//   write(packed, shape, code_at)      packs code_at(row, col), in -1, 0, 1
//   read(packed, shape, take)          calls take(row, col, code) for every weight; throws for foreign bits
template <typename Layout>
struct OneScale {
    static std::size_t size(const MatrixShape& shape) { return Layout::code_bytes(shape) + tail_bytes; }

    static void pack(const float* values, const MatrixShape& shape, std::uint8_t* packed) {
        const std::size_t code_bytes = Layout::code_bytes(shape);
        require_finite(Layout::name, values, shape);
        std::fill_n(packed, code_bytes + tail_bytes, std::uint8_t(0));
        Layout::write(packed, shape, [&](int row, int col) {
            const float weight = values[std::size_t(row) * shape.cols + col];
            return Layout::is_dead(weight) ? 0 : sign(weight);
        });
        store(packed + code_bytes, largest_magnitude(values, std::size_t(shape.rows) * shape.cols));
    }

    static void unpack(const std::uint8_t* packed, const MatrixShape& shape, float* values) {
        const float scale = load<float>(packed + Layout::code_bytes(shape));
        Layout::read(packed, shape, [&](int row, int col, int code) {
            values[std::size_t(row) * shape.cols + col] = float(code) * scale;
        });
    }
};

}  // namespace bitnet::formats
