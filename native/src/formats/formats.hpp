// Contents: one line a format.
#pragma once

#include "bitnet/formats.hpp"

namespace bitnet::formats {

extern const WeightFormat bf16;
extern const WeightFormat f16;
extern const WeightFormat f32;
extern const WeightFormat i2_s;
extern const WeightFormat i2_s_arm;
extern const WeightFormat i2_s_x4;
extern const WeightFormat i8_s;
extern const WeightFormat q8_0;
extern const WeightFormat q8_k;
extern const WeightFormat qk256;
extern const WeightFormat tl1;
extern const WeightFormat tl2;
extern const WeightFormat tq1_0;
extern const WeightFormat tq2_0;

}  // namespace bitnet::formats
