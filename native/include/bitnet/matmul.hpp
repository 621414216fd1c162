// Activations in every form that weights ask for, and matmuls of whole matrices over the thread pool.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "bitnet/aligned.hpp"
#include "bitnet/arithmetic.hpp"
#include "bitnet/faults.hpp"
#include "bitnet/format_table.hpp"
#include "bitnet/model.hpp"
#include "bitnet/thread_pool.hpp"

namespace bitnet {

// Some tokens' activations; each encoding is made when it is first asked for.
class ActivationBuffer {
public:
    ActivationBuffer(const KernelSet& kernels, ThreadPool& pool, const Arithmetic& arithmetic,
                     const Faults& faults);

    // Take values (tokens, cols), which must stay until the next call of set.
    void set(const float* values, int tokens, int cols);
    const Activations& as(Encoding encoding);

private:
    Activations make(Encoding encoding);
    void encode(Encoding encoding, int token);

    const KernelSet& kernels_;
    ThreadPool& pool_;
    Arithmetic arithmetic_;
    const Faults& faults_;
    const float* values_ = nullptr;
    int tokens_ = 0, cols_ = 0;
    std::array<bool, encoding_count> is_made_{};
    std::array<Activations, encoding_count> made_{};
    AlignedVector<float> as_f16_, as_bf16_, i8_scales_, q8_0_scales_, q8_0_value_sums_, q8_k_scales_;
    AlignedVector<std::int8_t> i8_codes_, q8_0_codes_, q8_k_codes_;
    AlignedVector<std::int32_t> sums_;
    AlignedVector<std::int16_t> block_sums_;
};

struct MatMulJob {
    const Matrix& weights;
    float* out;  // (tokens, weights.rows)
};

// out = x . weights^T for every job, in one round of the pool.
void multiply(ThreadPool& pool, const KernelSet& kernels, ActivationBuffer& x, int batch,
              const Arithmetic& arithmetic, std::span<const MatMulJob> jobs);

}  // namespace bitnet
