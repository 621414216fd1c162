// Structures of the C API, whose first member is their size: a program compiled for an older header has shorter ones.
#pragma once

#include <algorithm>
#include <cstring>

#include "library/bad_input.hpp"

namespace bitnet::library {

// What the caller gave, and the defaults for members that its structure does not have.
template <typename Structure>
Structure filled_in(const Structure* given, void (*init)(Structure*)) {
    Structure result;
    init(&result);
    if (given == nullptr) return result;
    if (given->size < sizeof given->size) {
        throw BadInput("the structure's size is not set; call its _init function first");
    }
    std::memcpy(&result, given, std::min(given->size, sizeof result));
    result.size = sizeof result;
    return result;
}

// Fills in as much of the caller's structure as it has.
template <typename Structure>
void hand_out(const Structure& result, Structure* out) {
    if (out == nullptr) throw BadInput("there is nowhere to write the result to");
    const std::size_t size = std::min(out->size, sizeof result);
    if (size < sizeof size) throw BadInput("the structure's size is not set; set its member size first");
    const std::size_t given = out->size;
    std::memcpy(out, &result, size);
    out->size = given;
}

}  // namespace bitnet::library
