// Packed weights as float32; the layouts are those of bitparity.formats.
#pragma once

#include <vector>

#include "library/gguf.hpp"

namespace bitnet::library {

// All elements, in the order of the tensor's shape.
std::vector<float> unpack(const Tensor& tensor);

}  // namespace bitnet::library
