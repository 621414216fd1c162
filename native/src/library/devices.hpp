// Devices that a model may be computed on.  -1 is the CPU; accelerators are counted from 0, and this build has none.
#pragma once

#include <cstdint>
#include <string>

namespace bitnet::library {

constexpr std::int32_t cpu = -1;

std::int32_t accelerator_count();

// The CPU's as it says itself, with the kernel set that "auto" takes.
const std::string& cpu_name();

// Throws NoDevice, which lists those that there are.
void require_device(std::int32_t device);

}  // namespace bitnet::library
