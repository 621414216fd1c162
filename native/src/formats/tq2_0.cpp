// TQ2_0 of ggml: two runs of 128 weights in 32 bytes; byte j of a run holds the weights j, 32 + j, 64 + j and
// 96 + j in its bits 1-0, 3-2, 5-4 and 7-6 (the reverse of I2_S).

#include "formats.hpp"
#include "tq.hpp"

namespace bitnet::formats {
namespace {

struct Coding {
    static constexpr const char* name = "TQ2_0";
    static constexpr int bytes = 64;

    static int byte_of(int i) { return i / 128 * 32 + i % 32; }
    static int shift_of(int i) { return 2 * (i % 128 / 32); }

    static void write(const std::uint8_t* stored, std::uint8_t* coded) {
        std::fill_n(coded, bytes, std::uint8_t(0));
        for (int i = 0; i < tq_block; ++i) {
            std::uint8_t& byte = coded[byte_of(i)];
            byte = std::uint8_t(byte | stored[i] << shift_of(i));
        }
    }

    static void read(const std::uint8_t* coded, std::uint8_t* stored) {
        for (int i = 0; i < tq_block; ++i) stored[i] = coded[byte_of(i)] >> shift_of(i) & 3;
    }
};

}  // namespace

const WeightFormat tq2_0 = tq_format<Coding>;

}  // namespace bitnet::formats
