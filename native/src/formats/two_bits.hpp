// Formats that keep a weight in two bits: a stored 0, 1, 2 is -1, 0, +1, and a stored 3 is nobody's.
#pragma once

#include "one_scale.hpp"

namespace bitnet::formats {

// Where a weight lies: its byte, and how far up in it.
struct Place {
    std::size_t byte;
    int shift;
};

// Layout has name, code_bytes(shape) and place(shape, row, col).
template <typename Layout>
struct TwoBits : OneScale<Layout> {
    static bool is_dead(float weight) { return formats::is_dead(weight); }

    template <typename CodeAt>
    static void write(std::uint8_t* packed, const MatrixShape& shape, CodeAt code_at) {
        for (int row = 0; row < shape.rows; ++row) {
            for (int col = 0; col < shape.cols; ++col) {
                const Place place = Layout::place(shape, row, col);
                packed[place.byte] =
                    std::uint8_t(packed[place.byte] | (code_at(row, col) + 1) << place.shift);
            }
        }
    }

    template <typename Take>
    static void read(const std::uint8_t* packed, const MatrixShape& shape, Take take) {
        for (int row = 0; row < shape.rows; ++row) {
            for (int col = 0; col < shape.cols; ++col) {
                const Place place = Layout::place(shape, row, col);
                const int stored = packed[place.byte] >> place.shift & 3;
                require(stored != 3, std::string(Layout::name) + ": the weight at row " +
                                         std::to_string(row) + ", column " + std::to_string(col) +
                                         " has the code 3, which no packer writes");
                take(row, col, stored - 1);
            }
        }
    }

    // As the kernels do it: the stored codes 0, 1, 2 times activations, less the sum of the activations.
    static void multiply(const std::uint8_t* packed, const MatrixShape& shape, const std::int8_t* x,
                         int tokens, std::int32_t* sums) {
        Layout::code_bytes(shape);
        for (int token = 0; token < tokens; ++token, x += shape.cols, sums += shape.rows) {
            std::int32_t total = 0;
            for (int col = 0; col < shape.cols; ++col) total += x[col];
            for (int row = 0; row < shape.rows; ++row) {
                std::int32_t sum = -total;
                for (int col = 0; col < shape.cols; ++col) {
                    const Place place = Layout::place(shape, row, col);
                    sum += (packed[place.byte] >> place.shift & 3) * x[col];
                }
                sums[row] = sum;
            }
        }
    }
};

template <typename Layout>
constexpr WeightFormat two_bit_format{Layout::name, Layout::size, Layout::pack, Layout::unpack,
                                      Layout::multiply};

}  // namespace bitnet::formats
