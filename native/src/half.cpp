#include "bitnet/half.hpp"

#include <bit>
#include <cmath>

namespace bitnet {

float float_of_f16(std::uint16_t bits) {
    const std::uint32_t sign = std::uint32_t(bits & 0x8000u) << 16;
    const std::uint32_t exponent = (bits >> 10) & 31u;
    const std::uint32_t fraction = bits & 0x3ffu;
    if (exponent == 0) {
        const float value = std::ldexp(float(fraction), -24);
        return sign ? -value : value;
    }
    if (exponent == 31) {
        const std::uint32_t quiet = fraction ? 0x400000u : 0u;
        return std::bit_cast<float>(sign | 0x7f800000u | quiet | (fraction << 13));
    }
    return std::bit_cast<float>(sign | ((exponent + 112u) << 23) | (fraction << 13));
}

std::uint16_t f16_of_float(float value) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
    const std::uint16_t sign = std::uint16_t((bits >> 16) & 0x8000u);
    const std::uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return std::uint16_t(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
    if (magnitude >= 0x477ff000u) return std::uint16_t(sign | 0x7c00u);  // 65520 and more round to infinity
    if (magnitude < 0x38800000u) {  // below 2^-14: a multiple of 2^-24, which lrint rounds half to even
        const float scaled = std::bit_cast<float>(magnitude) * 0x1p24f;
        return std::uint16_t(sign | std::uint32_t(std::lrint(scaled)));
    }
    const std::uint32_t half_even = 0xfffu + ((magnitude >> 13) & 1u);
    return std::uint16_t(sign | ((magnitude + half_even - 0x38000000u) >> 13));
}

float float_of_bf16(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t(bits) << 16); }

std::uint16_t bf16_of_float(float value) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return std::uint16_t((bits >> 16) | 64u);
    return std::uint16_t((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

}  // namespace bitnet
