#include "bitnet/kernels.hpp"

#include <array>
#include <cstring>

#include "kernels/sets.hpp"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace bitnet {
namespace {

// Composed here and not in the kernels' own files: this runs on every CPU when the program starts.
KernelSet with_ternary(const KernelSet& base, const TernaryKernels& ternary) {
    KernelSet set = base;
    set.i2_s = ternary.i2_s;
    set.tq1_0 = ternary.tq1_0;
    set.tq2_0 = ternary.tq2_0;
    set.tq1_0_apart = ternary.tq1_0_apart;
    set.tq2_0_apart = ternary.tq2_0_apart;
    set.tq1_0_in_one_sum = ternary.tq1_0_in_one_sum;
    set.tq2_0_in_one_sum = ternary.tq2_0_in_one_sum;
    return set;
}

// Kernels that a set has not written for its instructions are the portable ones.
KernelSet with_portable_rest(KernelSet set) {
    const auto fill_in = [&](auto KernelSet::* kernel) {
        if (set.*kernel == nullptr) set.*kernel = portable::kernels.*kernel;
    };
    fill_in(&KernelSet::quantize_q8_k_fused);
    fill_in(&KernelSet::tq1_0_in_one_sum);
    fill_in(&KernelSet::tq2_0_in_one_sum);
    fill_in(&KernelSet::rotate_in_fours);
    for (int order = 0; order < order_count; ++order) {
        if (set.orders[order].f32_dot == nullptr) set.orders[order] = portable::kernels.orders[order];
    }
    return set;
}

#if defined(__x86_64__)

const KernelSet& avx2_kernels() {
    static const KernelSet set = with_portable_rest(avx2::kernels);
    return set;
}

// Also asks whether the operating system saves the registers.
bool has_avx512() {
    return avx2::kernels.runs_here() && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
}

const KernelSet& avx512_kernels() {
    static const KernelSet set = [] {
        KernelSet kernels = with_ternary(avx2::kernels, avx512::ternary);
        kernels.name = "avx512";
        kernels.isa = "avx512f+bw+vl+dq+vnni";
        kernels.runs_here = has_avx512;
        kernels.orders[int(Order::avx512)] = kernels.orders[int(Order::avx512_bf16)] = avx512::in_sixteen;
        kernels.orders[int(Order::avx512_bf16)].bf16_dot = avx512::by_pairs.dot;
        kernels.orders[int(Order::avx512_bf16)].bf16_tile = avx512::by_pairs.tile;
        return with_portable_rest(kernels);
    }();
    return set;
}

#elif defined(__aarch64__)

bool has_dotprod() {
#if defined(__linux__)
    return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#elif defined(__ARM_FEATURE_DOTPROD)
    return true;  // the whole program was compiled for it, as on macOS
#else
    return false;
#endif
}

// Sums in F16 are portable's: the set has no FP16 vector arithmetic.
const KernelSet& neon_kernels() {
    static const KernelSet set = [] {
        KernelSet kernels = neon::kernels;
        OrderedKernels& ordered = kernels.orders[int(Order::neon_fp16)];
        ordered = kernels.in(Order::neon);
        ordered.f16_dot = portable::kernels.in(Order::neon_fp16).f16_dot;
        ordered.f16_tile = portable::kernels.in(Order::neon_fp16).f16_tile;
        return with_portable_rest(kernels);
    }();
    return set;
}

const KernelSet& dotprod_kernels() {
    static const KernelSet set = [] {
        KernelSet kernels = with_ternary(neon_kernels(), neon_dotprod::ternary);
        kernels.name = "neon_dotprod";
        kernels.isa = "neon+dotprod";
        kernels.runs_here = has_dotprod;
        return kernels;
    }();
    return set;
}

#endif

}  // namespace

std::span<const KernelSet* const> kernel_sets() {
    static const std::array sets{
#if defined(__x86_64__)
        &avx512_kernels(),
        &avx2_kernels(),
#elif defined(__aarch64__)
        &dotprod_kernels(),
        &neon_kernels(),
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
