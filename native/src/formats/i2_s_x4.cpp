// I2_S as bitnet.cpp writes it for x86 when built without ACT_PARALLEL: byte g * cols + c holds column c of
// the rows 4g, 4g + 1, 4g + 2 and 4g + 3 in its bits 7-6, 5-4, 3-2 and 1-0.  Its kernel wants whole 128
// columns.
// Source: bitnet.cpp src/ggml-bitnet-mad.cpp, quantize_i2_s without ACT_PARALLEL,
// ggml_vec_dot_i2_i8_s_1x4_32W.

#include "formats.hpp"
#include "two_bits.hpp"

namespace bitnet::formats {
namespace {

struct Layout : TwoBits<Layout> {
    static constexpr const char* name = "I2_S_X4";
    static constexpr int block = 128, together = 4;

    static std::size_t code_bytes(const MatrixShape& shape) {
        require_blocks(name, shape, block);
        require(shape.rows % together == 0,
                "I2_S_X4: " + std::to_string(shape.rows) + " rows are no multiple of the 4 it interleaves");
        return std::size_t(shape.rows) * shape.cols / together;
    }

    static Place place(const MatrixShape& shape, int row, int col) {
        return {std::size_t(row / together) * shape.cols + col, 6 - 2 * (row % together)};
    }
};

}  // namespace

const WeightFormat i2_s_x4 = two_bit_format<Layout>;

}  // namespace bitnet::formats
