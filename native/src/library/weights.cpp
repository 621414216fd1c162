#include "library/weights.hpp"

#include <cstring>
#include <set>
#include <string>

#include "library/bad_input.hpp"
#include "library/unpack.hpp"
#include "library/words.hpp"

namespace bitnet::library {
namespace {

using Axes = std::vector<std::uint64_t>;

bool is_float(Format format) {
    return format == Format::f32 || format == Format::f16 || format == Format::bf16;
}

bool holds_embeddings(Format format) { return row_of(format).unpack != nullptr; }

// (rows, cols) of a packed matrix.
Matrix matrix_of(Format format, std::uint64_t rows, std::uint64_t cols, const std::uint8_t* data) {
    const std::size_t row = row_bytes(format, int(cols));
    Matrix matrix{format, int(rows), int(cols), data, row, 1.0f};
    if (row_of(format).has_one_scale) {
        std::memcpy(&matrix.scale, data + row * std::size_t(rows), sizeof(float));
    }
    return matrix;
}

Matrix matrix_of(const Tensor& tensor) {
    return matrix_of(tensor.format, tensor.shape[0], tensor.shape[1], tensor.data.data());
}

class Mapping {
public:
    Mapping(const GgufFile& file, const Architecture& architecture, const Shape& shape)
        : file_(file), architecture_(architecture), shape_(shape) {}

    MappedModel map() {
        const Axes standard{std::uint64_t(shape_.n_vocab), std::uint64_t(shape_.n_embd)};
        const Tensor* output = optional("output.weight", standard);
        mapped_.head_is_tied = output == nullptr;
        mapped_.model.hyper = shape_;
        map_embedding(standard);
        if (output != nullptr) mapped_.model.head = matrix_of(*output);
        mapped_.model.output_norm = vector_of(take("output_norm.weight", {standard[1]}));
        const Tensor* factors = optional("rope_freqs.weight", {std::uint64_t(shape_.rope_dim / 2)});
        mapped_.model.rope_factors = factors == nullptr ? nullptr : vector_of(*factors);
        for (int layer = 0; layer < shape_.n_layer; ++layer) mapped_.model.layers.push_back(map_layer(layer));
        refuse_unused();
        return std::move(mapped_);
    }

private:
    const Tensor* optional(const std::string& name, const Axes& axes) {
        const auto found = file_.tensors().find(name);
        if (found == file_.tensors().end()) return nullptr;
        if (found->second.shape != axes) {
            throw BadInput("tensor " + name + " has the shape " + shape_text(found->second.shape) +
                           ", but the metadata asks for " + shape_text(axes));
        }
        taken_.insert(name);
        return &found->second;
    }

    const Tensor& take(const std::string& name, const Axes& axes) {
        const Tensor* tensor = optional(name, axes);
        if (tensor == nullptr) {
            throw BadInput("tensor " + name + " is missing; its shape would be " + shape_text(axes));
        }
        return *tensor;
    }

    const float* vector_of(const Tensor& tensor) {
        mapped_.vectors.push_back(unpack(tensor));
        return mapped_.vectors.back().data();
    }

    // The core reads rows of an embedding in some formats; a head may have any.
    void map_embedding(const Axes& standard) {
        const std::string name = "token_embd.weight";
        const Axes transposed{standard[1], standard[0]};
        const auto found = file_.tensors().find(name);
        const bool is_transposed =
            found != file_.tensors().end() && found->second.shape == transposed && transposed != standard;
        const Tensor& stored = take(name, is_transposed ? transposed : standard);
        Model& model = mapped_.model;
        if (holds_embeddings(stored.format) && !is_transposed) {
            model.token_embd = matrix_of(stored);
        } else if (is_float(stored.format)) {
            model.token_embd = owned(stored.format, transposed_bytes(stored));
        } else {
            std::vector<float> values = unpack(stored);
            if (is_transposed) values = transposed_values(values, stored.rows(), stored.cols());
            model.token_embd = owned(Format::f32, bytes_of(values));
        }
        model.head = is_transposed ? model.token_embd : matrix_of(stored);
    }

    Matrix owned(Format format, std::vector<std::uint8_t> bytes) {
        mapped_.matrices.push_back(std::move(bytes));
        return matrix_of(format, std::uint64_t(shape_.n_vocab), std::uint64_t(shape_.n_embd),
                         mapped_.matrices.back().data());
    }

    static std::vector<std::uint8_t> bytes_of(const std::vector<float>& values) {
        std::vector<std::uint8_t> bytes(values.size() * sizeof(float));
        std::memcpy(bytes.data(), values.data(), bytes.size());
        return bytes;
    }

    // (rows, cols) as stored, to (cols, rows); elements keep their format.
    static std::vector<std::uint8_t> transposed_bytes(const Tensor& tensor) {
        const std::size_t rows = std::size_t(tensor.rows()), cols = std::size_t(tensor.cols());
        const std::size_t width = std::size_t(row_of(tensor.format).block_bytes);
        std::vector<std::uint8_t> bytes(rows * cols * width);
        for (std::size_t row = 0; row < rows; ++row) {
            for (std::size_t col = 0; col < cols; ++col) {
                std::memcpy(bytes.data() + (col * rows + row) * width,
                            tensor.data.data() + (row * cols + col) * width, width);
            }
        }
        return bytes;
    }

    static std::vector<float> transposed_values(const std::vector<float>& values, std::uint64_t rows,
                                                std::uint64_t cols) {
        std::vector<float> result(values.size());
        for (std::size_t row = 0; row < rows; ++row) {
            for (std::size_t col = 0; col < cols; ++col) result[col * rows + row] = values[row * cols + col];
        }
        return result;
    }

    const Tensor& of_role(std::string_view role, int layer) {
        for (const BlockWeight& weight : architecture_.weights) {
            if (weight.role != role) continue;
            Axes axes;
            for (const Axis axis : weight.axes) axes.push_back(std::uint64_t(axis(shape_)));
            return take("blk." + std::to_string(layer) + "." + std::string(weight.tensor) + ".weight", axes);
        }
        throw BadInput("the architecture " + quoted(architecture_.name) + " has no weight " + quoted(role));
    }

    Layer map_layer(int layer) {
        const auto matrix = [&](std::string_view role) { return matrix_of(of_role(role, layer)); };
        const auto vector = [&](std::string_view role) { return vector_of(of_role(role, layer)); };
        Layer mapped{.attn_norm = vector("attn_norm"),
                     .q = matrix("q"),
                     .k = matrix("k"),
                     .v = matrix("v"),
                     .attn_out = matrix("attn_out"),
                     .ffn_norm = vector("ffn_norm"),
                     .gate = matrix("gate"),
                     .up = matrix("up"),
                     .down = matrix("down"),
                     .inner_norms = {}};
        for (const InnerNormRow& norm : architecture_.inner_norms) {
            const float* weight = vector(norm.role);
            mapped.inner_norms.push_back({std::string(norm.stage), std::string(norm.reader), weight,
                                          int(mapped_.vectors.back().size())});
        }
        return mapped;
    }

    void refuse_unused() const {
        std::vector<std::string> unused;
        for (const auto& [name, tensor] : file_.tensors()) {
            if (!taken_.contains(name)) unused.push_back(name);
        }
        if (unused.empty()) return;
        throw BadInput("tensor " + unused.front() + " (of " + std::to_string(unused.size()) +
                       " such) has no part in the architecture " + quoted(architecture_.name) +
                       "; biases and separate scales are not supported");
    }

    const GgufFile& file_;
    const Architecture& architecture_;
    const Shape& shape_;
    std::set<std::string> taken_;
    MappedModel mapped_;
};

}  // namespace

std::size_t MappedModel::owned_bytes() const {
    std::size_t bytes = 0;
    for (const auto& values : vectors) bytes += values.size() * sizeof(float);
    for (const auto& packed : matrices) bytes += packed.size();
    return bytes;
}

MappedModel map_weights(const GgufFile& file, const Architecture& architecture, const Shape& shape) {
    return Mapping(file, architecture, shape).map();
}

}  // namespace bitnet::library
