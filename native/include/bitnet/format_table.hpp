// What is known of each weight format: a row for each in format_table.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "bitnet/arithmetic.hpp"

namespace bitnet {

// In which form a matmul takes its other operand.
enum class Encoding : std::uint8_t { f32, as_f16, as_bf16, i8, q8_0, q8_k };
constexpr int encoding_count = 6;

// A product of a matrix (rows, cols) with `batch` tokens, which the reference would have multiplied at once.
struct Product {
    int rows, cols, batch;
    bool is_embedding = false;  // the matrix is a tied head
};

// How that product is summed in an arithmetic, and of what activations; no sums where nobody has found out.
struct Summing {
    std::optional<Sums> sums;
    Encoding encoding;
    std::optional<Sums> rest =
        std::nullopt;  // of the tokens beyond the last whole four, where they have other sums
};

struct FormatRow {
    Format format;
    std::string_view name;
    int block;  // weights; a row of a matrix has whole blocks
    int block_bytes;
    bool has_one_scale;       // a float32 of the whole matrix, after its rows
    std::uint32_t ggml_type;  // type id in a GGUF file
    Summing (*summing)(const Product& product, const Arithmetic& arithmetic);
    // Whether embeddings may be in it: the values of a packed row; null for a format that none are in.
    void (*unpack)(const std::uint8_t* row, int cols, float* out);
    // Of a ternary format: the codes 0, 1, 2 of a packed block, that stand for -1, 0, 1; 3 where the block is no packer's.
    // Its scale is a half at the end of the block, or that of the whole matrix.
    void (*unpack_codes)(const std::uint8_t* block, std::uint8_t* codes) = nullptr;
};

// In the order of Format.
std::span<const FormatRow> format_rows();

const FormatRow& row_of(Format format);

// Bytes of a packed row of a matrix; cols is a multiple of the format's block.
std::size_t row_bytes(Format format, int cols);

// Columns with those that fill the last block.
constexpr int in_whole_blocks(int cols, int block) { return (cols + block - 1) / block * block; }

}  // namespace bitnet
