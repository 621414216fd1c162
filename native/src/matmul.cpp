#include "bitnet/matmul.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/tiling.hpp"

namespace bitnet {
namespace {

constexpr int smallest_task = 128;   // rows
constexpr int tokens_of_task = 128;  // what a kernel prepares for them pays (tables of sums, see
                                     // kernels/avx2/lookup.hpp), and its sums fit in the L2 cache

int whole_tasks(int rows) { return (rows + smallest_task - 1) / smallest_task * smallest_task; }

// Few tokens: a thread reads as long a stretch as it can, for the sake of the memory, but tasks shrink as
// fewer rows remain in the round, so that no thread waits for the last.
// Many: as many rows as pay for what a kernel prepares, unless a thread would get no task.
int rows_a_task(int rows, int rows_of_round, int tokens, int threads) {
    constexpr int largest = 1280, many_tokens = 32;
    if (tokens < many_tokens) return std::max(smallest_task, whole_tasks(rows_of_round / (2 * threads)));
    const int groups = (tokens + tokens_of_task - 1) / tokens_of_task;
    return std::clamp(whole_tasks(rows * groups / threads), smallest_task, largest);
}

// Fault truncate_codes: as the kernel's quantisation, but rounded towards zero.
void truncate_to_i8(const float* x, int n, std::int8_t* codes, float scale, std::int32_t* sum) {
    *sum = 0;
    for (int i = 0; i < n; ++i) {
        codes[i] = std::int8_t(std::trunc(x[i] * scale));
        *sum += codes[i];
    }
}

template <typename T>
const T* grown(AlignedVector<T>& buffer, std::size_t size) {
    if (buffer.size() < size) buffer.resize(size);
    return buffer.data();
}

// Of `tokens`, which are all of a batch, a chunk of it that is a multiple of four, or its last.
int tokens_beyond_fours(int tokens, int batch) {
    if (tokens == 1) return batch % 4 == 0 ? 0 : 1;
    return tokens % 4;
}

}  // namespace

ActivationBuffer::ActivationBuffer(const KernelSet& kernels, ThreadPool& pool, const Arithmetic& arithmetic,
                                   const Faults& faults)
    : kernels_(kernels), pool_(pool), arithmetic_(arithmetic), faults_(faults) {}

void ActivationBuffer::set(const float* values, int tokens, int cols) {
    values_ = values;
    tokens_ = tokens;
    cols_ = cols;
    is_made_.fill(false);
}

const Activations& ActivationBuffer::as(Encoding encoding) {
    const auto index = std::size_t(encoding);
    if (!is_made_[index]) {
        made_[index] = make(encoding);
        if (encoding != Encoding::f32) pool_.run(tokens_, [&](int token, int) { encode(encoding, token); });
        is_made_[index] = true;
    }
    return made_[index];
}

Activations ActivationBuffer::make(Encoding encoding) {
    Activations made{.tokens = tokens_, .stride = std::size_t(cols_)};
    const std::size_t tokens = std::size_t(tokens_), values = tokens * made.stride;
    switch (encoding) {
        case Encoding::f32:
            made.f32 = values_;
            break;
        case Encoding::as_f16:
            made.f32 = grown(as_f16_, values);
            break;
        case Encoding::as_bf16:
            made.f32 = grown(as_bf16_, values);
            break;
        case Encoding::i8:
            made.stride = std::size_t(in_whole_blocks(cols_, block_i2_s));
            made.codes = grown(i8_codes_, tokens * made.stride);
            made.scales = grown(i8_scales_, tokens);
            made.scale_stride = 1;
            made.sums = grown(sums_, tokens);
            break;
        case Encoding::q8_0:
            made.codes = grown(q8_0_codes_, values);
            made.scales = grown(q8_0_scales_, values / block_q8_0);
            made.value_sums = grown(q8_0_value_sums_, values / block_q8_0);
            made.scale_stride = made.stride / block_q8_0;
            break;
        case Encoding::q8_k:
            made.codes = grown(q8_k_codes_, values);
            made.scales = grown(q8_k_scales_, values / block_q8_k);
            made.scale_stride = made.stride / block_q8_k;
            made.block_sums = grown(block_sums_, values / 16);
            break;
    }
    return made;
}

void ActivationBuffer::encode(Encoding encoding, int token) {
    const std::size_t start = std::size_t(token) * std::size_t(cols_);
    const float* x = values_ + start;
    switch (encoding) {
        case Encoding::f32:
            break;
        case Encoding::as_f16:
            kernels_.round_to_f16(x, cols_, as_f16_.data() + start);
            break;
        case Encoding::as_bf16:
            kernels_.round_to_bf16(x, cols_, as_bf16_.data() + start);
            break;
        case Encoding::i8: {
            const int stride = in_whole_blocks(cols_, block_i2_s);
            std::int8_t* codes = i8_codes_.data() + std::size_t(token) * std::size_t(stride);
            kernels_.quantize_i8(x, cols_, codes, &i8_scales_[std::size_t(token)],
                                 &sums_[std::size_t(token)]);
            if (faults_.truncate_codes)
                truncate_to_i8(x, cols_, codes, i8_scales_[std::size_t(token)], &sums_[std::size_t(token)]);
            std::fill(codes + cols_, codes + stride, std::int8_t(0));
            break;
        }
        case Encoding::q8_0:
            kernels_.quantize_q8_0(x, cols_, q8_0_codes_.data() + start,
                                   q8_0_scales_.data() + start / block_q8_0,
                                   q8_0_value_sums_.data() + start / block_q8_0);
            break;
        case Encoding::q8_k:
            (has_fused_quantiser(arithmetic_) ? kernels_.quantize_q8_k_fused : kernels_.quantize_q8_k)(
                x, cols_, q8_k_codes_.data() + start, q8_k_scales_.data() + start / block_q8_k,
                block_sums_.data() + start / 16);
            break;
    }
}

void multiply(ThreadPool& pool, const KernelSet& kernels, ActivationBuffer& x, int batch,
              const Arithmetic& arithmetic, std::span<const MatMulJob> jobs) {
    struct Task {
        MatMul multiply;
        Activations x;
        Rows rows;
        float* out;
        std::size_t out_stride;
    };
    std::vector<Task> tasks;
    int remaining = 0;
    for (const MatMulJob& job : jobs) remaining += job.weights.rows;
    for (const MatMulJob& job : jobs) {
        const Matrix& w = job.weights;
        const Summing summing = row_of(w.format).summing({w.rows, w.cols, batch, w.is_embedding}, arithmetic);
        const Activations& encoded = x.as(summing.encoding);
        const int first_of_rest =
            encoded.tokens - (summing.rest ? tokens_beyond_fours(encoded.tokens, batch) : 0);
        for (int row = 0; row < w.rows;) {
            const int step = rows_a_task(w.rows, remaining, encoded.tokens, pool.threads());
            const int n = std::min(step, w.rows - row);
            const Rows rows{w.data + std::size_t(row) * w.row_bytes, w.row_bytes, n,
                            in_whole_blocks(w.cols, row_of(w.format).block), w.scale};
            for (int token = 0; token < encoded.tokens;) {
                const bool is_rest = token >= first_of_rest;
                const int tokens =
                    std::min(tokens_of_task, (is_rest ? encoded.tokens : first_of_rest) - token);
                tasks.push_back(
                    {kernels.matmul(w.format, is_rest ? *summing.rest : *summing.sums, arithmetic.order),
                     part_of(encoded, w.cols, token, tokens), rows,
                     job.out + std::size_t(token) * std::size_t(w.rows) + row, std::size_t(w.rows)});
                token += tokens;
            }
            row += n;
            remaining -= n;
        }
    }
    pool.run(int(tasks.size()), [&](int index, int) {
        const Task& task = tasks[std::size_t(index)];
        task.multiply(task.rows, task.x, task.out, task.out_stride);
    });
}

}  // namespace bitnet
