// The weight formats that the engine multiplies, and the sizes of their blocks.  Every other fact about a format is in
// its row of format_table.cpp.  Names and layouts are those of GGUF files.
#pragma once

#include <cstdint>

namespace bitnet {

enum class Format : std::uint8_t {
    f32,
    f16,
    bf16,
    i2_s,
    tq1_0,
    tq2_0,
    q8_0,
    q5_0,
    q4_0,
    q4_1,
    q6_k,
    q4_k,
    q3_k,
    q2_0,
    q1_0,
};
constexpr int format_count = int(Format::q1_0) + 1;

constexpr int block_i2_s = 128;  // weights a block
constexpr int i2_s_bytes = 32;   // of four
constexpr int block_q8_0 = 32;   // of Q8_0, Q5_0, Q4_0 and Q4_1
constexpr int q8_0_bytes = 34;   // F16 scale, 32 codes
constexpr int q5_0_bytes = 22;   // F16 scale, 4 bytes of high bits, 16 of low bits
constexpr int q4_0_bytes = 18;   // F16 scale, 16 bytes of two
constexpr int q4_1_bytes = 20;   // F16 scale and least, 16 bytes of two
constexpr int block_q8_k = 256;  // weights a block of TQ1_0, TQ2_0 and the K-quants
constexpr int tq1_0_bytes = 54;  // 48 bytes of five, 4 bytes of four, F16 scale
constexpr int tq2_0_bytes = 66;  // 64 bytes of four, F16 scale

constexpr int q6_k_bytes = 210;  // 128 bytes of low bits, 64 of high bits, 16 scales, F16 scale
constexpr int q4_k_bytes = 144;  // F16 scale of scales and of leasts, 12 bytes of both, 128 bytes of two
constexpr int q3_k_bytes = 110;  // 32 bytes of high bits, 64 of low bits, 12 of scales, F16 scale

constexpr int block_q2_0 = 64;   // weights a block, two of Q8_0's
constexpr int q2_0_bytes = 18;   // F16 scale, 16 bytes of four
constexpr int block_q1_0 = 128;  // weights a block, four of Q8_0's
constexpr int q1_0_bytes = 18;   // F16 scale, 16 bytes of eight

}  // namespace bitnet
