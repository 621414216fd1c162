// bitnet.h: models.
#include <string>

#include "bitnet.h"
#include "library/bad_input.hpp"
#include "library/boundary.hpp"
#include "library/structures.hpp"
#include "library/words.hpp"

using namespace bitnet;
using namespace bitnet::library;

namespace {

bitnet_model_info info_of(const OpenModel& model) {
    const Shape& shape = model.shape();
    std::uint64_t parameters = 0;
    for (const auto& [name, tensor] : model.file().tensors()) parameters += tensor.rows() * tensor.cols();
    return {.size = sizeof(bitnet_model_info),
            .n_vocab = shape.n_vocab,
            .n_layer = shape.n_layer,
            .n_embd = shape.n_embd,
            .n_head = shape.n_head,
            .n_head_kv = shape.n_head_kv,
            .head_dim = shape.head_dim,
            .n_ff = shape.n_ff,
            .context_length = shape.context_length,
            .head_is_tied = model.mapped().head_is_tied ? 1 : 0,
            .n_tensors = std::int64_t(model.file().tensors().size()),
            .n_parameters = std::int64_t(parameters),
            .mapped_bytes = std::int64_t(model.file().size()),
            .owned_bytes = std::int64_t(model.owned_bytes())};
}

std::string plain_text(const Value& value) {
    const auto* text = std::get_if<std::string>(&value);
    return text == nullptr ? value_text(value) : *text;
}

}  // namespace

extern "C" {

void bitnet_model_config_init(bitnet_model_config* config) {
    if (config != nullptr) *config = {sizeof *config, -1, nullptr, nullptr};
}

bitnet_model* bitnet_model_load(const char* path, const bitnet_model_config* config) {
    return guarded(__func__, [&] {
        if (path == nullptr) throw BadInput("the path is null");
        const bitnet_model_config given = filled_in(config, bitnet_model_config_init);
        ModelChoices choices{.device_id = given.device_id};
        if (given.arithmetic != nullptr) choices.arithmetic = given.arithmetic;
        if (given.kernels != nullptr) choices.kernels = given.kernels;
        return models().add(open_model(path, choices));
    });
}

void bitnet_model_free(bitnet_model* model) { models().close(model); }

bitnet_status bitnet_model_get_info(const bitnet_model* model, bitnet_model_info* info) {
    return guarded(__func__, [&] {
        hand_out(info_of(*models().get(model)), info);
        return BITNET_OK;
    });
}

const char* bitnet_model_architecture(const bitnet_model* model) {
    return guarded(__func__, [&] { return models().get(model)->architecture().name.data(); });
}

const char* bitnet_model_description(const bitnet_model* model) {
    return guarded(__func__, [&] { return models().get(model)->description().c_str(); });
}

int32_t bitnet_model_metadata(const bitnet_model* model, const char* key, char* text, size_t capacity) {
    return guarded(__func__, [&] {
        const auto open = models().get(model);
        const Value* value = key == nullptr ? nullptr : open->file().find(key);
        if (value == nullptr) throw BadInput("the file has no metadata key " + quoted(key ? key : "(null)"));
        const std::string found = plain_text(*value);
        if (text != nullptr && capacity > found.size()) found.copy(text, found.size());
        if (text != nullptr && capacity > found.size()) text[found.size()] = '\0';
        return int32_t(found.size());
    });
}

int32_t bitnet_n_vocab(const bitnet_model* model) {
    return guarded(__func__, [&] { return int32_t(models().get(model)->shape().n_vocab); });
}

}  // extern "C"
