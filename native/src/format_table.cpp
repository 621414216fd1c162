#include "bitnet/format_table.hpp"

#include <cstring>
#include <iterator>

#include "bitnet/half.hpp"
#include "kernels/portable/blocks.hpp"

namespace bitnet {
namespace {

// Whether ggml multiplies floats in tiles, which a product of few tokens or of odd columns does not fill.
bool is_tile(Format format, const Product& product, const Arithmetic& arithmetic) {
    if (product.batch < fewest_tokens_of_tile(arithmetic.order, format)) return false;
    if (product.cols % tile_step(arithmetic.order, format) != 0) return false;
    if (arithmetic.generation == Generation::llama_cpp) return product.rows % 4 == 0;
    return format != Format::bf16;
}

Summing summing_f32(const Product& product, const Arithmetic& arithmetic) {
    if (is_tile(Format::f32, product, arithmetic)) return {Sums::tile, Encoding::f32};
    return {arithmetic.compiler == Compiler::gcc ? Sums::dot_gcc : Sums::dot, Encoding::f32};
}

Summing summing_f16(const Product& product, const Arithmetic& arithmetic) {
    if (!is_tile(Format::f16, product, arithmetic)) return {Sums::dot, Encoding::as_f16};
    return {Sums::tile, f16_tiles_take_f32(arithmetic) ? Encoding::f32 : Encoding::as_f16};
}

Summing summing_bf16(const Product& product, const Arithmetic& arithmetic) {
    return {is_tile(Format::bf16, product, arithmetic) ? Sums::tile : Sums::dot, Encoding::as_bf16};
}

Summing summing_i2_s(const Product&, const Arithmetic&) { return {Sums::whole, Encoding::i8}; }

Summing summing_tq(const Product&, const Arithmetic& arithmetic) {
    if (is_neon(arithmetic.order)) return {Sums::one, Encoding::q8_k};
    return {arithmetic.compiler == Compiler::gcc ? Sums::lanes : Sums::lanes_rounded, Encoding::q8_k};
}

// Q8_0 and Q5_0 are multiplied alike by dots and by tiles.  When llama.cpp loads Q4_0 and Q4_K on x86, it packs matrices
// of whole eights of rows in another order, and adds them otherwise; not the embedding, whose rows it reads.
Summing summing_q8_0(const Product&, const Arithmetic& arithmetic) {
    if (is_neon(arithmetic.order)) return {std::nullopt, Encoding::q8_0};
    return {Sums::lanes, Encoding::q8_0};
}

// Q2_0 and Q1_0, which only llama.cpp has.
Summing summing_of_llama_cpp(Sums sums, const Arithmetic& arithmetic) {
    const bool is_known = arithmetic.generation == Generation::llama_cpp && !is_neon(arithmetic.order);
    return {is_known ? std::optional(sums) : std::nullopt, Encoding::q8_0};
}

Summing summing_q2_0(const Product&, const Arithmetic& arithmetic) {
    return summing_of_llama_cpp(arithmetic.fuses_sums ? Sums::one : Sums::one_rounded, arithmetic);
}

Summing summing_q1_0(const Product&, const Arithmetic& arithmetic) {
    return summing_of_llama_cpp(Sums::lanes, arithmetic);
}

bool is_packed_in_eights(const Product& product, const Arithmetic& arithmetic) {
    return arithmetic.generation == Generation::llama_cpp && product.rows % 8 == 0 && !product.is_embedding;
}

Summing summing_q4_0(const Product& product, const Arithmetic& arithmetic) {
    if (is_neon(arithmetic.order)) return {std::nullopt, Encoding::q8_0};
    return {is_packed_in_eights(product, arithmetic) ? Sums::one : Sums::lanes, Encoding::q8_0};
}

// llama.cpp multiplies K-quants in tiles from eight tokens on.
Summing summing_k(const Product& product, const Arithmetic& arithmetic, Sums dot) {
    constexpr int fewest_tokens = 8;
    if (is_neon(arithmetic.order)) return {std::nullopt, Encoding::q8_k};
    if (arithmetic.generation == Generation::bitnet_cpp || product.batch < fewest_tokens)
        return {dot, Encoding::q8_k};
    return {arithmetic.compiler == Compiler::gcc ? Sums::tile : Sums::tile_rounded, Encoding::q8_k};
}

Summing summing_q6_k(const Product& product, const Arithmetic& arithmetic) {
    const bool is_bitnet_cpp = arithmetic.generation == Generation::bitnet_cpp;
    return summing_k(product, arithmetic, is_bitnet_cpp ? Sums::lanes : Sums::lanes_offset);
}

Summing summing_q4_k(const Product& product, const Arithmetic& arithmetic) {
    if (!is_neon(arithmetic.order) && is_packed_in_eights(product, arithmetic))
        return {Sums::one_in_parts, Encoding::q8_k, Sums::one};
    return summing_k(product, arithmetic, Sums::lanes);
}

Summing summing_q3_k(const Product& product, const Arithmetic& arithmetic) {
    return summing_k(product, arithmetic, Sums::lanes);
}

void unpack_f32(const std::uint8_t* row, int cols, float* out) {
    std::memcpy(out, row, std::size_t(cols) * sizeof *out);
}

template <float (*float_of)(std::uint16_t)>
void unpack_half(const std::uint8_t* row, int cols, float* out) {
    for (int i = 0; i < cols; ++i) out[i] = float_of(std::uint16_t(row[2 * i] | row[2 * i + 1] << 8));
}

template <typename Block, int width = block_q8_0>
void unpack_blocks(const std::uint8_t* row, int cols, float* out) {
    for (int i = 0; i < cols; ++i) {
        const std::uint8_t* block = row + i / width * Block::bytes;
        const float value = Block::scale(block) * float(Block::code(block, i % width));
        if constexpr (Block::has_least)
            out[i] = value + Block::least(block);
        else
            out[i] = value;
    }
}

template <typename Block>
void unpack_k_blocks(const std::uint8_t* row, int cols, float* out) {
    for (int b = 0; b < cols / block_q8_k; ++b, row += Block::bytes) {
        portable::KBlock w;
        Block::read(row, w);
        for (int i = 0; i < block_q8_k; ++i) {
            const float scale = w.scale * float(w.part_scale[i / 16]);
            const float least = w.least_scale * float(w.part_least[i / 16]);
            *out++ = Block::has_leasts ? scale * float(w.code[i]) - least : scale * float(w.code[i]);
        }
    }
}

constexpr FormatRow table[] = {
    {Format::f32, "F32", 1, 4, false, 0, summing_f32, unpack_f32},
    {Format::f16, "F16", 1, 2, false, 1, summing_f16, unpack_half<float_of_f16>},
    {Format::bf16, "BF16", 1, 2, false, 30, summing_bf16, unpack_half<float_of_bf16>},
    {Format::i2_s, "I2_S", block_i2_s, i2_s_bytes, true, 36, summing_i2_s, nullptr, portable::I2S::unpack},
    {Format::tq1_0, "TQ1_0", block_q8_k, tq1_0_bytes, false, 34, summing_tq, nullptr, portable::Tq1::unpack},
    {Format::tq2_0, "TQ2_0", block_q8_k, tq2_0_bytes, false, 35, summing_tq, nullptr, portable::Tq2::unpack},
    {Format::q8_0, "Q8_0", block_q8_0, q8_0_bytes, false, 8, summing_q8_0, unpack_blocks<portable::Q80>},
    {Format::q5_0, "Q5_0", block_q8_0, q5_0_bytes, false, 6, summing_q8_0, unpack_blocks<portable::Q50>},
    {Format::q4_0, "Q4_0", block_q8_0, q4_0_bytes, false, 2, summing_q4_0, unpack_blocks<portable::Q40>},
    {Format::q4_1, "Q4_1", block_q8_0, q4_1_bytes, false, 3, summing_q8_0, unpack_blocks<portable::Q41>},
    {Format::q6_k, "Q6_K", block_q8_k, q6_k_bytes, false, 14, summing_q6_k, unpack_k_blocks<portable::Q6K>},
    {Format::q4_k, "Q4_K", block_q8_k, q4_k_bytes, false, 12, summing_q4_k, unpack_k_blocks<portable::Q4K>},
    {Format::q3_k, "Q3_K", block_q8_k, q3_k_bytes, false, 11, summing_q3_k, unpack_k_blocks<portable::Q3K>},
    {Format::q2_0, "Q2_0", block_q2_0, q2_0_bytes, false, 42, summing_q2_0,
     unpack_blocks<portable::Q20, block_q2_0>},
    {Format::q1_0, "Q1_0", block_q1_0, q1_0_bytes, false, 41, summing_q1_0,
     unpack_blocks<portable::Q10, block_q1_0>},
};

constexpr bool is_in_order() {
    for (int i = 0; i < format_count; ++i) {
        if (int(table[i].format) != i) return false;
    }
    return std::size(table) == format_count;
}
static_assert(is_in_order());

}  // namespace

std::span<const FormatRow> format_rows() { return table; }

const FormatRow& row_of(Format format) { return table[int(format)]; }

std::size_t row_bytes(Format format, int cols) {
    const FormatRow& row = row_of(format);
    return std::size_t(in_whole_blocks(cols, row.block) / row.block) * std::size_t(row.block_bytes);
}

}  // namespace bitnet
