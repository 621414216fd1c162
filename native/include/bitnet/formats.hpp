// Weight formats: how a matrix lies in bytes, one file each in src/formats/.
//
// They are written to be read and to be compared with; the kernels of a session are in kernels.hpp.  Every
// function checks its arguments first and throws std::invalid_argument, whose words begin with the name of
// the format.  Pointers may be misaligned, bytes are those of a GGUF file on any machine that is
// little-endian.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace bitnet {

// Rows and columns of a tile, and rows of one vector step: what a table-lookup kernel was generated for.
struct Tiling {
    int rows = 0;
    int cols = 0;
    int step = 0;
};

struct MatrixShape {
    int rows;
    int cols;
    Tiling tiling = {};  // TL1 and TL2 only
};

struct WeightFormat {
    const char* name;
    // Bytes of a packed matrix; throws for a shape that the format cannot hold.
    std::size_t (*size)(const MatrixShape& shape);
    // By the format's own rule; values is (rows, cols). Throws for NaN, infinity and a scale that does not
    // fit.
    void (*pack)(const float* values, const MatrixShape& shape, std::uint8_t* packed);
    // Throws for bits that no packer writes.
    void (*unpack)(const std::uint8_t* packed, const MatrixShape& shape, float* values);
    // sums[token * rows + row] = exact sum of code x activation, codes in -1, 0, 1 and x (tokens, cols); null
    // for a format that is not ternary.  Scales are not applied.
    void (*multiply)(const std::uint8_t* packed, const MatrixShape& shape, const std::int8_t* x, int tokens,
                     std::int32_t* sums);
};

std::span<const WeightFormat* const> weight_formats();

// The format of that name, or null.
const WeightFormat* find_weight_format(const char* name);

}  // namespace bitnet
