#include "library/unpack.hpp"

#include <array>
#include <cstring>

#include "bitnet/half.hpp"
#include "library/bad_input.hpp"

namespace bitnet::library {
namespace {

std::uint16_t half_at(const std::uint8_t* at) {
    std::uint16_t bits;
    std::memcpy(&bits, at, sizeof bits);
    return bits;
}

float float_at(const std::uint8_t* at) {
    float value;
    std::memcpy(&value, at, sizeof value);
    return value;
}

float weight_of(const Tensor& tensor, int code, float scale) {
    if (code == 3) {
        throw BadInput("tensor " + tensor.name + " has a code 3, which no packer writes; convert it again");
    }
    return float(code - 1) * scale;
}

void unpack_i2_s(const Tensor& tensor, std::vector<float>& values) {
    const float scale = float_at(tensor.data.data() + values.size() / 4);
    for (std::size_t i = 0; i < values.size(); ++i) {
        const std::size_t block = i / block_i2_s, in_block = i % block_i2_s;
        const std::uint8_t byte = tensor.data[block * 32 + in_block % 32];
        values[i] = weight_of(tensor, byte >> (6 - 2 * (in_block / 32)) & 3, scale);
    }
}

// Digit k of a byte that holds a fraction in base 3.
int ternary_digit(std::uint8_t byte, int k) {
    constexpr std::array powers{1, 3, 9, 27, 81};
    return std::uint8_t(byte * powers[std::size_t(k)]) * 3 >> 8;
}

void unpack_tq1_0(const Tensor& tensor, std::vector<float>& values) {
    float* out = values.data();
    for (const std::uint8_t* block = tensor.data.data(); out != values.data() + values.size();
         block += tq1_0_bytes) {
        const float scale = float_of_f16(half_at(block + tq1_0_bytes - 2));
        const std::uint8_t* run = block;
        for (const auto& [bytes, digits] : {std::pair(32, 5), std::pair(16, 5), std::pair(4, 4)}) {
            for (int k = 0; k < digits; ++k) {
                for (int i = 0; i < bytes; ++i) *out++ = weight_of(tensor, ternary_digit(run[i], k), scale);
            }
            run += bytes;
        }
    }
}

void unpack_tq2_0(const Tensor& tensor, std::vector<float>& values) {
    for (std::size_t i = 0; i < values.size(); ++i) {
        const std::uint8_t* block = tensor.data.data() + i / block_q8_k * tq2_0_bytes;
        const std::size_t in_block = i % block_q8_k;
        const int shift = 2 * int(in_block % 128 / 32);
        values[i] = weight_of(tensor, block[in_block / 128 * 32 + in_block % 32] >> shift & 3,
                              float_of_f16(half_at(block + tq2_0_bytes - 2)));
    }
}

}  // namespace

std::vector<float> unpack(const Tensor& tensor) {
    std::vector<float> values(std::size_t(tensor.rows() * tensor.cols()));
    if (const auto unpack_row = row_of(tensor.format).unpack) {
        const std::size_t cols = std::size_t(tensor.cols()), bytes = row_bytes(tensor.format, int(cols));
        for (std::size_t row = 0; row < std::size_t(tensor.rows()); ++row)
            unpack_row(tensor.data.data() + row * bytes, int(cols), values.data() + row * cols);
        return values;
    }
    switch (tensor.format) {
        case Format::i2_s:
            unpack_i2_s(tensor, values);
            break;
        case Format::tq1_0:
            unpack_tq1_0(tensor, values);
            break;
        case Format::tq2_0:
            unpack_tq2_0(tensor, values);
            break;
        default:
            throw BadInput("tensor " + tensor.name + " is in a format that nothing unpacks");
    }
    return values;
}

}  // namespace bitnet::library
