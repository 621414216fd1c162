// The KV cache and causal grouped-query attention over it.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "bitnet/aligned.hpp"
#include "bitnet/arithmetic.hpp"
#include "bitnet/faults.hpp"
#include "bitnet/model.hpp"
#include "bitnet/thread_pool.hpp"

namespace bitnet {

// F16 keys as rows and F16 values as columns of each KV head, as ggml computes without flash attention, so
// that both products of attention are dot products of contiguous memory.  Columns at and beyond the end are
// zero.
class KvCache {
public:
    KvCache(const HyperParameters& hyper, int context);

    void store(const KernelSet& kernels, int layer, int position, const float* k, const float* v);
    // Forget positions from .. end - 1.
    void clear(int from, int end);

    // The first `end` keys (end, head_dim) and values (head_dim, end) of a KV head.
    Rows keys(int layer, int head, int end) const;
    Rows values(int layer, int head, int end) const;

private:
    // Zeros that take memory only once touched, from the start of a cache line.
    class Lazy {
    public:
        explicit Lazy(std::size_t n);
        std::uint16_t* get() const { return first_; }

    private:
        struct Free {
            void operator()(void* p) const { std::free(p); }
        };
        std::unique_ptr<void, Free> memory_;
        std::uint16_t* first_;
    };

    std::size_t n_layer_, n_head_, dim_, context_, stride_;
    Lazy keys_;    // (layer, head, context, dim)
    Lazy values_;  // (layer, head, dim, stride)
};

struct AttentionCall {
    int layer;
    int position;  // of the first token
    int tokens;
    int batch;       // tokens that the reference would have multiplied at once
    const float* q;  // (tokens, n_head * head_dim), rotated
    float* out;      // the same shape
    float* probs;    // null, or (tokens, n_head, probs_width) to be filled up to each token's own position
    std::size_t probs_width;
    int window;  // positions that a token sees, itself among them; 0 for all
};

// Positions or dimensions first .. end - 1.
struct Span {
    int first, end;
};

class Attention {
public:
    Attention(const HyperParameters& hyper, const KernelSet& kernels, const Arithmetic& arithmetic,
              const Faults& faults, int threads, int context);

    void run(ThreadPool& pool, const KvCache& cache, const AttentionCall& call);

private:
    struct Scratch {
        AlignedVector<float> q, scores, context;
    };
    // The heads of one KV head, for a few tokens; token after token, they are rows of a Scratch.
    struct Queries {
        int kv_head, first, tokens;
        int n;           // tokens times heads
        int end;         // positions that the last token sees
        int width;       // the same, padded
        float* q;        // (n, head_dim), rounded as the product takes them
        float* scores;   // (n, width), after the softmax probabilities
        float* context;  // (n, head_dim)
    };
    // How the reference multiplies in a call, and which inputs it rounds to F16 before.
    struct Products {
        Sums of_q, of_probs;
        bool rounds_q, rounds_probs;
    };
    Products products_in(const AttentionCall& call) const;
    Queries queries_in(Scratch& scratch, const AttentionCall& call, int kv_head, int first, int tokens) const;
    std::size_t start_of(const Queries& queries, int token) const;
    int cached_head(const Queries& queries) const;

    // The steps of a task, in their order.
    void gather(const AttentionCall& call, const Products& products, const Queries& queries) const;
    void multiply_keys(const KvCache& cache, const AttentionCall& call, const Products& products,
                       const Queries& queries, Span keys) const;
    void softmax(const AttentionCall& call, const Products& products, const Queries& queries, int row) const;
    void multiply_values(const KvCache& cache, const AttentionCall& call, const Products& products,
                         const Queries& queries, Span dims) const;
    void scatter(const AttentionCall& call, const Queries& queries) const;

    HyperParameters hyper_;
    const KernelSet& kernels_;
    Arithmetic arithmetic_;
    Faults faults_;
    int group_;  // heads of a KV head
    int padding_;
    std::vector<Scratch> scratch_;  // one a thread
    std::vector<Scratch> shared_;   // one a task that all threads do together
};

}  // namespace bitnet
