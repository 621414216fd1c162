// The table of tensors of one GGUF file: what each is, and where its bytes lie.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "library/cursor.hpp"
#include "library/gguf.hpp"

namespace bitnet::library {

// As many as a uint64 has where no address could hold them.
std::uint64_t elements_of(const std::vector<std::uint64_t>& shape);

// All tensors of the table at which the cursor stands; alignment is that of their data, which begins behind the table.
// Throws BadInput.
Tensors read_tensors(Cursor& cursor, std::uint64_t count, std::span<const std::uint8_t> file,
                     std::uint64_t alignment);

}  // namespace bitnet::library
