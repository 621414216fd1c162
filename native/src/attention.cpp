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

// Part `index` of 0 .. n - 1, of `parts` in whole cache lines of floats; the last ones may be empty.
Span part_of(int n, int index, int parts) {
    const int size = padded((n + parts - 1) / parts, int(cache_line / sizeof(float)));
    return {std::min(n, index * size), std::min(n, (index + 1) * size)};
}

Rows part_of(Rows rows, Span span) {
    rows.data += std::size_t(span.first) * rows.row_bytes;
    rows.rows = span.end - span.first;
    return rows;
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
      group_(hyper.n_head / hyper.n_head_kv),
      padding_(padding_of(arithmetic.generation)),
      scratch_(std::size_t(threads)),
      shared_(std::size_t(threads - 1)) {
    const auto queries = std::size_t(std::max(queries_a_task, group_));
    for (std::vector<Scratch>* scratches : {&scratch_, &shared_}) {
        for (Scratch& scratch : *scratches) {
            scratch.q.resize(queries * std::size_t(hyper.head_dim));
            scratch.context.resize(scratch.q.size());
            scratch.scores.resize(queries * std::size_t(padded(context, padding_)));
        }
    }
}

Attention::Products Attention::products_in(const AttentionCall& call) const {
    const int step = tile_step(arithmetic_.order, Format::f16);
    const bool in_tiles = call.batch >= fewest_tokens_of_tile(arithmetic_.order, Format::f16);
    const bool in_f32 = in_tiles && f16_tiles_take_f32(arithmetic_);
    // Q is a permuted view, which happens to be contiguous with one head.
    const bool q_in_tiles = in_tiles && hyper_.head_dim % step == 0 && (!in_f32 || hyper_.n_head == 1);
    return {.of_q = q_in_tiles ? Sums::tile : Sums::dot,
            .of_probs = in_tiles ? Sums::tile : Sums::dot,
            .rounds_q = !q_in_tiles || !in_f32,
            .rounds_probs = !in_f32};
}

// A task is all heads of a KV head, so that its keys and values are read once.  Where that leaves a rest of tasks that
// the threads cannot share evenly, all threads do each of those together: parts of its keys, then rows of its scores,
// then parts of its values.
void Attention::run(ThreadPool& pool, const KvCache& cache, const AttentionCall& call) {
    const Products products = products_in(call);
    const int tokens = std::max(1, queries_a_task / group_), blocks = (call.tokens + tokens - 1) / tokens;
    const int parts = pool.threads(), rest = blocks * hyper_.n_head_kv % parts;
    const int whole = blocks * hyper_.n_head_kv - rest;
    const auto queries_of = [&](int task, Scratch& scratch) {
        const int first = task / hyper_.n_head_kv * tokens;
        return queries_in(scratch, call, task % hyper_.n_head_kv, first,
                          std::min(tokens, call.tokens - first));
    };
    const auto of_rest = [&](int index) { return queries_of(whole + index, shared_[std::size_t(index)]); };

    for (int i = 0; i < rest; ++i) gather(call, products, of_rest(i));
    pool.run(whole + rest * parts, [&](int index, int thread) {
        if (index >= whole) {
            const Queries queries = of_rest((index - whole) / parts);
            multiply_keys(cache, call, products, queries,
                          part_of(queries.end, (index - whole) % parts, parts));
            return;
        }
        const Queries queries = queries_of(index, scratch_[std::size_t(thread)]);
        gather(call, products, queries);
        multiply_keys(cache, call, products, queries, {0, queries.end});
        for (int row = 0; row < queries.n; ++row) softmax(call, products, queries, row);
        multiply_values(cache, call, products, queries, {0, hyper_.head_dim});
        scatter(call, queries);
    });
    const int rows = tokens * group_;
    pool.run(rest * rows, [&](int index, int) {
        const Queries queries = of_rest(index / rows);
        if (index % rows < queries.n) softmax(call, products, queries, index % rows);
    });
    pool.run(rest * parts, [&](int index, int) {
        const Span dims = part_of(hyper_.head_dim, index % parts, parts);
        multiply_values(cache, call, products, of_rest(index / parts), dims);
    });
    for (int i = 0; i < rest; ++i) scatter(call, of_rest(i));
}

Attention::Queries Attention::queries_in(Scratch& scratch, const AttentionCall& call, int kv_head, int first,
                                         int tokens) const {
    const int end = call.position + first + tokens;
    return {.kv_head = kv_head,
            .first = first,
            .tokens = tokens,
            .n = tokens * group_,
            .end = end,
            .width = padded(end, padding_),
            .q = scratch.q.data(),
            .scores = scratch.scores.data(),
            .context = scratch.context.data()};
}

// The heads of one token lie side by side.
std::size_t Attention::start_of(const Queries& queries, int token) const {
    return std::size_t(queries.first + token) * std::size_t(hyper_.n_embd_q()) +
           std::size_t(queries.kv_head * group_ * hyper_.head_dim);
}

int Attention::cached_head(const Queries& queries) const {
    return (queries.kv_head + faults_.kv_head_shift) % hyper_.n_head_kv;
}

void Attention::gather(const AttentionCall& call, const Products& products, const Queries& queries) const {
    const int n = group_ * hyper_.head_dim;
    float* q = queries.q;
    for (int token = 0; token < queries.tokens; ++token, q += n) {
        const float* from = call.q + start_of(queries, token);
        if (products.rounds_q)
            kernels_.round_to_f16(from, n, q);
        else
            std::copy_n(from, n, q);
    }
}

void Attention::multiply_keys(const KvCache& cache, const AttentionCall& call, const Products& products,
                              const Queries& queries, Span keys) const {
    const Rows rows = part_of(cache.keys(call.layer, cached_head(queries), queries.end), keys);
    const Activations q{.tokens = queries.n, .stride = std::size_t(hyper_.head_dim), .f32 = queries.q};
    const MatMul multiply = kernels_.matmul(Format::f16, products.of_q, arithmetic_.order);
    multiply(rows, q, queries.scores + keys.first, std::size_t(queries.width));
}

// Scores of positions out of sight are -inf before the softmax and exactly 0 after it.
void Attention::softmax(const AttentionCall& call, const Products& products, const Queries& queries,
                        int row) const {
    float* scores = queries.scores + std::size_t(row) * std::size_t(queries.width);
    const int token = queries.first + row / group_, head = queries.kv_head * group_ + row % group_;
    const int seen = call.position + token + 1;
    constexpr float out_of_sight = -std::numeric_limits<float>::infinity();
    if (call.window > 0) std::fill(scores, scores + std::max(0, seen - call.window), out_of_sight);
    std::fill(scores + seen, scores + queries.width, out_of_sight);
    const float scale = hyper_.divides_queries ? 1.0f : 1.0f / std::sqrt(float(hyper_.head_dim));
    kernels_.in(arithmetic_.order).softmax(scores, queries.width, scale);
    if (call.probs) {
        const std::size_t at = std::size_t(token) * std::size_t(hyper_.n_head) + std::size_t(head);
        std::copy_n(scores, seen, call.probs + at * call.probs_width);
    }
    if (products.rounds_probs) kernels_.round_to_f16(scores, queries.width, scores);
}

void Attention::multiply_values(const KvCache& cache, const AttentionCall& call, const Products& products,
                                const Queries& queries, Span dims) const {
    // A dot adds products beyond its last whole step one by one; those of the padding, which are zero, need no adding.
    const int step = f16_dot_step(arithmetic_.order);
    const int needed = std::max(queries.end, queries.width / step * step);
    const int columns = products.of_probs == Sums::dot ? needed : queries.width;
    const Rows rows = part_of(cache.values(call.layer, cached_head(queries), columns), dims);
    const Activations probs{.tokens = queries.n, .stride = std::size_t(queries.width), .f32 = queries.scores};
    const MatMul multiply = kernels_.matmul(Format::f16, products.of_probs, arithmetic_.order);
    multiply(rows, probs, queries.context + dims.first, std::size_t(hyper_.head_dim));
}

void Attention::scatter(const AttentionCall& call, const Queries& queries) const {
    const int n = group_ * hyper_.head_dim;
    const float* context = queries.context;
    for (int token = 0; token < queries.tokens; ++token, context += n)
        std::copy_n(context, n, call.out + start_of(queries, token));
}

}  // namespace bitnet
