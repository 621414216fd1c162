// To which of the classes that pre-tokenizers ask for a character belongs, by Unicode 15.1.
#pragma once

#include <cstdint>

namespace bitnet::library {

// Bits.
using Classes = std::uint8_t;
constexpr Classes letter = 1, number = 2, mark = 4, punctuation = 8, space = 16;

Classes classes_of(char32_t code_point);

}  // namespace bitnet::library
