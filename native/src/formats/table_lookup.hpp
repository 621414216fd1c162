// What TL1 and TL2 share: indices of four bits, and the tables of sums that they index.
//
// A kernel makes a table for each group of activations once, and every row looks its sum up.
#pragma once

#include <array>

#include "checks.hpp"

namespace bitnet::formats {

constexpr int last_pair = 8;     // index 3u + v + 4 of a pair (u, v)
constexpr int last_triple = 13;  // index |9u + 3v + w| of a triple (u, v, w), whose sign lies elsewhere

using Table = std::array<std::int32_t, 16>;

inline Table table_of_pair(const std::int8_t* x) {
    Table table{};
    for (int index = 0; index <= last_pair; ++index)
        table[index] = (index / 3 - 1) * x[0] + (index % 3 - 1) * x[1];
    return table;
}

// The weights u, v, w of a triple that is not negative: its index in balanced base 3.
inline std::array<int, 3> triple_of(int index) {
    const int digits = index + last_triple;  // 9(u + 1) + 3(v + 1) + (w + 1)
    return {digits / 9 - 1, digits / 3 % 3 - 1, digits % 3 - 1};
}

inline Table table_of_triple(const std::int8_t* x) {
    Table table{};
    for (int index = 0; index <= last_triple; ++index) {
        const auto [u, v, w] = triple_of(index);
        table[index] = u * x[0] + v * x[1] + w * x[2];
    }
    return table;
}

// Half a byte.
struct Nibble {
    std::size_t byte;
    int shift;

    int get(const std::uint8_t* packed) const { return packed[byte] >> shift & 15; }
    void put(std::uint8_t* packed, int index) const {
        packed[byte] = std::uint8_t(packed[byte] | index << shift);
    }
};

// Whether tiles are there and whole ones make up the rows.
inline bool divides(const Tiling& tile, const MatrixShape& shape) {
    return tile.rows > 0 && tile.cols > 0 && shape.rows > 0 && shape.cols > 0 && shape.rows % tile.rows == 0;
}

inline std::string does_not_fit(const char* name, const MatrixShape& shape) {
    const Tiling& tile = shape.tiling;
    return std::string(name) + ": tiles of " + std::to_string(tile.rows) + " x " + std::to_string(tile.cols) +
           " in steps of " + std::to_string(tile.step) + " do not divide a weight of " +
           std::to_string(shape.rows) + " x " + std::to_string(shape.cols);
}

inline void require_index(const char* name, int index, int last, int row) {
    require(index <= last, std::string(name) + ": row " + std::to_string(row) + " has the index " +
                               std::to_string(index) + ", and no packer writes above " +
                               std::to_string(last));
}

}  // namespace bitnet::formats
