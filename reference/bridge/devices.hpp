// The accelerators that a llama.cpp was built for and that are there.
#pragma once

#include <ggml-backend.h>

#include <cstdint>
#include <string>
#include <vector>

namespace bridge {

struct Device {
    std::string name;         // "CUDA0"
    std::string description;  // "NVIDIA H100"
    std::uint64_t bytes;      // of memory
    ggml_backend_dev_t handle;
};

/// In the order of llama.cpp, which counts them from 0 and offloads to one by its number.
std::vector<Device> devices();

}  // namespace bridge
