#include "library/model.hpp"

#include <map>

#include "library/arithmetic_names.hpp"
#include "library/bad_input.hpp"
#include "library/devices.hpp"
#include "library/hyperparameters.hpp"
#include "library/words.hpp"

namespace bitnet::library {
namespace {

const KernelSet& kernels_named(const std::string& name) {
    const KernelSet* found = find_kernel_set(name.c_str());
    if (found != nullptr) return *found;
    std::vector<std::string> here;
    for (const KernelSet* set : kernel_sets()) {
        if (set->runs_here()) here.emplace_back(set->name);
    }
    throw BadInput("no kernel set that runs here is named " + quoted(name) + "; there are " + joined(here));
}

}  // namespace

OpenModel::OpenModel(const std::string& path, const ModelChoices& choices)
    : file_(path),
      architecture_(architecture_of(file_)),
      shape_(read_shape(file_, architecture_)),
      mapped_(map_weights(file_, architecture_, shape_)),
      arithmetic_(choices.arithmetic == "auto" ? usual_arithmetic(file_, architecture_)
                                               : arithmetic_named(choices.arithmetic)),
      kernels_(kernels_named(choices.kernels)),
      description_(describe()) {}

const Tokenizer& OpenModel::tokenizer() const {
    const std::lock_guard lock(making_tokenizer_);
    if (!tokenizer_) tokenizer_.emplace(file_);
    return *tokenizer_;
}

std::string OpenModel::describe() const {
    std::map<std::string_view, int> formats;
    for (const auto& [name, tensor] : file_.tensors()) ++formats[row_of(tensor.format).name];
    std::vector<std::string> counted;
    for (const auto& [name, count] : formats)
        counted.push_back(std::string(name) + "*" + std::to_string(count));
    return joined({"version=" BITNET_VERSION, "compiler=" + compiler_name(),
                   std::string("isa=") + kernels_.isa, std::string("kernels=") + kernels_.name,
                   std::string("kv_type=f16"), "arithmetic=" + name_of(arithmetic_),
                   "architecture=" + std::string(architecture_.name), "weight_formats=" + joined(counted)},
                  "\n");
}

std::shared_ptr<OpenModel> open_model(const std::string& path, const ModelChoices& choices) {
    require_device(choices.device_id);
    try {
        return std::make_shared<OpenModel>(path, choices);
    } catch (const BadInput& error) {
        throw BadInput(base_name(path) + ": " + error.what());
    }
}

std::string compiler_name() {
#if defined(__clang__)
    return std::string("clang ") + __clang_version__;
#else
    return std::string("gcc ") + __VERSION__;
#endif
}

}  // namespace bitnet::library
