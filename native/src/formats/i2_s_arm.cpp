// I2_S as bitnet.cpp writes it when built for ARM: blocks of 64 weights in 16 bytes; byte j of a block holds
// the weights j, 16 + j, 32 + j and 48 + j in its bits 7-6, 5-4, 3-2 and 1-0.
// Source: bitnet.cpp src/ggml-bitnet-mad.cpp, quantize_i2_s under __ARM_NEON.

#include "formats.hpp"
#include "two_bits.hpp"

namespace bitnet::formats {
namespace {

struct Layout : TwoBits<Layout> {
    static constexpr const char* name = "I2_S_ARM";
    static constexpr int block = 64, lanes = 16;

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

const WeightFormat i2_s_arm = two_bit_format<Layout>;

}  // namespace bitnet::formats
