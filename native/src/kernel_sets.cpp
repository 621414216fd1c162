#include "bitnet/kernels.hpp"

#include <array>
#include <cstring>

#include "kernels/sets.hpp"

namespace bitnet {

std::span<const KernelSet* const> kernel_sets() {
    static const std::array sets{
#if defined(__x86_64__)
        &avx2::kernels,
#elif defined(__aarch64__)
        &neon::kernels,
#endif
        &portable::kernels,
    };
    return sets;
}

const KernelSet* find_kernel_set(const char* name) {
    const bool any = std::strcmp(name, "auto") == 0;
    for (const KernelSet* set : kernel_sets()) {
        if ((any || std::strcmp(name, set->name) == 0) && set->runs_here()) return set;
    }
    return nullptr;
}

}  // namespace bitnet
