// Tokenizing and detokenizing into a caller's memory: what bitnet.h and engine.h have in common.
#pragma once

#include <cstdint>

#include "library/tokenizer.hpp"

namespace bitnet::library {

// How many ids there are, also when there is no room for them; then nothing is written.
std::int32_t tokenize(const Tokenizer& tokenizer, const char* text, std::size_t size, bool add_bos,
                      bool parse_special, std::int32_t* ids, std::int32_t capacity);

// How many bytes there are, likewise.  They may begin or end inside a character.
std::int32_t detokenize(const Tokenizer& tokenizer, const std::int32_t* ids, std::int32_t n, char* text,
                        std::size_t capacity);

}  // namespace bitnet::library
