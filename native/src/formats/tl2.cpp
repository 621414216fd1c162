// TL2: triples of ternary weights as a sign and a 4-bit table index, in the order of bitnet.cpp's x86 kernel.
//
// A triple (u, v, w) of neighbours in a row has the value 9u + 3v + w, in -13..13: the index is its
// magnitude, the sign a bit of its own.  Columns beyond the last whole tile are packed in pairs, as in TL1.
// In memory: all triple indices, all signs, all pair indices, zeros up to the size that ggml_nbytes gives,
// the tail.
// Source: bitnet.cpp utils/convert-hf-to-gguf-bitnet.py, preprocess_weights_tl2; utils/codegen_tl2.py;
// ggml_nbytes.

#include "formats.hpp"
#include "one_scale.hpp"
#include "table_lookup.hpp"

namespace bitnet::formats {
namespace {

constexpr int step = 32;         // rows of a vector step
constexpr int pair_tile = 32;    // columns of a tile of pairs
constexpr int sign_triples = 8;  // triples whose signs share a word of 16 bits, with those half a step below
constexpr int columns_as_pairs = 256;  // as which ggml_nbytes counts, however many there are

// Columns that are packed in triples, and where each part begins.
struct Parts {
    int split;
    std::size_t signs, pairs, end;

    explicit Parts(const MatrixShape& shape) : split(shape.cols - shape.cols % shape.tiling.cols) {
        const std::size_t in_triples = std::size_t(shape.rows) * split;
        signs = in_triples / 6;
        pairs = signs + in_triples / 24;
        end = pairs + std::size_t(shape.rows) * (shape.cols - split) / 4;
    }
};

// Rows 8-15 and 16-23 of a step change places: the kernel interleaves the halves of two registers.
int row_in_memory(int row) {
    constexpr int eights[4] = {0, 2, 1, 3};
    return eights[row % step / 8] * 8 + row % 8;
}

// Of a group in a row of `width` groups, `tile_width` in a tile.
Nibble nibble_of(const MatrixShape& shape, std::size_t start, int width, int tile_width, int row, int group) {
    const Tiling& tile = shape.tiling;
    std::size_t at = row / tile.rows;
    at = at * (width / tile_width) + group / tile_width;
    at = at * (tile.rows / step) + row % tile.rows / step;
    at = at * (tile_width / 2) + group % tile_width / 2;
    return {start + at * step + row_in_memory(row), group % 2 == 0 ? 4 : 0};
}

Nibble triple_nibble(const MatrixShape& shape, const Parts& parts, int row, int triple) {
    return nibble_of(shape, 0, parts.split / 3, shape.tiling.cols / 3, row, triple);
}

Nibble pair_nibble(const MatrixShape& shape, const Parts& parts, int row, int pair) {
    return nibble_of(shape, parts.pairs, (shape.cols - parts.split) / 2, pair_tile / 2, row, pair);
}

// One bit: of a word's eight triples the first is uppermost, the upper half of the step before the lower.
struct SignBit {
    std::size_t byte;
    int shift;

    SignBit(const MatrixShape& shape, const Parts& parts, int row, int triple) {
        const Tiling& tile = shape.tiling;
        const int tile_width = tile.cols / 3;
        std::size_t word = row / tile.rows;
        word = word * (parts.split / tile.cols) + triple / tile_width;
        word = word * (tile.rows / step) + row % tile.rows / step;
        word = word * (tile_width / sign_triples) + triple % tile_width / sign_triples;
        word = word * (step / 2) + row % (step / 2);
        const int bit = 15 - 2 * (triple % sign_triples) - row % step / (step / 2);
        byte = parts.signs + 2 * word + bit / 8;  // little-endian words
        shift = bit % 8;
    }
};

int triple_at(const std::uint8_t* packed, const MatrixShape& shape, const Parts& parts, int row, int triple) {
    const SignBit bit(shape, parts, row, triple);
    const int index = triple_nibble(shape, parts, row, triple).get(packed);
    return packed[bit.byte] >> bit.shift & 1 ? -index : index;
}

struct Layout : OneScale<Layout> {
    static constexpr const char* name = "TL2";

    static bool is_dead(float weight) { return is_dead_to_the_converter(weight); }

    static std::size_t code_bytes(const MatrixShape& shape) {
        const Tiling& tile = shape.tiling;
        require(divides(tile, shape) && tile.step == step && tile.rows % step == 0 &&
                    tile.cols % (3 * sign_triples) == 0 && shape.cols >= columns_as_pairs &&
                    shape.cols % tile.cols % pair_tile == 0 && shape.cols % tile.cols <= columns_as_pairs,
                does_not_fit(name, shape));
        const std::size_t rows = shape.rows, in_triples = shape.cols - columns_as_pairs;
        const std::size_t bytes = in_triples * rows / 3 * 5 / 8 + columns_as_pairs * rows / 2 * 4 / 8;
        return (bytes + 31) / 32 * 32;
    }

    template <typename CodeAt>
    static void write(std::uint8_t* packed, const MatrixShape& shape, CodeAt code_at) {
        const Parts parts(shape);
        for (int row = 0; row < shape.rows; ++row) {
            for (int triple = 0; triple < parts.split / 3; ++triple) {
                const int col = 3 * triple;
                const int value = 9 * code_at(row, col) + 3 * code_at(row, col + 1) + code_at(row, col + 2);
                triple_nibble(shape, parts, row, triple).put(packed, value < 0 ? -value : value);
                const SignBit bit(shape, parts, row, triple);
                packed[bit.byte] = std::uint8_t(packed[bit.byte] | (value < 0) << bit.shift);
            }
            for (int pair = 0; pair < (shape.cols - parts.split) / 2; ++pair) {
                const int col = parts.split + 2 * pair;
                const int index = 3 * code_at(row, col) + code_at(row, col + 1) + 4;
                pair_nibble(shape, parts, row, pair).put(packed, index);
            }
        }
    }

    template <typename Take>
    static void read(const std::uint8_t* packed, const MatrixShape& shape, Take take) {
        const Parts parts(shape);
        for (int row = 0; row < shape.rows; ++row) {
            for (int triple = 0; triple < parts.split / 3; ++triple) {
                const int value = triple_at(packed, shape, parts, row, triple);
                const int index = value < 0 ? -value : value;
                require_index(name, index, last_triple, row);
                const auto weights = triple_of(index);
                for (int i = 0; i < 3; ++i) take(row, 3 * triple + i, value < 0 ? -weights[i] : weights[i]);
            }
            for (int pair = 0; pair < (shape.cols - parts.split) / 2; ++pair) {
                const int index = pair_nibble(shape, parts, row, pair).get(packed);
                require_index(name, index, last_pair, row);
                take(row, parts.split + 2 * pair, index / 3 - 1);
                take(row, parts.split + 2 * pair + 1, index % 3 - 1);
            }
        }
    }

    static void multiply(const std::uint8_t* packed, const MatrixShape& shape, const std::int8_t* x,
                         int tokens, std::int32_t* sums) {
        code_bytes(shape);
        const Parts parts(shape);
        for (int token = 0; token < tokens; ++token, x += shape.cols, sums += shape.rows) {
            std::fill_n(sums, shape.rows, 0);
            for (int triple = 0; triple < parts.split / 3; ++triple) {
                const Table table = table_of_triple(x + 3 * triple);
                for (int row = 0; row < shape.rows; ++row) {
                    const int value = triple_at(packed, shape, parts, row, triple);
                    sums[row] += value < 0 ? -table[-value] : table[value];
                }
            }
            for (int pair = 0; pair < (shape.cols - parts.split) / 2; ++pair) {
                const Table table = table_of_pair(x + parts.split + 2 * pair);
                for (int row = 0; row < shape.rows; ++row)
                    sums[row] += table[pair_nibble(shape, parts, row, pair).get(packed)];
            }
        }
    }
};

}  // namespace

const WeightFormat tl2{Layout::name, Layout::size, Layout::pack, Layout::unpack, Layout::multiply};

}  // namespace bitnet::formats
