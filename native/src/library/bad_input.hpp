// What a caller or a file got wrong, told in one sentence.
#pragma once

#include <stdexcept>

namespace bitnet::library {

struct BadInput : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// A device that does not exist was asked for.
struct NoDevice : BadInput {
    using BadInput::BadInput;
};

}  // namespace bitnet::library
