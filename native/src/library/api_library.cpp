// bitnet.h: the library, its devices and its kernel sets.
#include <algorithm>
#include <string>
#include <thread>

#include "bitnet.h"
#include "bitnet/kernels.hpp"
#include "library/bad_input.hpp"
#include "library/boundary.hpp"
#include "library/devices.hpp"

using namespace bitnet;
using namespace bitnet::library;

namespace {

const KernelSet* set_that_runs(std::int32_t index) {
    for (const KernelSet* set : kernel_sets()) {
        if (set->runs_here() && index-- == 0) return set;
    }
    return nullptr;
}

}  // namespace

extern "C" {

const char* bitnet_version(void) { return BITNET_VERSION; }

uint32_t bitnet_abi_version(void) { return BITNET_ABI_VERSION; }

const char* bitnet_compiler(void) {
    return guarded(__func__, [] {
        static const std::string name = compiler_name();
        return name.c_str();
    });
}

bitnet_status bitnet_init(uint32_t abi_version) {
    return guarded(__func__, [&] {
        if (abi_version != BITNET_ABI_VERSION) {
            throw BadInput("the program was compiled for ABI " + std::to_string(abi_version) +
                           ", the library has ABI " + std::to_string(BITNET_ABI_VERSION));
        }
        return BITNET_OK;
    });
}

void bitnet_cleanup(void) {
    sessions().close_all();
    models().close_all();
}

const char* bitnet_last_error(void) { return last_error(); }

const char* bitnet_status_name(int32_t status) {
    switch (status) {
        case BITNET_OK:
            return "BITNET_OK";
        case BITNET_BAD_INPUT:
            return "BITNET_BAD_INPUT";
        case BITNET_CLOSED:
            return "BITNET_CLOSED";
        case BITNET_NO_DEVICE:
            return "BITNET_NO_DEVICE";
        case BITNET_BUSY:
            return "BITNET_BUSY";
        case BITNET_NO_MEMORY:
            return "BITNET_NO_MEMORY";
        case BITNET_FAILED:
            return "BITNET_FAILED";
    }
    return "unknown";
}

int32_t bitnet_device_count(void) { return accelerator_count(); }

const char* bitnet_device_name(int32_t device_id) {
    return guarded(__func__, [&] {
        require_device(device_id);
        return cpu_name().c_str();
    });
}

int32_t bitnet_kernel_set_count(void) {
    const auto runs_here = [](const KernelSet* set) { return set->runs_here(); };
    return int32_t(std::ranges::count_if(kernel_sets(), runs_here));
}

const char* bitnet_kernel_set_name(int32_t index) {
    return guarded(__func__, [&] {
        const KernelSet* set = index < 0 ? nullptr : set_that_runs(index);
        if (set == nullptr) throw BadInput("there is no kernel set " + std::to_string(index));
        return set->name;
    });
}

int32_t bitnet_hardware_threads(void) { return std::max(1, int32_t(std::thread::hardware_concurrency())); }

}  // extern "C"
