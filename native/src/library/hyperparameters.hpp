// Hyperparameters from the metadata of a file, under the keys that its architecture has.
#pragma once

#include "library/architectures.hpp"
#include "library/gguf.hpp"

namespace bitnet::library {

// The architecture that general.architecture names.  Throws BadInput when there is none that the core computes.
// It has the stage `pooled` in a file that asks for the last token to be pooled.
Architecture architecture_of(const GgufFile& file);

// Throws BadInput that names the key which is missing, wrong, or asks for what is not supported.
Shape read_shape(const GgufFile& file, const Architecture& architecture);

}  // namespace bitnet::library
