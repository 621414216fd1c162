// TL1: pairs of ternary weights as 4-bit table indices, in the order in which bitnet.cpp's ARM kernel reads
// them.
//
// A pair (u, v) of neighbours in a row is the index 3u + v + 4, in 0..8; a byte holds the indices of two
// neighbouring pairs, the first in its high half.  Bytes go by row tile, column tile, step of rows, 256 /
// step columns, sixteen of rows, pair of pairs, row: sixteen bytes of one load are sixteen rows, and look up
// one table.
// Source: bitnet.cpp utils/convert-hf-to-gguf-bitnet.py, preprocess_weights_tl1; utils/codegen_tl1.py.

#include "formats.hpp"
#include "one_scale.hpp"
#include "table_lookup.hpp"

namespace bitnet::formats {
namespace {

constexpr int lanes = 16;         // rows of one vector
constexpr int step_values = 256;  // weights of a step of rows times its columns

Nibble nibble_of(const MatrixShape& shape, int row, int pair) {
    const Tiling& tile = shape.tiling;
    const int width = step_values / tile.step, col = 2 * pair;
    std::size_t at = row / tile.rows;
    at = at * (shape.cols / tile.cols) + col / tile.cols;
    at = at * (tile.rows / tile.step) + row % tile.rows / tile.step;
    at = at * (tile.cols / width) + col % tile.cols / width;
    at = at * (tile.step / lanes) + row % tile.step / lanes;
    at = at * (width / 4) + col % width / 4;
    return {at * lanes + row % lanes, pair % 2 == 0 ? 4 : 0};
}

struct Layout : OneScale<Layout> {
    static constexpr const char* name = "TL1";

    static bool is_dead(float weight) { return is_dead_to_the_converter(weight); }

    static std::size_t code_bytes(const MatrixShape& shape) {
        const Tiling& tile = shape.tiling;
        const bool has_steps = tile.step > 0 && tile.step % lanes == 0 && step_values % (4 * tile.step) == 0;
        require(has_steps && divides(tile, shape) && shape.cols % tile.cols == 0 &&
                    tile.rows % tile.step == 0 && tile.cols % (step_values / tile.step) == 0,
                does_not_fit(name, shape));
        return std::size_t(shape.rows) * shape.cols / 4;
    }

    template <typename CodeAt>
    static void write(std::uint8_t* packed, const MatrixShape& shape, CodeAt code_at) {
        for (int row = 0; row < shape.rows; ++row) {
            for (int pair = 0; pair < shape.cols / 2; ++pair) {
                const int index = 3 * code_at(row, 2 * pair) + code_at(row, 2 * pair + 1) + 4;
                nibble_of(shape, row, pair).put(packed, index);
            }
        }
    }

    template <typename Take>
    static void read(const std::uint8_t* packed, const MatrixShape& shape, Take take) {
        for (int row = 0; row < shape.rows; ++row) {
            for (int pair = 0; pair < shape.cols / 2; ++pair) {
                const int index = nibble_of(shape, row, pair).get(packed);
                require_index(name, index, last_pair, row);
                take(row, 2 * pair, index / 3 - 1);
                take(row, 2 * pair + 1, index % 3 - 1);
            }
        }
    }

    static void multiply(const std::uint8_t* packed, const MatrixShape& shape, const std::int8_t* x,
                         int tokens, std::int32_t* sums) {
        code_bytes(shape);
        for (int token = 0; token < tokens; ++token, x += shape.cols, sums += shape.rows) {
            std::fill_n(sums, shape.rows, 0);
            for (int pair = 0; pair < shape.cols / 2; ++pair) {
                const Table table = table_of_pair(x + 2 * pair);
                for (int row = 0; row < shape.rows; ++row)
                    sums[row] += table[nibble_of(shape, row, pair).get(packed)];
            }
        }
    }
};

}  // namespace

const WeightFormat tl1{Layout::name, Layout::size, Layout::pack, Layout::unpack, Layout::multiply};

}  // namespace bitnet::formats
