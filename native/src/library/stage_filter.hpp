// Filters of stages, as bitparity.stages has them: clauses `layer:stage` with commas between.
#pragma once

#include <string_view>

#include "bitnet/tap.hpp"
#include "library/architectures.hpp"

namespace bitnet::library {

// The stages of a model that the filter names.  Throws BadInput for a clause that names none.
StageList stages_named(std::string_view filter, const Architecture& architecture, int n_layer);

}  // namespace bitnet::library
