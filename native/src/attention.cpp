#include "bitnet/attention.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>

namespace bitnet {
namespace {

constexpr int tokens_a_task = 8;
constexpr int padding = 32;  // positions; a `dot` takes 32 at a time, and zeros change no sum

int padded(int n) { return (n + padding - 1) / padding * padding; }

}  // namespace

KvCache::KvCache(const HyperParameters& hyper, int context)
    : n_layer_(std::size_t(hyper.n_layer)),
      width_(std::size_t(hyper.n_embd_kv())),
      context_(std::size_t(context)),
      stride_(std::size_t(padded(context) + padding)),  // not a power of two: columns would share cache sets
      keys_(allocate(n_layer_ * context_ * width_)),
      values_(allocate(n_layer_ * width_ * stride_)) {}

KvCache::Lazy KvCache::allocate(std::size_t n) {
    Lazy memory(static_cast<std::uint16_t*>(std::calloc(n, sizeof(std::uint16_t))));
    if (!memory) throw std::bad_alloc();
    return memory;
}

void KvCache::store(const KernelSet& kernels, int layer, int position, const float* k, const float* v) {
    const std::size_t at = std::size_t(layer) * context_ + std::size_t(position);
    kernels.to_f16(k, int(width_), keys_.get() + at * width_);
    std::uint16_t* column = values_.get() + std::size_t(layer) * width_ * stride_ + std::size_t(position);
    constexpr int some = 64;
    std::uint16_t half[some];
    for (std::size_t start = 0; start < width_; start += some) {
        const int n = int(std::min<std::size_t>(some, width_ - start));
        kernels.to_f16(v + start, n, half);
        for (int i = 0; i < n; ++i) column[(start + std::size_t(i)) * stride_] = half[i];
    }
}

void KvCache::clear(int from, int end) {
    for (std::size_t row = 0; row < n_layer_ * width_; ++row) {
        std::fill_n(values_.get() + row * stride_ + std::size_t(from), end - from, std::uint16_t(0));
    }
}

const std::uint16_t* KvCache::key(int layer, int position) const {
    return keys_.get() + (std::size_t(layer) * context_ + std::size_t(position)) * width_;
}

const std::uint16_t* KvCache::value(int layer, int channel) const {
    return values_.get() + (std::size_t(layer) * width_ + std::size_t(channel)) * stride_;
}

Attention::Attention(const HyperParameters& hyper, const KernelSet& kernels, Numerics numerics,
                     const Faults& faults, int threads, int context)
    : hyper_(hyper), kernels_(kernels), numerics_(numerics), faults_(faults), scratch_(std::size_t(threads)) {
    for (Scratch& scratch : scratch_) {
        scratch.q.resize(std::size_t(tokens_a_task) * std::size_t(hyper.head_dim));
        scratch.scores.resize(std::size_t(tokens_a_task) * std::size_t(padded(context)));
    }
}

void Attention::run(ThreadPool& pool, const KvCache& cache, const AttentionCall& call) {
    const int blocks = (call.tokens + tokens_a_task - 1) / tokens_a_task;
    pool.run(blocks * hyper_.n_head, [&](int index, int thread) {
        const int first = index / hyper_.n_head * tokens_a_task;
        run_head(cache, call, index % hyper_.n_head, first, std::min(tokens_a_task, call.tokens - first),
                 scratch_[std::size_t(thread)]);
    });
}

// One head for a few tokens.  Scores of later positions are -inf before the softmax and exactly 0 after it.
void Attention::run_head(const KvCache& cache, const AttentionCall& call, int head, int first, int tokens,
                         Scratch& scratch) {
    const int dim = hyper_.head_dim;
    const int kv_head =
        (head / (hyper_.n_head / hyper_.n_head_kv) + faults_.kv_head_shift) % hyper_.n_head_kv;
    const int end = call.position + first + tokens;
    const int width = padded(end);
    const std::size_t q_stride = std::size_t(hyper_.n_embd_q());
    const std::size_t q_start = std::size_t(first) * q_stride + std::size_t(head * dim);
    float* scores = scratch.scores.data();

    const auto keys = reinterpret_cast<const std::uint8_t*>(cache.key(call.layer, 0) + kv_head * dim);
    const Rows k{keys, cache.key_stride() * 2, end, dim, 1.0f};
    // bitnet.cpp tiles this product only where Q's permuted view happens to be contiguous: with one head.
    const bool is_llama = numerics_ == Numerics::llama_cpp;
    const bool tile = call.in_batch && dim % 8 == 0 && (is_llama || hyper_.n_head == 1);
    Activations queries{.tokens = tokens, .stride = q_stride, .f32 = call.q + q_start};
    if (!tile || is_llama) {
        for (int t = 0; t < tokens; ++t) {
            kernels_.round_to_f16(call.q + q_start + std::size_t(t) * q_stride, dim,
                                  scratch.q.data() + t * dim);
        }
        queries = {.tokens = tokens, .stride = std::size_t(dim), .f32 = scratch.q.data()};
    }
    (tile ? kernels_.f16_tile : kernels_.f16_dot)(k, queries, scores, std::size_t(width));

    for (int t = 0; t < tokens; ++t) {
        float* row = scores + std::size_t(t) * std::size_t(width);
        const int seen = call.position + first + t + 1;
        std::fill(row + seen, row + width, -std::numeric_limits<float>::infinity());
        kernels_.softmax(row, width, 1.0f / std::sqrt(float(dim)));
        if (call.probs) {
            float* target =
                call.probs +
                (std::size_t(first + t) * std::size_t(hyper_.n_head) + std::size_t(head)) * call.probs_width;
            std::copy_n(row, seen, target);
        }
        if (!call.in_batch || is_llama) kernels_.round_to_f16(row, width, row);
    }
    const auto values = reinterpret_cast<const std::uint8_t*>(cache.value(call.layer, kv_head * dim));
    const Rows v{values, cache.value_stride() * 2, dim, width, 1.0f};
    const Activations probs{.tokens = tokens, .stride = std::size_t(width), .f32 = scores};
    (call.in_batch ? kernels_.f16_tile : kernels_.f16_dot)(v, probs, call.out + q_start, q_stride);
}

}  // namespace bitnet
