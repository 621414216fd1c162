// NEON with sdot, of Armv8.2 (FEAT_DotProd).  This file alone is compiled for it, and everything it includes
// is in anonymous namespaces.

#include "sets.hpp"

#if defined(__aarch64__)

#include "neon/in_four.hpp"
#include "neon_dotprod/ternary.hpp"

namespace bitnet::neon_dotprod {

constinit const MatMuls of_codes = matmuls({
    {Format::i2_s, Sums::whole, multiply<I2S, 4, 4, 4>},
    {Format::tq1_0, Sums::lanes, multiply<neon::Q8K<neon::Tq1, true, SumFours>::Tile, 1, 1, 4>},
    {Format::tq2_0, Sums::lanes, multiply<neon::Q8K<neon::Tq2, true, SumFours>::Tile, 1, 1, 4>},
    {Format::tq1_0, Sums::lanes_rounded, multiply<neon::Q8K<neon::Tq1, false, SumFours>::Tile, 1, 1, 4>},
    {Format::tq2_0, Sums::lanes_rounded, multiply<neon::Q8K<neon::Tq2, false, SumFours>::Tile, 1, 1, 4>},
    {Format::tq1_0, Sums::one, multiply<neon::in_four::OneSum<neon::Tq1, SumFours>::Tile, 1, 1, 4>},
    {Format::tq2_0, Sums::one, multiply<neon::in_four::OneSum<neon::Tq2, SumFours>::Tile, 1, 1, 4>},
});

}  // namespace bitnet::neon_dotprod

#endif
