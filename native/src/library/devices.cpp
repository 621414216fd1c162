#include "library/devices.hpp"

#include <fstream>

#include "bitnet/kernels.hpp"
#include "library/bad_input.hpp"

namespace bitnet::library {
namespace {

// As Linux tells it; "CPU" elsewhere, and where the kernel does not know.
std::string model_name() {
    std::ifstream info("/proc/cpuinfo");
    for (std::string line; std::getline(info, line);) {
        if (!line.starts_with("model name")) continue;
        const std::size_t colon = line.find(": ");
        if (colon != std::string::npos) return line.substr(colon + 2);
    }
    return "CPU";
}

}  // namespace

std::int32_t accelerator_count() { return 0; }

const std::string& cpu_name() {
    static const std::string name = model_name() + " (" + find_kernel_set("auto")->name + ")";
    return name;
}

void require_device(std::int32_t device) {
    if (device == cpu) return;
    throw NoDevice("device " + std::to_string(device) +
                   " does not exist: this build computes on the CPU only, which is device -1, " + cpu_name());
}

}  // namespace bitnet::library
