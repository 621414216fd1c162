#include "devices.hpp"

#include "compat.hpp"

namespace bridge {

std::vector<Device> devices() {
    std::vector<Device> found;
    for (std::size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        const ggml_backend_dev_t device = ggml_backend_dev_get(i);
        if (!compat::is_accelerator(ggml_backend_dev_type(device))) continue;
        std::size_t free = 0, total = 0;
        ggml_backend_dev_memory(device, &free, &total);
        found.push_back({ggml_backend_dev_name(device), ggml_backend_dev_description(device), total, device});
    }
    return found;
}

}  // namespace bridge
