// bitnet.h: generation and batches.
#include <algorithm>
#include <cstring>
#include <string>

#include "bitnet.h"
#include "library/bad_input.hpp"
#include "library/boundary.hpp"
#include "library/generation.hpp"
#include "library/sampler.hpp"
#include "library/structures.hpp"

using namespace bitnet;
using namespace bitnet::library;

namespace {

std::span<const std::int32_t> span_of(const std::int32_t* ids, std::int32_t n) {
    if (n < 0 || (ids == nullptr && n > 0)) throw BadInput("the ids are null or less than none");
    return {ids, std::size_t(n)};
}

bitnet_generation_config checked(const bitnet_generation_config* given) {
    const bitnet_generation_config config = filled_in(given, bitnet_generation_config_init);
    check(config);
    return config;
}

std::vector<std::int32_t> encode(const OpenModel& model, const char* prompt, bool at_start) {
    if (prompt == nullptr) throw BadInput("the prompt is null");
    return model.tokenizer().encode(prompt, at_start, true);
}

// In a session that has room for just this.
std::vector<std::int32_t> generate_alone(const std::shared_ptr<OpenModel>& model,
                                         std::span<const std::int32_t> ids,
                                         const bitnet_generation_config& config) {
    const std::int64_t needed = std::int64_t(ids.size()) + config.max_tokens;
    const auto context = int(std::clamp<std::int64_t>(needed, 1, std::max(model->shape().context_length, 1)));
    if (ids.empty()) throw BadInput("no tokens to run; give at least one");
    OpenSession session(model, {.context = context});
    return generate(session, ids, config, nullptr, nullptr);
}

}  // namespace

extern "C" {

void bitnet_generation_config_init(bitnet_generation_config* config) {
    if (config == nullptr) return;
    *config = {.size = sizeof *config,
               .max_tokens = 32,
               .ignore_end = 0,
               .temperature = 0,
               .top_k = 0,
               .top_p = 1,
               .repetition_penalty = 1,
               .repetition_window = 64,
               .seed = 0};
}

int32_t bitnet_sample(const bitnet_session* session, const bitnet_generation_config* config) {
    return guarded(__func__, [&] { return next_token(*UsedSession(session), checked(config)); });
}

int32_t bitnet_generate(bitnet_session* session, const int32_t* ids, int32_t n,
                        const bitnet_generation_config* config, bitnet_stream_function stream, void* user,
                        int32_t* out, int32_t capacity) {
    return guarded(__func__, [&] {
        const UsedSession used(session);
        const auto generated = generate(*used, span_of(ids, n), checked(config), stream, user);
        const auto written = std::min(std::int32_t(generated.size()), std::max(0, capacity));
        if (out != nullptr) std::copy_n(generated.begin(), written, out);
        return std::int32_t(generated.size());
    });
}

int32_t bitnet_generate_text(bitnet_session* session, const char* prompt,
                             const bitnet_generation_config* config, bitnet_stream_function stream,
                             void* user) {
    return guarded(__func__, [&] {
        const UsedSession used(session);
        const auto ids = encode(used->model(), prompt, used->position() == 0);
        return std::int32_t(generate(*used, ids, checked(config), stream, user).size());
    });
}

int32_t bitnet_inference_tokens(bitnet_model* model, const int32_t* ids, int32_t n,
                                const bitnet_generation_config* config, int32_t* out, int32_t capacity) {
    return guarded(__func__, [&] {
        const auto open = models().get(model);
        if (out == nullptr) throw BadInput("there is nowhere to write tokens to");
        bitnet_generation_config limited = checked(config);
        limited.max_tokens = std::min(limited.max_tokens, std::max(0, capacity));
        const auto generated = generate_alone(open, span_of(ids, n), limited);
        std::ranges::copy(generated, out);
        return std::int32_t(generated.size());
    });
}

int32_t bitnet_inference(bitnet_model* model, const char* prompt, const bitnet_generation_config* config,
                         char* text, size_t capacity) {
    return guarded(__func__, [&] {
        const auto open = models().get(model);
        const auto generated = generate_alone(open, encode(*open, prompt, true), checked(config));
        std::string whole;
        for (const std::int32_t token : generated) {
            if (!open->tokenizer().is_end(token)) whole += open->tokenizer().piece(token);
        }
        if (text != nullptr && capacity > 0) {
            const std::size_t written = std::min(whole.size(), capacity - 1);
            std::memcpy(text, whole.data(), written);
            text[written] = '\0';
        }
        return std::int32_t(whole.size());
    });
}

bitnet_status bitnet_batch_run(bitnet_batch_item* items, int32_t n) {
    return guarded(__func__, [&] {
        if (n < 0 || (items == nullptr && n > 0)) throw BadInput("the items are null or less than none");
        bitnet_status first = BITNET_OK;
        std::string said;
        for (bitnet_batch_item& item : std::span(items, std::size_t(n))) {
            item.status = bitnet_prefill(item.session, item.ids, item.n, item.which);
            if (item.status != BITNET_OK && first == BITNET_OK) said = last_error(), first = item.status;
        }
        if (first != BITNET_OK) set_last_error(said.c_str());
        return first;
    });
}

}  // extern "C"
