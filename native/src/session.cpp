#include "bitnet/session.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>

namespace bitnet {
namespace {

// Enough that each matmul makes several tasks a thread, so that a slower processor takes fewer; few enough
// that activations take little memory beside the weights.
constexpr int chunk_tokens = 512;

// A stage that may take its input through a norm, and how wide the rows of that input are.
struct Reader {
    const char* stage;
    int (*width)(const HyperParameters&);
};
int n_embd(const HyperParameters& h) { return h.n_embd; }
int n_embd_q(const HyperParameters& h) { return h.n_embd_q(); }
int n_embd_kv(const HyperParameters& h) { return h.n_embd_kv(); }
int n_ff(const HyperParameters& h) { return h.n_ff; }
constexpr std::array readers{
    Reader{"q_proj", n_embd},        Reader{"k_proj", n_embd},    Reader{"v_proj", n_embd},
    Reader{"q_rope", n_embd_q},      Reader{"k_rope", n_embd_kv}, Reader{"attn_out", n_embd_q},
    Reader{"ffn_gate", n_embd},      Reader{"ffn_up", n_embd},    Reader{"ffn_out", n_ff},
    Reader{"attn_residual", n_embd}, Reader{"layer_out", n_embd},
};

void check(const InnerNorm& norm, const HyperParameters& hyper) {
    for (const Reader& reader : readers) {
        if (norm.reader != reader.stage) continue;
        const int width = reader.width(hyper);
        if (norm.width > 0 && width % norm.width == 0) return;
        throw std::invalid_argument(norm.stage + " has " + std::to_string(norm.width) +
                                    " weights, which do not divide the " + std::to_string(width) +
                                    " values that " + norm.reader + " takes");
    }
    throw std::invalid_argument("no norm can stand before " + norm.reader);
}

// Angles of windowed blocks have a base of their own and are not scaled.
HyperParameters as_windowed(HyperParameters hyper) {
    hyper.rope_base = hyper.windowed_rope_base;
    hyper.rope_scaling = {};
    return hyper;
}

void multiply_by(float factor, int n, float* x) {
    for (int i = 0; i < n; ++i) x[i] *= factor;
}

void require_sums(const Matrix& matrix, const Arithmetic& arithmetic) {
    const FormatRow& row = row_of(matrix.format);
    if (row.summing({matrix.rows, matrix.cols, 1}, arithmetic).sums) return;
    throw std::invalid_argument("nobody has found out how builds for this instruction set sum " +
                                std::string(row.name));
}

}  // namespace

std::vector<std::string> readers_of_inner_norms() {
    std::vector<std::string> stages;
    for (const Reader& reader : readers) stages.emplace_back(reader.stage);
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
      windowed_rotation_(as_windowed(model_.hyper), nullptr, options.arithmetic),
      gelu_(model_.hyper.activation == Activation::gelu),
      activations_(kernels, pool_, options.arithmetic, faults_) {
    model_.head.is_embedding = model_.head.data == model_.token_embd.data;
    require_sums(model_.head, arithmetic_);
    for (const Layer& layer : model_.layers) {
        for (const Matrix* matrix :
             {&layer.q, &layer.k, &layer.v, &layer.attn_out, &layer.gate, &layer.up, &layer.down})
            require_sums(*matrix, arithmetic_);
        for (const InnerNorm& norm : layer.inner_norms) check(norm, hyper());
    }
}

// Buffers grow with the longest call, so that short ones take little memory.
void Session::make_room(int tokens) {
    const HyperParameters& shape = hyper();
    const auto rows = std::size_t(std::min(chunk_tokens, tokens));
    const auto grow = [rows](int width, std::initializer_list<AlignedVector<float>*> buffers) {
        for (AlignedVector<float>* buffer : buffers)
            buffer->resize(std::max(buffer->size(), rows * std::size_t(width)));
    };
    grow(shape.n_embd, {&stream_, &normed_, &projected_, &input_});
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
    if (hyper().sliding_window > 0) {
        windowed_rotation_.set(chunk.position + faults_.position_shift, chunk.rows);
    }
    for (int layer = 0; layer < hyper().n_layer; ++layer) {
        attention_block(layer, chunk);
        feed_forward_block(layer, chunk);
    }
}

void Session::embed(const std::int32_t* tokens, const Chunk& chunk) {
    const int width = hyper().n_embd;
    const Matrix& embedding = model_.token_embd;
    for (int row = 0; row < chunk.rows; ++row) {
        float* out = stream_.data() + std::size_t(row) * std::size_t(width);
        const std::uint8_t* packed = embedding.data + std::size_t(tokens[row]) * embedding.row_bytes;
        row_of(embedding.format).unpack(packed, width, out);
        if (hyper().scales_embeddings) multiply_by(std::sqrt(float(width)), width, out);
    }
    record(-1, "embeddings", chunk, width, stream_.data());
}

void Session::project(int layer, const Chunk& chunk, const float* x, int cols,
                      std::initializer_list<Projection> projections) {
    const auto has_norm = [&](const Projection& p) { return inner_norm(layer, p.stage) != nullptr; };
    if (std::any_of(projections.begin(), projections.end(), has_norm)) {
        for (const Projection& p : projections) {
            const InnerNorm* norm = inner_norm(layer, p.stage);
            if (norm) apply(*norm, layer, chunk, cols, x, input_.data());
            multiply_from(norm ? input_.data() : x, cols, chunk, {{p.weight, p.out}});
            record(layer, p.stage, chunk, p.weight.rows, p.out);
        }
        return;
    }
    std::vector<MatMulJob> jobs;
    for (const Projection& p : projections) jobs.push_back({p.weight, p.out});
    activations_.set(x, chunk.rows, cols);
    multiply(pool_, kernels_, activations_, chunk.batch, arithmetic_, jobs);
    for (const Projection& p : projections) record(layer, p.stage, chunk, p.weight.rows, p.out);
}

void Session::attention_block(int layer, const Chunk& chunk) {
    const Layer& w = model_.layers[std::size_t(layer)];
    norm(w.attn_norm, hyper().n_embd, chunk.rows, stream_.data(), normed_.data());
    record(layer, "attn_norm", chunk, hyper().n_embd, normed_.data());
    project(layer, chunk, normed_.data(), hyper().n_embd,
            {{"q_proj", w.q, q_.data()}, {"k_proj", w.k, k_.data()}, {"v_proj", w.v, v_.data()}});
    norm_before("q_rope", layer, chunk, hyper().n_embd_q(), q_.data());
    norm_before("k_rope", layer, chunk, hyper().n_embd_kv(), k_.data());
    rotate_and_store(layer, chunk);
    if (hyper().divides_queries) divide_queries(chunk);
    attend(layer, chunk);

    norm_before("attn_out", layer, chunk, hyper().n_embd_q(), context_values_.data());
    multiply_from(context_values_.data(), hyper().n_embd_q(), chunk, {{w.attn_out, projected_.data()}});
    record(layer, "attn_out", chunk, hyper().n_embd, projected_.data());
    norm_before("attn_residual", layer, chunk, hyper().n_embd, projected_.data());
    add_to_stream(chunk);
    record(layer, "attn_residual", chunk, hyper().n_embd, stream_.data());
}

void Session::rotate_and_store(int layer, const Chunk& chunk) {
    const auto q_width = std::size_t(hyper().n_embd_q()), kv_width = std::size_t(hyper().n_embd_kv());
    const Rotation& rotation = hyper().is_windowed(layer) ? windowed_rotation_ : rotation_;
    pool_.run(chunk.rows, [&](int row, int) {
        const auto i = std::size_t(row);
        rotation.apply(kernels_, row, q_.data() + i * q_width, hyper().n_head);
        rotation.apply(kernels_, row, k_.data() + i * kv_width, hyper().n_head_kv);
        if (chunk.position + row == faults_.stale_kv_row) return;
        cache_.store(kernels_, layer, chunk.position + row, k_.data() + i * kv_width,
                     v_.data() + i * kv_width);
    });
    record(layer, "q_rope", chunk, hyper().n_embd_q(), q_.data());
    record(layer, "k_rope", chunk, hyper().n_embd_kv(), k_.data());
}

void Session::divide_queries(const Chunk& chunk) {
    const float inverse = 1.0f / std::sqrt(float(hyper().query_width()));
    const int width = hyper().n_embd_q();
    pool_.run(chunk.rows, [&](int row, int) {
        multiply_by(inverse, width, q_.data() + std::size_t(row) * std::size_t(width));
    });
}

void Session::attend(int layer, const Chunk& chunk) {
    AttentionCall call{.layer = layer,
                       .position = chunk.position,
                       .tokens = chunk.rows,
                       .batch = chunk.batch,
                       .q = q_.data(),
                       .out = context_values_.data(),
                       .probs = nullptr,
                       .probs_width = 0,
                       .window = hyper().is_windowed(layer) ? hyper().sliding_window : 0};
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
    project(layer, chunk, normed_.data(), hyper().n_embd,
            {{"ffn_gate", w.gate, gate_.data()}, {"ffn_up", w.up, up_.data()}});
    pool_.run(chunk.rows, [&](int row, int) {
        const std::size_t at = std::size_t(row) * std::size_t(n_ff);
        activate(gate_.data() + at, up_.data() + at, n_ff, gate_.data() + at);
    });
    record(layer, "ffn_act", chunk, n_ff, gate_.data());
    norm_before("ffn_out", layer, chunk, n_ff, gate_.data());
    multiply_from(gate_.data(), n_ff, chunk, {{w.down, projected_.data()}});
    record(layer, "ffn_out", chunk, hyper().n_embd, projected_.data());
    norm_before("layer_out", layer, chunk, hyper().n_embd, projected_.data());
    add_to_stream(chunk);
    record(layer, "layer_out", chunk, hyper().n_embd, stream_.data());
}

void Session::activate(const float* gate, const float* up, int n, float* out) const {
    switch (hyper().activation) {
        case Activation::silu:
            return kernels_.in(arithmetic_.order).silu_mul(gate, up, n, out);
        case Activation::relu2:
            return kernels_.relu2_mul(gate, up, n, out);
        case Activation::gelu:
            return gelu_.multiply(gate, up, n, out);
    }
}

void Session::write_logits(const Chunk& chunk, bool only_last, float* logits) {
    const int skipped = only_last ? chunk.rows - 1 : 0;
    Chunk part = chunk;
    if (only_last) part = {chunk.position + skipped, 1, 0, 1, chunk.batch};
    norm(model_.output_norm, hyper().n_embd, part.rows,
         stream_.data() + std::size_t(skipped) * std::size_t(hyper().n_embd), normed_.data());
    record(-1, "final_norm", part, hyper().n_embd, normed_.data());
    if (hyper().pools_last_token && tap_.wants(-1, "pooled")) record_pooled(part);
    multiply_from(normed_.data(), hyper().n_embd, part, {{model_.head, logits}});
    record(-1, "logits", part, hyper().n_vocab, logits);
}

// A row of zeros has no direction and stays as it is.
void Session::record_pooled(const Chunk& chunk) {
    const auto width = std::size_t(hyper().n_embd);
    std::vector<float> pooled(normed_.begin(),
                              normed_.begin() + std::ptrdiff_t(std::size_t(chunk.rows) * width));
    for (int row = 0; row < chunk.rows; ++row) {
        float* x = pooled.data() + std::size_t(row) * width;
        double squares = 0;
        for (std::size_t i = 0; i < width; ++i) squares += double(x[i]) * x[i];
        if (squares > 0) multiply_by(float(1 / std::sqrt(squares)), int(width), x);
    }
    record(-1, "pooled", chunk, int(width), pooled.data());
}

void Session::norm(const float* weight, int width, int rows, const float* x, float* out) {
    pool_.run(rows, [&](int row, int) {
        const std::size_t at = std::size_t(row) * std::size_t(width);
        kernels_.rms_norm(x + at, weight, width, hyper().norm_eps, out + at);
    });
}

const InnerNorm* Session::inner_norm(int layer, std::string_view reader) const {
    for (const InnerNorm& norm : model_.layers[std::size_t(layer)].inner_norms) {
        if (norm.reader == reader) return &norm;
    }
    return nullptr;
}

void Session::apply(const InnerNorm& inner, int layer, const Chunk& chunk, int width, const float* x,
                    float* out) {
    norm(inner.weight, inner.width, chunk.rows * (width / inner.width), x, out);
    record(layer, inner.stage.c_str(), chunk, width, out);
}

void Session::norm_before(std::string_view reader, int layer, const Chunk& chunk, int width, float* x) {
    if (const InnerNorm* inner = inner_norm(layer, reader)) apply(*inner, layer, chunk, width, x, x);
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
    multiply(pool_, kernels_, activations_, chunk.batch, arithmetic_, {jobs.begin(), jobs.size()});
}

void Session::record(int layer, const char* stage, const Chunk& chunk, int width, const float* values) {
    const int call_begins = chunk.position - chunk.first_row;
    tap_.record(layer, stage, {call_begins, chunk.call_rows, chunk.rows}, std::size_t(width), values);
}

}  // namespace bitnet
