// Choosing the next token from logits; bitnet.h says how (bitnet_generation_config).
#pragma once

#include <cstdint>
#include <span>

#include "bitnet.h"

namespace bitnet::library {

// Throws BadInput for a config that cannot be.
void check(const bitnet_generation_config& config);

// logits    (n_vocab,)
// history   tokens so far; the new one's position is their number
// Throws std::runtime_error for logits that are not numbers.
std::int32_t choose_token(std::span<const float> logits, std::span<const std::int32_t> history,
                          const bitnet_generation_config& config);

}  // namespace bitnet::library
