// A model open: its file, mapped, and what was read from it.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "bitnet/arithmetic.hpp"
#include "library/architectures.hpp"
#include "library/gguf.hpp"
#include "library/tokenizer.hpp"
#include "library/weights.hpp"

namespace bitnet::library {

struct ModelChoices {
    std::int32_t device_id = -1;
    std::string arithmetic = "auto", kernels = "auto";
};

class OpenModel {
public:
    // Throws BadInput; a sentence about the file begins with its name.
    OpenModel(const std::string& path, const ModelChoices& choices);

    const GgufFile& file() const { return file_; }
    const Shape& shape() const { return shape_; }
    const Architecture& architecture() const { return architecture_; }
    const MappedModel& mapped() const { return mapped_; }
    const Arithmetic& arithmetic() const { return arithmetic_; }
    const KernelSet& kernels() const { return kernels_; }
    const std::string& description() const { return description_; }
    std::size_t owned_bytes() const { return mapped_.owned_bytes() + file_.repacked_bytes(); }

    // Made when it is first asked for: a large vocabulary takes longer than all else.  Throws BadInput.
    const Tokenizer& tokenizer() const;

private:
    std::string describe() const;

    GgufFile file_;
    Architecture architecture_;
    Shape shape_;
    MappedModel mapped_;
    Arithmetic arithmetic_;
    const KernelSet& kernels_;
    std::string description_;  // "key=value" a line
    mutable std::mutex making_tokenizer_;
    mutable std::optional<Tokenizer> tokenizer_;
};

// Throws as the constructor.
std::shared_ptr<OpenModel> open_model(const std::string& path, const ModelChoices& choices);

// What compiled the library: "gcc 12.2.0".
std::string compiler_name();

}  // namespace bitnet::library
