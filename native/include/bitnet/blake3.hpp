// BLAKE3 of float rows, for trace records: the same digests as the package of that name gives, without the
// interpreter in between.  https://github.com/BLAKE3-team/BLAKE3-specs, section 2.
//
// A message is cut into chunks of 1,024 bytes, each compressed to a chaining value on its own; these are
// joined in pairs, level by level, an odd one at the end of a level moving up as it is, until one is left:
// the root.  All compressions of a level are independent, so eight go side by side.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "bitnet/kernels.hpp"

namespace bitnet {

using Digest = std::array<std::uint8_t, 32>;

// Digests of `count` messages of `bytes` bytes each, `stride` bytes apart.
void hash_messages(const KernelSet& kernels, const std::uint8_t* first, std::size_t stride, int count,
                   std::size_t bytes, Digest* out);

}  // namespace bitnet
