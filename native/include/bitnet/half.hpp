// Conversions of the 16-bit float formats, one value at a time.
#pragma once

#include <cstdint>

namespace bitnet {

float float_of_f16(std::uint16_t bits);
std::uint16_t f16_of_float(float value);  // round to nearest even, as the F16C instruction does
float float_of_bf16(std::uint16_t bits);
std::uint16_t bf16_of_float(float value);  // round to nearest even; NaN stays NaN

}  // namespace bitnet
