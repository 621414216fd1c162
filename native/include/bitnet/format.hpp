// The weight formats that the engine multiplies: a row for each.  Names and layouts are those of GGUF files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace bitnet {

enum class Format : std::uint8_t { f32, f16, bf16, i2_s, tq1_0, tq2_0 };

constexpr int block_i2_s = 128;  // weights a block, 32 bytes
constexpr int block_q8_k = 256;  // weights a block of TQ1_0 (54 bytes) and TQ2_0 (66 bytes)
constexpr int tq1_0_bytes = 54;  // 48 bytes of five, 4 bytes of four, F16 scale
constexpr int tq2_0_bytes = 66;  // 64 bytes of four, F16 scale

struct FormatRow {
    Format format;
    std::string_view name;
    int block;  // weights; a row of a matrix has whole blocks
    int block_bytes;
    bool has_one_scale;       // a float32 of the whole matrix, after its rows
    std::uint32_t ggml_type;  // type id in a GGUF file
};

constexpr FormatRow format_rows[] = {
    {Format::f32, "F32", 1, 4, false, 0},
    {Format::f16, "F16", 1, 2, false, 1},
    {Format::bf16, "BF16", 1, 2, false, 30},
    {Format::i2_s, "I2_S", block_i2_s, 32, true, 36},
    {Format::tq1_0, "TQ1_0", block_q8_k, tq1_0_bytes, false, 34},
    {Format::tq2_0, "TQ2_0", block_q8_k, tq2_0_bytes, false, 35},
};

constexpr const FormatRow& row_of(Format format) {
    for (const FormatRow& row : format_rows) {
        if (row.format == format) return row;
    }
    return format_rows[0];  // never: every format has a row
}

// Bytes of a packed row of a matrix; cols is a multiple of the format's block.
constexpr std::size_t row_bytes(Format format, int cols) {
    const FormatRow& row = row_of(format);
    return std::size_t(cols / row.block) * std::size_t(row.block_bytes);
}

}  // namespace bitnet
