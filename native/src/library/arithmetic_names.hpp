// The names of arithmetics, as bitparity.oracle.arithmetic has them: GENERATION[/ORDER][/COMPILER].
#pragma once

#include <string>
#include <string_view>

#include "bitnet/arithmetic.hpp"
#include "library/architectures.hpp"
#include "library/gguf.hpp"

namespace bitnet::library {

// What the name leaves out is AVX2 and the generation's usual compiler.  Throws BadInput for a name that is none.
Arithmetic arithmetic_named(std::string_view name);

// With all three parts.
std::string name_of(const Arithmetic& arithmetic);

// For "auto": bitnet.cpp's for I2_S weights and for the architectures that only it runs, else llama.cpp's.
Arithmetic usual_arithmetic(const GgufFile& file, const Architecture& architecture);

}  // namespace bitnet::library
