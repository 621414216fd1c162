// BLAKE3, plain hashing of bytes that lie in memory (O'Connor, Aumasson, Neves, Wilcox-O'Hearn 2020).
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace bitnet::library {

// 32 bytes as hex.
std::string blake3(std::span<const std::uint8_t> bytes);

}  // namespace bitnet::library
