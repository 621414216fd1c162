// Generating tokens in a session, one after the other.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "bitnet.h"
#include "library/session.hpp"

namespace bitnet::library {

// As bitnet_generate says.  Throws BadInput.
std::vector<std::int32_t> generate(OpenSession& session, std::span<const std::int32_t> ids,
                                   const bitnet_generation_config& config, bitnet_stream_function stream,
                                   void* user);

// The next token from the logits of the last position.  Throws BadInput when they are not kept.
std::int32_t next_token(const OpenSession& session, const bitnet_generation_config& config);

}  // namespace bitnet::library
