#include "session.hpp"

#include <ggml-backend.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "devices.hpp"

namespace bridge {

namespace {

// Prompts are evaluated in chunks of this many tokens, the default of llama.cpp's own programs; each chunk is
// one graph, so the bridge knows which positions a node of it covers.
constexpr int CHUNK = 512;

std::string first_error;  // since it was cleared: the cause; what llama.cpp logs after it are consequences

void log_line(ggml_log_level level, const char* text, void*) {
    static bool shown = false;
    if (level != GGML_LOG_LEVEL_CONT) shown = level == GGML_LOG_LEVEL_WARN || level == GGML_LOG_LEVEL_ERROR;
    if (!shown) return;
    std::fputs(text, stderr);
    if (level == GGML_LOG_LEVEL_ERROR && first_error.empty()) first_error = text;
}

llama_model* load_model(const std::string& path, int device) {
    llama_model_params params = llama_model_default_params();
    params.n_gpu_layers = 0;
    std::array<ggml_backend_dev_t, 2> chosen{};
    if (device >= 0) {
        chosen[0] = devices().at(static_cast<std::size_t>(device)).handle;
        compat::offload_to(params, device, chosen.data());
    }
    first_error.clear();
    llama_model* model = compat::load_model(path.c_str(), params);
    if (!model) throw LoadError(first_error.empty() ? "the loader gave no reason" : first_error);
    return model;
}

llama_context* open_context(const Model& model, int positions, int chunk, int threads, Tap& tap) {
    llama_context_params params = llama_context_default_params();
    params.n_ctx = static_cast<std::uint32_t>(positions);
    params.n_batch = params.n_ubatch = static_cast<std::uint32_t>(chunk);
    params.n_threads = params.n_threads_batch = threads;
    params.type_k = params.type_v = GGML_TYPE_F16;
    compat::set_eval_callback<Tap::callback>(params, &tap);
    compat::disable_flash_attention(params);
    if (!model.is_on_device()) compat::stay_on_cpu(params);
    llama_context* context = compat::make_context(model.get(), params);
    if (!context) throw LoadError(first_error.empty() ? "no context could be made" : first_error);
    return context;
}

}  // namespace

Model::Model(const std::string& path, int device)
    : is_on_device_(device >= 0), model_(load_model(path, device)) {}

Session::Session(std::shared_ptr<const Model> model, int context, int threads)
    : model_(std::move(model)), chunk_(std::min(context, CHUNK)) {
    context_.reset(open_context(*model_, context, chunk_, threads, tap_));
    n_vocab_ = compat::vocabulary_size(model_->get());
}

std::vector<std::int32_t> Session::tokenize(const std::string& text, bool add_special,
                                            bool parse_special) const {
    const auto write = [&](std::int32_t* ids, int room) {
        const int size = static_cast<int>(text.size());
        return compat::tokenize(model_->get(), text.c_str(), size, ids, room, add_special, parse_special);
    };
    const int needed = -write(nullptr, 0);  // with no room it answers minus the count that it needs
    std::vector<std::int32_t> ids(static_cast<std::size_t>(std::max(needed, 0)));
    if (needed > 0) write(ids.data(), needed);
    return ids;
}

std::string Session::detokenize(const std::vector<std::int32_t>& ids) const {
    const llama_model* model = model_->get();
    const int n = static_cast<int>(ids.size());
    const int needed = -compat::detokenize(model, ids.data(), n, static_cast<char*>(nullptr), 0, false, true);
    std::string text(static_cast<std::size_t>(std::max(needed, 0)), '\0');
    if (needed > 0) compat::detokenize(model, ids.data(), n, text.data(), needed, false, true);
    return text;
}

void Session::evaluate(const std::vector<std::int32_t>& tokens, bool every, float* logits) {
    const int n = static_cast<int>(tokens.size());
    const std::size_t row_bytes = static_cast<std::size_t>(n_vocab_) * sizeof(float);
    for (int done = 0; done < n; done += chunk_) {
        const int count = std::min(chunk_, n - done);
        const bool last = done + count == n;
        evaluate_chunk(tokens.data() + done, count, every, last);
        for (int i = every ? 0 : count - 1; i < count && (every || last); ++i, logits += n_vocab_) {
            const float* row = llama_get_logits_ith(context_.get(), i);
            if (!row) throw std::runtime_error("llama.cpp gave no logits for a token that asked for them");
            std::memcpy(logits, row, row_bytes);
        }
    }
}

void Session::evaluate_chunk(const std::int32_t* tokens, int n, bool every, bool last) {
    llama_batch batch = llama_batch_init(n, 0, 1);
    batch.n_tokens = n;
    for (int i = 0; i < n; ++i) {
        batch.token[i] = tokens[i];
        batch.pos[i] = position_ + i;
        batch.n_seq_id[i] = 1;
        batch.seq_id[i][0] = 0;
        batch.logits[i] = every || (last && i == n - 1);
    }
    tap_.begin_chunk(position_, position_ + n);
    const int status = llama_decode(context_.get(), batch);
    llama_batch_free(batch);
    tap_.rethrow();
    if (status != 0) throw std::runtime_error("llama_decode returned " + std::to_string(status));
    position_ += n;
}

void Session::rollback(int to) {
    if (!compat::forget_from(context_.get(), to))
        throw std::runtime_error("the KV cache cannot be shortened");
    position_ = to;
}

std::vector<NodeDescription> Session::nodes(const std::vector<std::int32_t>& tokens) {
    std::vector<NodeDescription> nodes;
    const int start = position_;
    std::vector<float> logits(static_cast<std::size_t>(n_vocab_));
    tap_.list_into(&nodes);
    evaluate(tokens, false, logits.data());
    tap_.list_into(nullptr);
    rollback(start);
    return nodes;
}

void quiet_log() { llama_log_set(log_line, nullptr); }

std::string system_information() { return llama_print_system_info(); }

}  // namespace bridge
