// What formats ask of their arguments, and values at any address.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>

#include "bitnet/formats.hpp"

namespace bitnet::formats {

static_assert(std::endian::native == std::endian::little, "packed scales are little-endian");

inline void require(bool condition, const std::string& message) {
    if (!condition) throw std::invalid_argument(message);
}

inline void require_blocks(const char* name, const MatrixShape& shape, int block) {
    require(shape.rows > 0 && shape.cols > 0 && shape.cols % block == 0,
            std::string(name) + ": " + std::to_string(shape.rows) + " x " + std::to_string(shape.cols) +
                " weights are no rows of whole blocks of " + std::to_string(block));
}

inline void require_finite(const char* name, const float* values, const MatrixShape& shape) {
    for (int row = 0; row < shape.rows; ++row) {
        for (int col = 0; col < shape.cols; ++col) {
            require(std::isfinite(values[std::size_t(row) * shape.cols + col]),
                    std::string(name) + ": the weight at row " + std::to_string(row) + ", column " +
                        std::to_string(col) + " is not a finite number");
        }
    }
}

inline void require_half(const char* name, std::uint16_t half) {
    require((half & 0x7c00u) != 0x7c00u,
            std::string(name) + ": the scale of a block is beyond F16, which ends at 65504");
}

template <typename T>
T load(const std::uint8_t* at) {
    T value;
    std::memcpy(&value, at, sizeof value);
    return value;
}

template <typename T>
void store(std::uint8_t* at, T value) {
    std::memcpy(at, &value, sizeof value);
}

}  // namespace bitnet::formats
