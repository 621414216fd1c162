#include "bitnet/attention.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>

namespace bitnet {
namespace {

// Queries of a task share every key and value that it reads: some tokens, times the heads of one KV head.
constexpr int queries_a_task = 12;
constexpr int widest_padding = 64;

// How many positions a row of probabilities has a multiple of; zeros stand beyond the end.  A generation's own padding
// shows where a `dot` adds what lies beyond its last whole step apart: bitnet.cpp pads to 32, llama.cpp to 256, of which
// 64 are a whole step of every order.
int padding_of(Generation generation) { return generation == Generation::bitnet_cpp ? 32 : widest_padding; }

int padded(int n, int padding) { return (n + padding - 1) / padding * padding; }

int most_queries(const HyperParameters& hyper) {
    return std::max(queries_a_task, hyper.n_head / hyper.n_head_kv);
}

// How long `rest` KV heads take when all threads share them in `parts` tasks each; one KV head is the unit.
double span_of(int rest, int parts, int threads) {
    return double((rest * parts + threads - 1) / threads) / parts;
}

// A task is all heads of a KV head, so that its keys and values are read once.  Where that leaves a rest of
// tasks that the threads cannot share evenly, each of those is split into so many parts.
int parts_of(int rest, int group, int threads) {
    int best = 1;
    for (int parts = 2; parts <= group; ++parts) {
        if (group % parts == 0 && span_of(rest, parts, threads) < span_of(rest, best, threads)) best = parts;
    }
    return best;
}

}  // namespace

KvCache::KvCache(const HyperParameters& hyper, int context)
    : n_layer_(std::size_t(hyper.n_layer)),
      n_head_(std::size_t(hyper.n_head_kv)),
      dim_(std::size_t(hyper.head_dim)),
      context_(std::size_t(context)),
      stride_(std::size_t(padded(context, widest_padding) +
                          widest_padding / 2)),  // not a power of two: columns would share cache sets
      keys_(n_layer_ * n_head_ * context_ * dim_),
      values_(n_layer_ * n_head_ * dim_ * stride_) {}

KvCache::Lazy::Lazy(std::size_t n) {
    const std::size_t bytes = n * sizeof *first_;
    std::size_t room = bytes + cache_line;
    memory_.reset(std::calloc(room, 1));
    if (!memory_) throw std::bad_alloc();
    void* first = memory_.get();
    first_ = static_cast<std::uint16_t*>(std::align(cache_line, bytes, first, room));
}

void KvCache::store(const KernelSet& kernels, int layer, int position, const float* k, const float* v) {
    const std::size_t first = std::size_t(layer) * n_head_, width = n_head_ * dim_;
    std::uint16_t* column = values_.get() + first * dim_ * stride_ + std::size_t(position);
    for (std::size_t i = 0; i < width; ++i) __builtin_prefetch(column + i * stride_, 1);
    for (std::size_t head = 0; head < n_head_; ++head) {
        const std::size_t row = (first + head) * context_ + std::size_t(position);
        kernels.to_f16(k + head * dim_, int(dim_), keys_.get() + row * dim_);
    }
    constexpr std::size_t some = 64;
    std::uint16_t half[some];
    for (std::size_t start = 0; start < width; start += some) {
        const std::size_t n = std::min(some, width - start);
        kernels.to_f16(v + start, int(n), half);
        for (std::size_t i = 0; i < n; ++i) column[(start + i) * stride_] = half[i];
    }
}

void KvCache::clear(int from, int end) {
    for (std::size_t row = 0; row < n_layer_ * n_head_ * dim_; ++row) {
        std::fill_n(values_.get() + row * stride_ + std::size_t(from), end - from, std::uint16_t(0));
    }
}

Rows KvCache::keys(int layer, int head, int end) const {
    const std::size_t at = std::size_t(layer) * n_head_ + std::size_t(head);
    const auto data = reinterpret_cast<const std::uint8_t*>(keys_.get() + at * context_ * dim_);
    return {data, dim_ * sizeof(std::uint16_t), end, int(dim_), 1.0f};
}

Rows KvCache::values(int layer, int head, int end) const {
    const std::size_t at = std::size_t(layer) * n_head_ + std::size_t(head);
    const auto data = reinterpret_cast<const std::uint8_t*>(values_.get() + at * dim_ * stride_);
    return {data, stride_ * sizeof(std::uint16_t), int(dim_), end, 1.0f};
}

Attention::Attention(const HyperParameters& hyper, const KernelSet& kernels, const Arithmetic& arithmetic,
                     const Faults& faults, int threads, int context)
    : hyper_(hyper),
      kernels_(kernels),
      arithmetic_(arithmetic),
      faults_(faults),
      padding_(padding_of(arithmetic.generation)),
      scratch_(std::size_t(threads)) {
    const auto queries = std::size_t(most_queries(hyper));
    for (Scratch& scratch : scratch_) {
        scratch.q.resize(queries * std::size_t(hyper.head_dim));
        scratch.context.resize(scratch.q.size());
        scratch.scores.resize(queries * std::size_t(padded(context, padding_)));
    }
}

void Attention::run(ThreadPool& pool, const KvCache& cache, const AttentionCall& call) {
    const int group = hyper_.n_head / hyper_.n_head_kv, tokens = std::max(1, queries_a_task / group);
    const int blocks = (call.tokens + tokens - 1) / tokens;
    const int rest = blocks * hyper_.n_head_kv % pool.threads(), whole = blocks * hyper_.n_head_kv - rest;
    const int parts = parts_of(rest, group, pool.threads());
    pool.run(whole + rest * parts, [&](int index, int thread) {
        const int part = index < whole ? 0 : (index - whole) % parts;
        const int unit = index < whole ? index : whole + (index - whole) / parts;
        const int heads = index < whole ? group : group / parts;
        const int head = unit % hyper_.n_head_kv * group + part * heads;
        const int first = unit / hyper_.n_head_kv * tokens;
        const Queries queries{head, heads, first, std::min(tokens, call.tokens - first)};
        run_queries(cache, call, queries, scratch_[std::size_t(thread)]);
    });
}

// Scores of positions out of sight are -inf before the softmax and exactly 0 after it.
void Attention::run_queries(const KvCache& cache, const AttentionCall& call, const Queries& queries,
                            Scratch& scratch) {
    const int dim = hyper_.head_dim;
    const int kv_head =
        (queries.head / (hyper_.n_head / hyper_.n_head_kv) + faults_.kv_head_shift) % hyper_.n_head_kv;
    const int end = call.position + queries.first + queries.tokens;
    const int width = padded(end, padding_);
    const int n = queries.tokens * queries.heads;
    float* scores = scratch.scores.data();

    const Rows k = cache.keys(call.layer, kv_head, end), v = cache.values(call.layer, kv_head, width);
    // Q is a permuted view, which happens to be contiguous with one head.
    const OrderedKernels& ordered = kernels_.in(arithmetic_.order);
    const bool in_tiles = call.batch >= fewest_tokens_of_tile(arithmetic_.order, Format::f16);
    const bool in_f32 = in_tiles && f16_tiles_take_f32(arithmetic_);
    const bool tile_of_q =
        in_tiles && dim % tile_step(arithmetic_.order, Format::f16) == 0 && (!in_f32 || hyper_.n_head == 1);
    gather(call, queries, !tile_of_q || !in_f32, scratch.q.data());
    const Activations q{.tokens = n, .stride = std::size_t(dim), .f32 = scratch.q.data()};
    const MatMul multiply_q =
        kernels_.matmul(Format::f16, tile_of_q ? Sums::tile : Sums::dot, arithmetic_.order);
    multiply_q(k, q, scores, std::size_t(width));

    for (int i = 0; i < n; ++i) {
        float* row = scores + std::size_t(i) * std::size_t(width);
        const int token = queries.first + i / queries.heads, head = queries.head + i % queries.heads;
        const int seen = call.position + token + 1;
        constexpr float out_of_sight = -std::numeric_limits<float>::infinity();
        if (call.window > 0) std::fill(row, row + std::max(0, seen - call.window), out_of_sight);
        std::fill(row + seen, row + width, out_of_sight);
        ordered.softmax(row, width, hyper_.divides_queries ? 1.0f : 1.0f / std::sqrt(float(dim)));
        if (call.probs) {
            const std::size_t at = std::size_t(token) * std::size_t(hyper_.n_head) + std::size_t(head);
            std::copy_n(row, seen, call.probs + at * call.probs_width);
        }
        if (!in_f32) kernels_.round_to_f16(row, width, row);
    }
    const Activations probs{.tokens = n, .stride = std::size_t(width), .f32 = scores};
    const MatMul multiply_probs =
        kernels_.matmul(Format::f16, in_tiles ? Sums::tile : Sums::dot, arithmetic_.order);
    multiply_probs(v, probs, scratch.context.data(), std::size_t(dim));
    scatter(call, queries, scratch.context.data());
}

// The heads of one token lie side by side.
std::size_t Attention::start_of(const Queries& queries, int token) const {
    return std::size_t(queries.first + token) * std::size_t(hyper_.n_embd_q()) +
           std::size_t(queries.head * hyper_.head_dim);
}

void Attention::gather(const AttentionCall& call, const Queries& queries, bool to_f16, float* q) const {
    const int n = queries.heads * hyper_.head_dim;
    for (int token = 0; token < queries.tokens; ++token, q += n) {
        const float* from = call.q + start_of(queries, token);
        if (to_f16)
            kernels_.round_to_f16(from, n, q);
        else
            std::copy_n(from, n, q);
    }
}

void Attention::scatter(const AttentionCall& call, const Queries& queries, const float* context) const {
    const int n = queries.heads * hyper_.head_dim;
    for (int token = 0; token < queries.tokens; ++token, context += n)
        std::copy_n(context, n, call.out + start_of(queries, token));
}

}  // namespace bitnet
