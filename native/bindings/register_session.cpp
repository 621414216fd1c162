// Models and sessions.  Tensors stay NumPy arrays, usually views of the memory-mapped file; a session holds
// references to them.

#include <pybind11/functional.h>
#include <pybind11/stl.h>

#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

#include "bitnet/session.hpp"
#include "register.hpp"

namespace py = pybind11;
using namespace bitnet;

namespace {

struct BoundMatrix {
    Matrix matrix;
    Array<std::uint8_t> data;

    BoundMatrix(const std::string& format_name, int rows, int cols, Array<std::uint8_t> bytes)
        : data(std::move(bytes)) {
        const FormatRow& format = format_named(format_name);
        const bool is_padded = format.format == Format::i2_s;
        if (rows < 1 || cols < 1 || (cols % format.block != 0 && !is_padded)) {
            throw std::invalid_argument(format_name + " cannot hold " + std::to_string(rows) + " x " +
                                        std::to_string(cols) + " weights");
        }
        const std::size_t row = row_bytes(format.format, cols);
        const std::size_t codes = row * std::size_t(rows);
        const std::size_t needed = codes + (format.has_one_scale ? sizeof(float) : 0);
        if (std::size_t(data.size()) < needed) {
            throw std::invalid_argument(format_name + " matrix needs " + std::to_string(needed) +
                                        " bytes, got " + std::to_string(data.size()));
        }
        matrix = {format.format, rows, cols, data.data(), row, 1.0f};
        if (format.has_one_scale) std::memcpy(&matrix.scale, data.data() + codes, sizeof(float));
    }
};

using Vector = Array<float>;
using OptionalVector = std::optional<Vector>;

// Its stage, the stage that reads it, its weight.
using BoundInnerNorm = std::tuple<std::string, std::string, Vector>;

struct BoundLayer {
    Vector attn_norm, ffn_norm;
    BoundMatrix q, k, v, attn_out, gate, up, down;
    std::vector<BoundInnerNorm> inner_norms;
};

const float* data_of(const Vector& vector, int n, const char* name) {
    if (vector.size() != n) {
        throw std::invalid_argument(std::string(name) + " needs " + std::to_string(n) + " values, got " +
                                    std::to_string(vector.size()));
    }
    return vector.data();
}

const float* data_of(const OptionalVector& vector, bool needed, int n, const char* name) {
    if (!needed) return nullptr;
    if (!vector) throw std::invalid_argument(std::string(name) + " is missing");
    return data_of(*vector, n, name);
}

Matrix shaped(const BoundMatrix& bound, int rows, int cols, const char* name) {
    if (bound.matrix.rows != rows || bound.matrix.cols != cols) {
        throw std::invalid_argument(std::string(name) + " is " + std::to_string(bound.matrix.rows) + " x " +
                                    std::to_string(bound.matrix.cols) + ", needed " + std::to_string(rows) +
                                    " x " + std::to_string(cols));
    }
    return bound.matrix;
}

Layer view(const BoundLayer& layer, const HyperParameters& h) {
    std::vector<InnerNorm> inner_norms;
    for (const auto& [stage, reader, weight] : layer.inner_norms) {
        inner_norms.push_back({stage, reader, weight.data(), int(weight.size())});
    }
    return {
        .attn_norm = data_of(layer.attn_norm, h.n_embd, "attn_norm"),
        .q = shaped(layer.q, h.n_embd_q(), h.n_embd, "q"),
        .k = shaped(layer.k, h.n_embd_kv(), h.n_embd, "k"),
        .v = shaped(layer.v, h.n_embd_kv(), h.n_embd, "v"),
        .attn_out = shaped(layer.attn_out, h.n_embd, h.n_embd_q(), "attn_out"),
        .ffn_norm = data_of(layer.ffn_norm, h.n_embd, "ffn_norm"),
        .gate = shaped(layer.gate, h.n_ff, h.n_embd, "gate"),
        .up = shaped(layer.up, h.n_ff, h.n_embd, "up"),
        .down = shaped(layer.down, h.n_embd, h.n_ff, "down"),
        .inner_norms = std::move(inner_norms),
    };
}

void check(const HyperParameters& h) {
    const bool positive = h.n_vocab > 0 && h.n_layer > 0 && h.n_embd > 0 && h.n_head > 0 && h.n_head_kv > 0 &&
                          h.head_dim > 0 && h.n_ff > 0 && h.rope_dim > 0;
    if (!positive) throw std::invalid_argument("a size in the hyperparameters is not positive");
    if (h.n_head % h.n_head_kv != 0) throw std::invalid_argument("n_head is not a multiple of n_head_kv");
    if (h.rope_dim % 2 != 0 || h.rope_dim > h.head_dim)
        throw std::invalid_argument("rope_dim does not fit head_dim");
}

class BoundSession {
public:
    BoundSession(const HyperParameters& hyper, BoundMatrix token_embd, BoundMatrix head, Vector output_norm,
                 OptionalVector rope_factors, std::vector<BoundLayer> layers, int context, int threads,
                 const Arithmetic& arithmetic, const std::string& kernels, const Faults& faults)
        : token_embd_(std::move(token_embd)),
          head_(std::move(head)),
          output_norm_(std::move(output_norm)),
          rope_factors_(std::move(rope_factors)),
          layers_(std::move(layers)) {
        check(hyper);
        if (context < 1) throw std::invalid_argument("context is not positive");
        if (threads < 1) throw std::invalid_argument("threads is not positive");
        if (int(layers_.size()) != hyper.n_layer) throw std::invalid_argument("layers and n_layer differ");
        if (const FormatRow& row = row_of(token_embd_.matrix.format); row.unpack == nullptr) {
            throw std::invalid_argument("token_embd is in " + std::string(row.name) +
                                        ", which is not unpacked");
        }
        Model model{.hyper = hyper,
                    .token_embd = shaped(token_embd_, hyper.n_vocab, hyper.n_embd, "token_embd"),
                    .head = shaped(head_, hyper.n_vocab, hyper.n_embd, "head"),
                    .output_norm = data_of(output_norm_, hyper.n_embd, "output_norm"),
                    .rope_factors =
                        data_of(rope_factors_, rope_factors_.has_value(), hyper.rope_dim / 2, "rope_factors"),
                    .layers = {}};
        for (const BoundLayer& layer : layers_) model.layers.push_back(view(layer, hyper));
        session_ = std::make_unique<Session>(std::move(model), kernel_set(kernels),
                                             SessionOptions{context, threads, arithmetic, faults});
    }

    using Sink = std::function<void(int, const std::string&, int, py::array)>;

    // While the call runs, the sink gets (layer, stage, first position, (positions, width) array) in graph
    // order.  What it raises is raised when the call is done, and it gets no more.
    Array<float> run(Array<std::int32_t> tokens, bool only_last, const std::optional<Sink>& sink) {
        const int n = int(tokens.size());
        check_tokens(tokens.data(), n);
        Array<float> logits({only_last ? 1 : n, session_->hyper().n_vocab});
        float* out = logits.mutable_data();
        std::exception_ptr raised;
        if (sink) session_->tap().deliver_to([&](StageRecord record) { deliver(*sink, record, raised); });
        {
            py::gil_scoped_release release;
            session_->run(tokens.data(), n, only_last, out);
        }
        session_->tap().deliver_to(nullptr);
        if (raised) std::rethrow_exception(raised);
        return logits;
    }

    void rollback(int to) {
        if (to < 0 || to > session_->position()) throw std::invalid_argument("rollback: no such position");
        session_->rollback(to);
    }

    void select_stages(const StageList& wanted) { session_->tap().select(wanted); }

    int position() const { return session_->position(); }
    int context() const { return session_->context(); }
    const char* kernels() const { return session_->kernels().name; }
    const char* isa() const { return session_->kernels().isa; }

private:
    static void deliver(const Sink& sink, StageRecord& record, std::exception_ptr& raised) {
        if (raised) return;
        py::gil_scoped_acquire acquire;
        try {
            auto* values = new std::vector<float>(std::move(record.values));
            py::capsule owner(values, [](void* p) { delete static_cast<std::vector<float>*>(p); });
            const py::ssize_t rows = record.positions, width = py::ssize_t(values->size()) / rows;
            sink(record.layer, record.stage, record.position,
                 py::array_t<float>({rows, width}, values->data(), owner));
        } catch (...) {
            raised = std::current_exception();
        }
    }

    void check_tokens(const std::int32_t* tokens, int n) const {
        if (n < 1) throw std::invalid_argument("run: no tokens");
        if (n > session_->context() - session_->position())
            throw std::invalid_argument("run: beyond the context");
        for (int i = 0; i < n; ++i) {
            if (tokens[i] < 0 || tokens[i] >= session_->hyper().n_vocab) {
                throw std::invalid_argument("run: token id outside the vocabulary");
            }
        }
    }

    BoundMatrix token_embd_, head_;
    Vector output_norm_;
    OptionalVector rope_factors_;
    std::vector<BoundLayer> layers_;
    std::unique_ptr<Session> session_;
};

Activation activation_named(const std::string& name) {
    if (name == "silu") return Activation::silu;
    if (name == "relu2") return Activation::relu2;
    if (name == "gelu") return Activation::gelu;
    throw std::invalid_argument("activation: " + name);
}

HyperParameters make_hyper(int n_vocab, int n_layer, int n_embd, int n_head, int n_head_kv, int head_dim,
                           int n_ff, int rope_dim, float norm_eps, float rope_base,
                           const std::string& rope_pairs, const RopeScaling& rope_scaling,
                           const std::string& activation, bool scales_embeddings, bool divides_queries,
                           int sliding_window, float windowed_rope_base, bool pools_last_token) {
    if (rope_pairs != "neox" && rope_pairs != "norm")
        throw std::invalid_argument("rope_pairs: " + rope_pairs);
    return {n_vocab,
            n_layer,
            n_embd,
            n_head,
            n_head_kv,
            head_dim,
            n_ff,
            rope_dim,
            norm_eps,
            rope_base,
            rope_pairs == "neox" ? RopePairs::neox : RopePairs::norm,
            rope_scaling,
            activation_named(activation),
            scales_embeddings,
            divides_queries,
            sliding_window,
            windowed_rope_base,
            pools_last_token};
}

Arithmetic make_arithmetic(const std::string& generation, const std::string& order,
                           const std::string& compiler, bool fuses_sums) {
    const bool is_bitnet = generation == "bitnet.cpp";
    if (!is_bitnet && generation != "llama.cpp") {
        throw std::invalid_argument("generation '" + generation + "' is neither bitnet.cpp nor llama.cpp");
    }
    const bool is_gcc = compiler == "gcc";
    if (!is_gcc && compiler != "clang")
        throw std::invalid_argument("compiler '" + compiler + "' is neither gcc nor clang");
    return {is_bitnet ? Generation::bitnet_cpp : Generation::llama_cpp, order_of(order),
            is_gcc ? Compiler::gcc : Compiler::clang, fuses_sums};
}

std::string compiler() {
#if defined(__clang__)
    return std::string("clang ") + __clang_version__;
#else
    return std::string("gcc ") + __VERSION__;
#endif
}

}  // namespace

void register_session(py::module_& m) {
    using py::arg;
    m.def("compiler", compiler);
    m.def("readers_of_inner_norms", readers_of_inner_norms);

    py::class_<RopeScaling>(m, "RopeScaling")
        .def(py::init([](bool yarn, float factor, int original_context) {
                 return RopeScaling{yarn, factor, original_context};
             }),
             py::kw_only(), arg("yarn") = false, arg("factor") = 1.0f, arg("original_context") = 0);
    m.def("embedding_formats", [] {
        std::vector<std::string> names;
        for (const FormatRow& row : format_rows()) {
            if (row.unpack) names.emplace_back(row.name);
        }
        return names;
    });

    py::class_<HyperParameters>(m, "HyperParameters")
        .def(py::init(&make_hyper), py::kw_only(), arg("n_vocab"), arg("n_layer"), arg("n_embd"),
             arg("n_head"), arg("n_head_kv"), arg("head_dim"), arg("n_ff"), arg("rope_dim"), arg("norm_eps"),
             arg("rope_base"), arg("rope_pairs"), arg("rope_scaling"), arg("activation"),
             arg("scales_embeddings"), arg("divides_queries"), arg("sliding_window"),
             arg("windowed_rope_base"), arg("pools_last_token"));

    py::class_<BoundMatrix>(m, "Matrix")
        .def(py::init<const std::string&, int, int, Array<std::uint8_t>>(), arg("format"), arg("rows"),
             arg("cols"), arg("data").noconvert());

    py::class_<BoundLayer>(m, "Layer")
        .def(py::init([](Vector attn_norm, BoundMatrix q, BoundMatrix k, BoundMatrix v, BoundMatrix attn_out,
                         Vector ffn_norm, BoundMatrix gate, BoundMatrix up, BoundMatrix down,
                         std::vector<BoundInnerNorm> inner_norms) {
                 return BoundLayer{attn_norm, ffn_norm, q,  k,    v,
                                   attn_out,  gate,     up, down, std::move(inner_norms)};
             }),
             py::kw_only(), arg("attn_norm"), arg("q"), arg("k"), arg("v"), arg("attn_out"), arg("ffn_norm"),
             arg("gate"), arg("up"), arg("down"), arg("inner_norms"));

    py::class_<Faults>(m, "Faults")
        .def(py::init([](int kv_head_shift, int stale_kv_row, int position_shift, bool truncate_codes) {
                 return Faults{kv_head_shift, stale_kv_row, position_shift, truncate_codes};
             }),
             py::kw_only(), arg("kv_head_shift") = 0, arg("stale_kv_row") = -1, arg("position_shift") = 0,
             arg("truncate_codes") = false);

    py::class_<Arithmetic>(m, "Arithmetic")
        .def(py::init(&make_arithmetic), py::kw_only(), arg("generation"), arg("order"), arg("compiler"),
             arg("fuses_sums"));

    py::class_<BoundSession>(m, "Session")
        .def(py::init([](const HyperParameters& hyper, BoundMatrix token_embd, BoundMatrix head,
                         Vector output_norm, OptionalVector rope_factors, std::vector<BoundLayer> layers,
                         int context, int threads, const Arithmetic& arithmetic, const std::string& kernels,
                         const Faults& faults) {
                 return std::make_unique<BoundSession>(hyper, std::move(token_embd), std::move(head),
                                                       std::move(output_norm), std::move(rope_factors),
                                                       std::move(layers), context, threads, arithmetic,
                                                       kernels, faults);
             }),
             py::kw_only(), arg("hyper"), arg("token_embd"), arg("head"), arg("output_norm"),
             arg("rope_factors"), arg("layers"), arg("context"), arg("threads"), arg("arithmetic"),
             arg("kernels"), arg("faults"))
        .def("run", &BoundSession::run, arg("tokens").noconvert(), arg("only_last"), arg("sink") = py::none())
        .def("rollback", &BoundSession::rollback, arg("to"))
        .def("select_stages", &BoundSession::select_stages, arg("wanted"))
        .def_property_readonly("position", &BoundSession::position)
        .def_property_readonly("context", &BoundSession::context)
        .def_property_readonly("kernels", &BoundSession::kernels)
        .def_property_readonly("isa", &BoundSession::isa);
}
