// TQ1_0 of ggml: five base-3 digits a byte, d0 ... d4 as the fraction ceil((81 d0 + 27 d1 + 9 d2 + 3 d3 + d4)
// * 256 / 243), so that digit k is the integer part of 3 * frac(3^k * byte / 256).  32 bytes hold the weights
// 0 ... 159, digit k of byte j being weight j + 32 k; 16 bytes the next 80 in the same way; 4 bytes the last
// 16 in four digits.

#include "formats.hpp"
#include "tq.hpp"

namespace bitnet::formats {
namespace {

struct Run {
    int bytes, digits;
};
constexpr Run runs[] = {{32, 5}, {16, 5}, {4, 4}};
constexpr int powers[] = {1, 3, 9, 27, 81};

struct Coding {
    static constexpr const char* name = "TQ1_0";
    static constexpr int bytes = 52;

    static void write(const std::uint8_t* stored, std::uint8_t* coded) {
        for (const Run& run : runs) {
            for (int j = 0; j < run.bytes; ++j) {
                int number = 0;
                for (int k = 0; k < run.digits; ++k) number += powers[4 - k] * stored[k * run.bytes + j];
                coded[j] = std::uint8_t((number * 256 + 242) / 243);
            }
            stored += run.bytes * run.digits;
            coded += run.bytes;
        }
    }

    static void read(const std::uint8_t* coded, std::uint8_t* stored) {
        for (const Run& run : runs) {
            for (int k = 0; k < run.digits; ++k) {
                for (int j = 0; j < run.bytes; ++j) {
                    const auto fraction = std::uint8_t(coded[j] * powers[k]);  // wraps: the integer part goes
                    stored[k * run.bytes + j] = std::uint8_t(fraction * 3 >> 8);
                }
            }
            stored += run.bytes * run.digits;
            coded += run.bytes;
        }
    }
};

}  // namespace

const WeightFormat tq1_0 = tq_format<Coding>;

}  // namespace bitnet::formats
