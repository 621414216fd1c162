// What the name of an architecture decides.  The table is made by the build, from bitparity.architectures
// (native/generate/architectures.py).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "bitnet/model.hpp"

namespace bitnet::library {

// What a file says of its model's shape: the core's hyperparameters and the positions it was trained for.
struct Shape : HyperParameters {
    int context_length;
};

using Axis = std::int64_t (*)(const Shape&);

// A weight that every block has: blk.<layer>.<tensor>.weight.
struct BlockWeight {
    std::string_view role, tensor;
    std::vector<Axis> axes;  // outermost first
};

// Where a hyperparameter is read from: <architecture>.<key>.  One of the members is not null.
struct HyperKey {
    std::string_view key;
    int Shape::* integer;
    float Shape::* real;
    double (*otherwise)(const Shape&);  // from what was read before; null when the key is needed
};

struct InnerNormRow {
    std::string_view stage, reader, role;
};

struct StageRow {
    std::string_view name;
    bool in_block;
};

struct Architecture {
    std::string_view name;
    std::string_view gguf_name;  // general.architecture of its files, which two may share
    RopePairs rope_pairs;
    Activation activation;
    bool scales_embeddings, divides_queries;
    bool is_llama_with_norms;  // the graph that the core computes
    bool only_bitnet_cpp;      // no other reference runs it
    std::vector<StageRow> stages;
    std::vector<BlockWeight> weights;
    std::vector<HyperKey> keys;
    std::vector<InnerNormRow> inner_norms;
};

std::span<const Architecture> architectures();

// Where a file may declare its activation function, behind the architecture's name, and what it may say there.
struct ActivationName {
    std::string_view name;
    Activation activation;
};

std::span<const std::string_view> activation_keys();
std::span<const ActivationName> activation_names();

}  // namespace bitnet::library
