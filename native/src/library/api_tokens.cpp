// bitnet.h: text to token ids and back.
#include <algorithm>
#include <cstring>
#include <string>

#include "bitnet.h"
#include "library/bad_input.hpp"
#include "library/boundary.hpp"
#include "library/text_calls.hpp"

using namespace bitnet;
using namespace bitnet::library;

namespace {

// Of an optional id; -1 for none.
std::int32_t id_or_none(std::optional<std::int32_t> id) { return id.value_or(-1); }

}  // namespace

extern "C" {

int32_t bitnet_tokenize(const bitnet_model* model, const char* text, size_t size, int32_t add_bos,
                        int32_t parse_special, int32_t* ids, int32_t capacity) {
    return guarded(__func__, [&] {
        const auto open = models().get(model);
        return tokenize(open->tokenizer(), text, size, add_bos != 0, parse_special != 0, ids, capacity);
    });
}

int32_t bitnet_detokenize(const bitnet_model* model, const int32_t* ids, int32_t n, char* text,
                          size_t capacity) {
    return guarded(__func__, [&] {
        const auto open = models().get(model);
        return detokenize(open->tokenizer(), ids, n, text, capacity);
    });
}

const char* bitnet_token_text(const bitnet_model* model, int32_t id) {
    return guarded(__func__, [&] {
        const auto open = models().get(model);
        const Vocabulary& vocabulary = open->tokenizer().vocabulary();
        open->tokenizer().piece(id);  // throws for an id that is none
        return vocabulary.tokens[std::size_t(id)].c_str();
    });
}

int32_t bitnet_token_type(const bitnet_model* model, int32_t id) {
    return guarded(__func__, [&] {
        const auto open = models().get(model);
        open->tokenizer().piece(id);
        return std::int32_t(open->tokenizer().vocabulary().types[std::size_t(id)]);
    });
}

int32_t bitnet_special_token(const bitnet_model* model, int32_t which) {
    return guarded(__func__, [&] {
        const auto open = models().get(model);
        const Vocabulary& vocabulary = open->tokenizer().vocabulary();
        switch (which) {
            case BITNET_BOS:
                return id_or_none(vocabulary.bos);
            case BITNET_EOS:
                return id_or_none(vocabulary.eos);
            case BITNET_EOT:
                return id_or_none(vocabulary.eot);
        }
        throw BadInput(std::to_string(int(which)) + " is no bitnet_special");
    });
}

int32_t bitnet_is_end_token(const bitnet_model* model, int32_t id) {
    return guarded(__func__,
                   [&] { return std::int32_t(models().get(model)->tokenizer().is_end(id) ? 1 : 0); });
}

}  // extern "C"
