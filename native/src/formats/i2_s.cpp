// I2_S as bitnet.cpp writes it for x86: blocks of 128 weights in 32 bytes; byte j of a block holds the
// weights j, 32 + j, 64 + j and 96 + j in its bits 7-6, 5-4, 3-2 and 1-0.
// Source: bitnet.cpp src/ggml-bitnet-mad.cpp, quantize_i2_s and ggml_vec_dot_i2_i8_s.

#include "formats.hpp"
#include "two_bits.hpp"

namespace bitnet::formats {
namespace {

struct Layout : TwoBits<Layout> {
    static constexpr const char* name = "I2_S";
    static constexpr int block = 128, lanes = 32;

    static std::size_t code_bytes(const MatrixShape& shape) {
        require_blocks(name, shape, block);
        return std::size_t(shape.rows) * shape.cols / 4;
    }

    static Place place(const MatrixShape& shape, int row, int col) {
        const std::size_t first = (std::size_t(row) * shape.cols + col) / block * lanes;
        return {first + col % lanes, 6 - 2 * (col % block / lanes)};
    }
};

}  // namespace

const WeightFormat i2_s = two_bit_format<Layout>;

}  // namespace bitnet::formats
