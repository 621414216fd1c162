// A model as the engine sees it: hyperparameters and views of tensors that the caller keeps alive.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "bitnet/kernels.hpp"

namespace bitnet {

enum class Activation : std::uint8_t { silu, relu2, gelu };
enum class RopePairs : std::uint8_t { neox, norm };  // (i, i + n / 2) or (2 i, 2 i + 1)

// RoPE stretched to a longer context: angles divided by a factor, or by YaRN (Peng et al. 2023, arXiv 2309.00071).
struct RopeScaling {
    bool yarn = false;
    float factor = 1;          // 1 changes nothing
    int original_context = 0;  // positions; for YaRN
};

struct HyperParameters {
    int n_vocab, n_layer, n_embd, n_head, n_head_kv, head_dim, n_ff, rope_dim;
    float norm_eps, rope_base;
    RopePairs rope_pairs;
    RopeScaling rope_scaling;
    Activation activation;
    bool scales_embeddings = false;  // by sqrt(n_embd)
    bool divides_queries =
        false;               // by sqrt(query_width), before the product with the keys instead of after it
    int sliding_window = 0;  // positions that windowed blocks see; 0 for no window
    float windowed_rope_base = 0;
    bool pools_last_token =
        false;  // an embedding model: records the direction of every position's final norm

    // The width of a head, but of Gemma 3 with 62 blocks a head's share of the stream.
    int query_width() const { return divides_queries && n_layer == 62 ? n_embd / n_head : head_dim; }
    int n_embd_q() const { return n_head * head_dim; }
    int n_embd_kv() const { return n_head_kv * head_dim; }

    // With a window, all blocks have it but every sixth (Gemma 3).
    bool is_windowed(int layer) const { return sliding_window > 0 && layer % 6 != 5; }
};

// (rows, cols) packed row by row.  Rows of I2_S end with a whole block: what it has beyond cols is multiplied by zeros.
struct Matrix {
    Format format;
    int rows, cols;
    const std::uint8_t* data = nullptr;
    std::size_t row_bytes = 0;
    float scale = 1;            // I2_S: the float after the codes
    bool is_embedding = false;  // a tied head: rows of it are read, too
};

// A norm inside a branch, of what one stage takes.
struct InnerNorm {
    std::string stage, reader;
    const float* weight;  // (width,)
    int width;            // a row of what is normed is one or more parts of this width, normed one by one
};

struct Layer {
    const float* attn_norm;  // (n_embd,)
    Matrix q, k, v;          // (heads * head_dim, n_embd)
    Matrix attn_out;         // (n_embd, n_embd_q)
    const float* ffn_norm;   // (n_embd,)
    Matrix gate, up;         // (n_ff, n_embd)
    Matrix down;             // (n_embd, n_ff)
    std::vector<InnerNorm> inner_norms;
};

struct Model {
    HyperParameters hyper;
    Matrix token_embd;          // (n_vocab, n_embd) F32, F16 or BF16
    Matrix head;                // (n_vocab, n_embd)
    const float* output_norm;   // (n_embd,)
    const float* rope_factors;  // (rope_dim / 2,) divisors of the angles, may be null
    std::vector<Layer> layers;
};

}  // namespace bitnet
