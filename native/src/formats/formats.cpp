#include "formats.hpp"

#include <array>
#include <cstring>

namespace bitnet {

std::span<const WeightFormat* const> weight_formats() {
    using namespace formats;
    static const std::array all{&bf16, &f16,  &f32,   &i2_s, &i2_s_arm, &i2_s_x4, &i8_s,
                                &q8_0, &q8_k, &qk256, &tl1,  &tl2,      &tq1_0,   &tq2_0};
    return all;
}

const WeightFormat* find_weight_format(const char* name) {
    for (const WeightFormat* format : weight_formats()) {
        if (std::strcmp(name, format->name) == 0) return format;
    }
    return nullptr;
}

}  // namespace bitnet
