#include "bitnet/session.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

#include "bitnet/half.hpp"

namespace bitnet {
namespace {

// Enough that each matmul makes several tasks a thread, so that a slower processor takes fewer; few enough
// that activations take little memory beside the weights.
constexpr int chunk_tokens = 512;

// A stage that inner norms may follow, and how wide its rows are.
struct BeforeInnerNorm {
    const char* stage;
    int (*width)(const HyperParameters&);
};
constexpr std::array before_inner_norms{
    BeforeInnerNorm{"q_proj", [](const HyperParameters& h) { return h.n_embd_q(); }},
    BeforeInnerNorm{"k_proj", [](const HyperParameters& h) { return h.n_embd_kv(); }},
    BeforeInnerNorm{"attn_ctx", [](const HyperParameters& h) { return h.n_embd_q(); }},
    BeforeInnerNorm{"ffn_act", [](const HyperParameters& h) { return h.n_ff; }},
};

void check(const InnerNorm& norm, const HyperParameters& hyper) {
    for (const BeforeInnerNorm& before : before_inner_norms) {
        if (norm.follows != before.stage) continue;
        const int width = before.width(hyper);
        if (norm.width > 0 && width % norm.width == 0) return;
        throw std::invalid_argument(norm.stage + " has " + std::to_string(norm.width) +
                                    " weights, which do not divide the " + std::to_string(width) +
                                    " values of " + norm.follows);
    }
    throw std::invalid_argument("no norm can follow " + norm.follows);
}

void unpack_row(const Matrix& matrix, int row, float* out) {
    const std::uint8_t* data = matrix.data + std::size_t(row) * matrix.row_bytes;
    if (matrix.format == Format::f32) {
        std::memcpy(out, data, matrix.row_bytes);
        return;
    }
    for (int i = 0; i < matrix.cols; ++i) {
        std::uint16_t half;
        std::memcpy(&half, data + 2 * i, sizeof half);
        out[i] = matrix.format == Format::f16 ? float_of_f16(half) : float_of_bf16(half);
    }
}

}  // namespace

std::vector<std::string> stages_before_inner_norms() {
    std::vector<std::string> stages;
    for (const BeforeInnerNorm& before : before_inner_norms) stages.emplace_back(before.stage);
    return stages;
}

Session::Session(Model model, const KernelSet& kernels, const SessionOptions& options)
    : model_(std::move(model)),
      kernels_(kernels),
      arithmetic_(options.arithmetic),
      faults_(options.faults),
      context_(options.context),
      pool_(options.threads),
      cache_(model_.hyper, options.context),
      attention_(model_.hyper, kernels, options.arithmetic, options.faults, options.threads, options.context),
      rotation_(model_.hyper, model_.rope_factors, options.arithmetic),
      activations_(kernels, pool_, options.arithmetic, faults_) {
    for (const Layer& layer : model_.layers) {
        for (const InnerNorm& norm : layer.inner_norms) check(norm, hyper());
    }
}

// Buffers grow with the longest call, so that short ones take little memory.
void Session::make_room(int tokens) {
    const HyperParameters& shape = hyper();
    const auto rows = std::size_t(std::min(chunk_tokens, tokens));
    const auto grow = [rows](int width, std::initializer_list<std::vector<float>*> buffers) {
        for (std::vector<float>* buffer : buffers)
            buffer->resize(std::max(buffer->size(), rows * std::size_t(width)));
    };
    grow(shape.n_embd, {&stream_, &normed_, &projected_});
    grow(shape.n_embd_q(), {&q_, &context_values_});
    grow(shape.n_embd_kv(), {&k_, &v_});
    grow(shape.n_ff, {&gate_, &up_});
}

void Session::run(const std::int32_t* tokens, int n, bool only_last, float* logits) {
    make_room(n);
    for (int first = 0; first < n; first += chunk_tokens) {
        const Chunk chunk{position_ + first, std::min(chunk_tokens, n - first), first, n, n};
        run_chunk(tokens + first, chunk);
        if (only_last && first + chunk.rows < n) continue;
        write_logits(chunk, only_last,
                     only_last ? logits : logits + std::size_t(first) * std::size_t(hyper().n_vocab));
    }
    position_ += n;
}

void Session::rollback(int to) {
    cache_.clear(to, position_);
    position_ = to;
}

void Session::run_chunk(const std::int32_t* tokens, const Chunk& chunk) {
    embed(tokens, chunk);
    rotation_.set(chunk.position + faults_.position_shift, chunk.rows);
    for (int layer = 0; layer < hyper().n_layer; ++layer) {
        attention_block(layer, chunk);
        feed_forward_block(layer, chunk);
    }
}

void Session::embed(const std::int32_t* tokens, const Chunk& chunk) {
    const int width = hyper().n_embd;
    for (int row = 0; row < chunk.rows; ++row) {
        unpack_row(model_.token_embd, tokens[row], stream_.data() + std::size_t(row) * std::size_t(width));
    }
    record(-1, "embeddings", chunk, width, stream_.data());
}

void Session::attention_block(int layer, const Chunk& chunk) {
    const Layer& w = model_.layers[std::size_t(layer)];
    norm(w.attn_norm, hyper().n_embd, chunk.rows, stream_.data(), normed_.data());
    record(layer, "attn_norm", chunk, hyper().n_embd, normed_.data());
    multiply_from(normed_.data(), hyper().n_embd, chunk,
                  {{w.q, q_.data()}, {w.k, k_.data()}, {w.v, v_.data()}});
    record(layer, "q_proj", chunk, hyper().n_embd_q(), q_.data());
    record(layer, "k_proj", chunk, hyper().n_embd_kv(), k_.data());
    record(layer, "v_proj", chunk, hyper().n_embd_kv(), v_.data());
    norm_after(layer, "q_proj", chunk, hyper().n_embd_q(), q_.data());
    norm_after(layer, "k_proj", chunk, hyper().n_embd_kv(), k_.data());
    rotate_and_store(layer, chunk);
    attend(layer, chunk);

    norm_after(layer, "attn_ctx", chunk, hyper().n_embd_q(), context_values_.data());
    multiply_from(context_values_.data(), hyper().n_embd_q(), chunk, {{w.attn_out, projected_.data()}});
    record(layer, "attn_out", chunk, hyper().n_embd, projected_.data());
    add_to_stream(chunk);
    record(layer, "attn_residual", chunk, hyper().n_embd, stream_.data());
}

void Session::rotate_and_store(int layer, const Chunk& chunk) {
    const auto q_width = std::size_t(hyper().n_embd_q()), kv_width = std::size_t(hyper().n_embd_kv());
    pool_.run(chunk.rows, [&](int row, int) {
        const auto i = std::size_t(row);
        rotation_.apply(kernels_, row, q_.data() + i * q_width, hyper().n_head);
        rotation_.apply(kernels_, row, k_.data() + i * kv_width, hyper().n_head_kv);
        if (chunk.position + row == faults_.stale_kv_row) return;
        cache_.store(kernels_, layer, chunk.position + row, k_.data() + i * kv_width,
                     v_.data() + i * kv_width);
    });
    record(layer, "q_rope", chunk, hyper().n_embd_q(), q_.data());
    record(layer, "k_rope", chunk, hyper().n_embd_kv(), k_.data());
}

void Session::attend(int layer, const Chunk& chunk) {
    AttentionCall call{.layer = layer,
                       .position = chunk.position,
                       .tokens = chunk.rows,
                       .batch = chunk.batch,
                       .q = q_.data(),
                       .out = context_values_.data(),
                       .probs = nullptr,
                       .probs_width = 0};
    const bool with_probs = tap_.wants(layer, "attn_probs");
    if (with_probs) {
        call.probs_width = std::size_t(position_ + chunk.call_rows);
        probs_.assign(std::size_t(chunk.rows * hyper().n_head) * call.probs_width, 0.0f);
        call.probs = probs_.data();
    }
    attention_.run(pool_, cache_, call);
    if (with_probs) {
        record(layer, "attn_probs", chunk, hyper().n_head * int(call.probs_width), call.probs);
    }
    record(layer, "attn_ctx", chunk, hyper().n_embd_q(), context_values_.data());
}

void Session::feed_forward_block(int layer, const Chunk& chunk) {
    const Layer& w = model_.layers[std::size_t(layer)];
    const int n_ff = hyper().n_ff;
    norm(w.ffn_norm, hyper().n_embd, chunk.rows, stream_.data(), normed_.data());
    record(layer, "ffn_norm", chunk, hyper().n_embd, normed_.data());
    multiply_from(normed_.data(), hyper().n_embd, chunk, {{w.gate, gate_.data()}, {w.up, up_.data()}});
    record(layer, "ffn_gate", chunk, n_ff, gate_.data());
    record(layer, "ffn_up", chunk, n_ff, up_.data());

    const auto activate =
        hyper().activation == Activation::silu ? kernels_.in(arithmetic_.order).silu_mul : kernels_.relu2_mul;
    pool_.run(chunk.rows, [&](int row, int) {
        const std::size_t at = std::size_t(row) * std::size_t(n_ff);
        activate(gate_.data() + at, up_.data() + at, n_ff, gate_.data() + at);
    });
    record(layer, "ffn_act", chunk, n_ff, gate_.data());
    norm_after(layer, "ffn_act", chunk, n_ff, gate_.data());
    multiply_from(gate_.data(), n_ff, chunk, {{w.down, projected_.data()}});
    record(layer, "ffn_out", chunk, hyper().n_embd, projected_.data());
    add_to_stream(chunk);
    record(layer, "layer_out", chunk, hyper().n_embd, stream_.data());
}

void Session::write_logits(const Chunk& chunk, bool only_last, float* logits) {
    const int skipped = only_last ? chunk.rows - 1 : 0;
    Chunk part = chunk;
    if (only_last) part = {chunk.position + skipped, 1, 0, 1, chunk.batch};
    norm(model_.output_norm, hyper().n_embd, part.rows,
         stream_.data() + std::size_t(skipped) * std::size_t(hyper().n_embd), normed_.data());
    record(-1, "final_norm", part, hyper().n_embd, normed_.data());
    multiply_from(normed_.data(), hyper().n_embd, part, {{model_.head, logits}});
    record(-1, "logits", part, hyper().n_vocab, logits);
}

void Session::norm(const float* weight, int width, int rows, const float* x, float* out) {
    pool_.run(rows, [&](int row, int) {
        const std::size_t at = std::size_t(row) * std::size_t(width);
        kernels_.rms_norm(x + at, weight, width, hyper().norm_eps, out + at);
    });
}

void Session::norm_after(int layer, std::string_view stage, const Chunk& chunk, int width, float* x) {
    for (const InnerNorm& inner : model_.layers[std::size_t(layer)].inner_norms) {
        if (inner.follows != stage) continue;
        norm(inner.weight, inner.width, chunk.rows * (width / inner.width), x, x);
        record(layer, inner.stage.c_str(), chunk, width, x);
    }
}

void Session::add_to_stream(const Chunk& chunk) {
    const auto width = std::size_t(hyper().n_embd);
    pool_.run(chunk.rows, [&](int row, int) {
        float* stream = stream_.data() + std::size_t(row) * width;
        kernels_.add(projected_.data() + std::size_t(row) * width, stream, int(width), stream);
    });
}

void Session::multiply_from(const float* x, int cols, const Chunk& chunk,
                            std::initializer_list<MatMulJob> jobs) {
    activations_.set(x, chunk.rows, cols);
    multiply(pool_, kernels_, activations_, chunk.batch, arithmetic_, jobs);
}

void Session::record(int layer, const char* stage, const Chunk& chunk, int width, const float* values) {
    const int call_begins = chunk.position - chunk.first_row;
    tap_.record(layer, stage, {call_begins, chunk.call_rows, chunk.rows}, std::size_t(width), values);
}

}  // namespace bitnet
