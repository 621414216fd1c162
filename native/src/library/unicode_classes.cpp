#include "library/unicode_classes.hpp"

#include <algorithm>
#include <iterator>

namespace bitnet::library {
namespace {

struct Range {
    char32_t first, last;
    Classes classes;
};

// Ascending; what is in no range has no class.
constexpr Range ranges[] = {
#include "library/unicode_table.inc"
};

}  // namespace

Classes classes_of(char32_t code_point) {
    const Range* end = std::ranges::end(ranges);
    const Range* found = std::ranges::lower_bound(ranges, code_point, {}, &Range::last);
    return found != end && found->first <= code_point ? found->classes : Classes(0);
}

}  // namespace bitnet::library
