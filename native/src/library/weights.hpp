// The weight mapping: which tensor plays which part, and how the embedding and the head lie.
//
//   tied        no output.weight: the head is the embedding itself
//   transposed  token_embd.weight is (n_embd, n_vocab): a token's embedding is a column
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "library/architectures.hpp"
#include "library/gguf.hpp"

namespace bitnet::library {

// A model of the core with what its views point to, beside the mapped file.
struct MappedModel {
    Model model;
    bool head_is_tied = false;
    std::deque<std::vector<float>> vectors;          // norms and RoPE factors, as float32
    std::deque<std::vector<std::uint8_t>> matrices;  // embeddings that could not be used as they lie

    std::size_t owned_bytes() const;
};

// Throws BadInput that names the tensor which is missing, misshapen or has no part: a bias or a separate scale that
// was ignored would change the numbers unsaid.
MappedModel map_weights(const GgufFile& file, const Architecture& architecture, const Shape& shape);

}  // namespace bitnet::library
