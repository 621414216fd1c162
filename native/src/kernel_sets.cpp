#include "bitnet/kernels.hpp"

#include <array>
#include <cstring>

#include "kernels/sets.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace bitnet {
namespace {

// Sets are composed here and not in the kernels' own files: this runs on every CPU when the program starts.

// The kernels of `preferred`, and those of `others` where it has none.
MatMuls joined(const MatMuls& preferred, const MatMuls& others) {
    MatMuls all = preferred;
    for (int format = 0; format < format_count; ++format) {
        for (int sums = 0; sums < sums_count; ++sums) {
            MatMul& kernel = all.of[format][sums];
            if (kernel == nullptr) kernel = others.of[format][sums];
        }
    }
    return all;
}

// A set has no kernel where its instructions are of no use, or nobody has written it; there it has that of `rest`.
KernelSet with_rest(KernelSet set, const KernelSet& rest) {
    const auto fill_in = [&](auto KernelSet::* kernel) {
        if (set.*kernel == nullptr) set.*kernel = rest.*kernel;
    };
    fill_in(&KernelSet::quantize_i8);
    fill_in(&KernelSet::quantize_q8_k);
    fill_in(&KernelSet::quantize_q8_k_fused);
    fill_in(&KernelSet::quantize_q8_0);
    fill_in(&KernelSet::to_f16);
    fill_in(&KernelSet::from_f16);
    fill_in(&KernelSet::round_to_f16);
    fill_in(&KernelSet::round_to_bf16);
    fill_in(&KernelSet::rms_norm);
    fill_in(&KernelSet::relu2_mul);
    fill_in(&KernelSet::add);
    fill_in(&KernelSet::rotate);
    fill_in(&KernelSet::rotate_in_fours);
    set.matmuls = joined(set.matmuls, rest.matmuls);
    for (int order = 0; order < order_count; ++order) {
        OrderedKernels& ordered = set.orders[order];
        ordered.matmuls = joined(ordered.matmuls, rest.orders[order].matmuls);
        if (ordered.softmax == nullptr) ordered.softmax = rest.orders[order].softmax;
        if (ordered.silu_mul == nullptr) ordered.silu_mul = rest.orders[order].silu_mul;
    }
    return set;
}

#if defined(__x86_64__)

const KernelSet& avx2_kernels() {
    static const KernelSet set = with_rest(avx2::kernels, portable::kernels);
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
        KernelSet kernels = with_rest(avx512::kernels, avx2_kernels());
        kernels.runs_here = has_avx512;
        return kernels;
    }();
    return set;
}

// As Zen 4 does: AMD's CPUs say in two bits how wide they compute, others have no such leaf.
bool computes_in_256_bits() {
    constexpr unsigned leaf = 0x8000001a, fp_256 = 1 << 2, fp_512 = 1 << 3;
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid(leaf, &eax, &ebx, &ecx, &edx) != 0 && (eax & (fp_256 | fp_512)) == fp_256;
}

const KernelSet& avx512_zen4_kernels() {
    static const KernelSet set = [] {
        KernelSet kernels = avx512_kernels();
        kernels.matmuls = joined(avx512::for_256_bit_paths, kernels.matmuls);
        kernels.name = "avx512_zen4";
        return kernels;
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
        const MatMuls& in_half = portable::kernels.in(Order::neon_fp16).matmuls;
        for (int sums = 0; sums < sums_count; ++sums)
            ordered.matmuls.of[int(Format::f16)][sums] = in_half.of[int(Format::f16)][sums];
        return with_rest(kernels, portable::kernels);
    }();
    return set;
}

const KernelSet& dotprod_kernels() {
    static const KernelSet set = [] {
        KernelSet kernels = neon_kernels();
        kernels.matmuls = joined(neon_dotprod::of_codes, kernels.matmuls);
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
        computes_in_256_bits() ? &avx512_zen4_kernels() : &avx512_kernels(),
        computes_in_256_bits() ? &avx512_kernels() : &avx512_zen4_kernels(),
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
