// One model open, one sequence.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bitnet/arithmetic.hpp"
#include "bitnet/attention.hpp"
#include "bitnet/faults.hpp"
#include "bitnet/gelu.hpp"
#include "bitnet/matmul.hpp"
#include "bitnet/model.hpp"
#include "bitnet/rotation.hpp"
#include "bitnet/tap.hpp"
#include "bitnet/thread_pool.hpp"

namespace bitnet {

// The stages that may take their input through an inner norm.
std::vector<std::string> readers_of_inner_norms();

struct SessionOptions {
    int context;
    int threads;
    Arithmetic arithmetic;
    Faults faults;
};

class Session {
public:
    // kernels must run here; the tensors of the model stay alive as long as the session.
    // Throws std::invalid_argument for an inner norm that has no place or does not fit it.
    Session(Model model, const KernelSet& kernels, const SessionOptions& options);

    // Runs n tokens as one batch.  logits is (n, n_vocab), or (1, n_vocab) with only_last.
    // The caller has checked that n >= 1, that the ids exist and that position() + n <= context.
    void run(const std::int32_t* tokens, int n, bool only_last, float* logits);

    // Forget positions >= to; 0 <= to <= position().
    void rollback(int to);

    int position() const { return position_; }
    const KernelSet& kernels() const { return kernels_; }
    const HyperParameters& hyper() const { return model_.hyper; }
    int context() const { return context_; }
    Tap& tap() { return tap_; }

private:
    // What one call of run works on; a call longer than a chunk is cut, but stays one batch.
    struct Chunk {
        int position, rows;  // of the chunk
        int first_row;       // of the chunk in the call
        int call_rows;
        int batch;  // tokens that the reference would have multiplied at once: those of the call
    };

    void make_room(int tokens);  // of a call
    void run_chunk(const std::int32_t* tokens, const Chunk& chunk);
    void embed(const std::int32_t* tokens, const Chunk& chunk);
    // A projection of the layer and the stage that it is.
    struct Projection {
        const char* stage;
        const Matrix& weight;
        float* out;
    };
    // Projects x (chunk.rows, cols), which is left as it is, and records what comes out.
    void project(int layer, const Chunk& chunk, const float* x, int cols,
                 std::initializer_list<Projection> projections);
    void attention_block(int layer, const Chunk& chunk);
    void rotate_and_store(int layer, const Chunk& chunk);
    void divide_queries(const Chunk& chunk);
    void attend(int layer, const Chunk& chunk);
    void feed_forward_block(int layer, const Chunk& chunk);
    void activate(const float* gate, const float* up, int n, float* out) const;
    void write_logits(const Chunk& chunk, bool only_last, float* logits);
    void record_pooled(const Chunk& chunk);
    void norm(const float* weight, int width, int rows, const float* x, float* out);
    // The norm of what a stage of this layer takes, if there is one.
    const InnerNorm* inner_norm(int layer, std::string_view reader) const;
    // Computes and records it; x and out (chunk.rows, width) may be the same.
    void apply(const InnerNorm& norm, int layer, const Chunk& chunk, int width, const float* x, float* out);
    // Norms x (chunk.rows, width) in place, where a norm stands before the reader.
    void norm_before(std::string_view reader, int layer, const Chunk& chunk, int width, float* x);
    void add_to_stream(const Chunk& chunk);
    void multiply_from(const float* x, int cols, const Chunk& chunk, std::initializer_list<MatMulJob> jobs);
    void record(int layer, const char* stage, const Chunk& chunk, int width, const float* values);

    Model model_;
    const KernelSet& kernels_;
    Arithmetic arithmetic_;
    Faults faults_;
    int context_;
    int position_ = 0;
    ThreadPool pool_;
    KvCache cache_;
    Attention attention_;
    Rotation rotation_, windowed_rotation_;
    GeluTable gelu_;
    ActivationBuffer activations_;
    Tap tap_;

    AlignedVector<float> stream_;     // (chunk, n_embd) the residual stream
    AlignedVector<float> normed_;     // (chunk, n_embd)
    AlignedVector<float> projected_;  // (chunk, n_embd)
    AlignedVector<float> input_;      // (chunk, n_embd) what one projection takes through a norm of its own
    AlignedVector<float> q_, context_values_;  // (chunk, n_embd_q)
    AlignedVector<float> k_, v_;               // (chunk, n_embd_kv)
    AlignedVector<float> gate_, up_;           // (chunk, n_ff)
    std::vector<float> probs_;                 // (chunk, n_head, positions), when recorded
};

}  // namespace bitnet
