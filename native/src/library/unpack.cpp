#include "library/unpack.hpp"

#include <algorithm>
#include <cstring>

#include "bitnet/half.hpp"
#include "library/bad_input.hpp"

namespace bitnet::library {
namespace {

void unpack_dense(const Tensor& tensor, std::vector<float>& values) {
    const FormatRow& format = row_of(tensor.format);
    const std::size_t cols = std::size_t(tensor.cols()), bytes = row_bytes(tensor.format, int(cols));
    for (std::size_t row = 0; row < std::size_t(tensor.rows()); ++row)
        format.unpack(tensor.data.data() + row * bytes, int(cols), values.data() + row * cols);
}

float scale_of(const Tensor& tensor, const std::uint8_t* end_of_block, std::size_t n_values) {
    const FormatRow& format = row_of(tensor.format);
    if (!format.has_one_scale) {
        std::uint16_t half;
        std::memcpy(&half, end_of_block - sizeof half, sizeof half);
        return float_of_f16(half);
    }
    float scale;
    const std::size_t blocks = n_values / std::size_t(format.block);
    std::memcpy(&scale, tensor.data.data() + blocks * std::size_t(format.block_bytes), sizeof scale);
    return scale;
}

void unpack_ternary(const Tensor& tensor, std::vector<float>& values) {
    const FormatRow& format = row_of(tensor.format);
    const std::uint8_t* block = tensor.data.data();
    std::vector<std::uint8_t> codes(std::size_t(format.block));
    for (auto out = values.begin(); out != values.end(); out += format.block, block += format.block_bytes) {
        format.unpack_codes(block, codes.data());
        if (std::ranges::find(codes, 3) != codes.end())
            throw BadInput("tensor " + tensor.name +
                           " has a code 3, which no packer writes; convert it again");
        const float scale = scale_of(tensor, block + format.block_bytes, values.size());
        std::ranges::transform(codes, out, [=](std::uint8_t code) { return float(code - 1) * scale; });
    }
}

}  // namespace

std::vector<float> unpack(const Tensor& tensor) {
    std::vector<float> values(std::size_t(tensor.rows() * tensor.cols()));
    if (row_of(tensor.format).unpack)
        unpack_dense(tensor, values);
    else
        unpack_ternary(tensor, values);
    return values;
}

}  // namespace bitnet::library
