#include "library/tokenizer.hpp"

#include "library/bad_input.hpp"
#include "library/utf8.hpp"
#include "library/words.hpp"

namespace bitnet::library {
namespace {

constexpr std::int32_t sentencepiece_bos = 1;  // llama.cpp's default where the file names none

bool read_is_byte_level(const GgufFile& file) {
    const Value* model = file.find("tokenizer.ggml.model");
    const std::string* name = file.text("tokenizer.ggml.model");
    if (name != nullptr && *name == "gpt2") return true;
    if (name != nullptr && *name == "llama") return false;
    throw BadInput("tokenizer.ggml.model is " + (model == nullptr ? "missing" : value_text(*model)) +
                   ", but only 'gpt2' and 'llama' can be read; give token ids");
}

std::int32_t known(std::optional<std::int32_t> id, const char* name) {
    if (id) return *id;
    throw BadInput(std::string("tokenizer.ggml.") + name +
                   "_token_id is missing, but the file asks for it in every prompt");
}

}  // namespace

Tokenizer::Tokenizer(const GgufFile& file)
    : is_byte_level_(read_is_byte_level(file)),
      pre_(is_byte_level_ ? &pre_tokenizer_of(file) : nullptr),
      vocabulary_(file, is_byte_level_ ? std::nullopt : std::optional(sentencepiece_bos),
                  pre_ == nullptr || pre_->add_bos) {
    if (is_byte_level_)
        byte_level_.emplace(file, vocabulary_, *pre_);
    else
        sentencepiece_.emplace(file, vocabulary_);
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text, bool add_bos, bool parse_special) const {
    if (const auto at = first_not_utf8(text)) {
        throw BadInput("the text is not UTF-8 at byte " + std::to_string(*at));
    }
    std::vector<std::int32_t> ids;
    if (add_bos && vocabulary_.adds_bos) ids.push_back(known(vocabulary_.bos, "bos"));
    bool follows_special = true;
    for (const Fragment& fragment : vocabulary_.split(text, parse_special)) {
        const auto* between = std::get_if<std::string_view>(&fragment);
        if (between == nullptr)
            ids.push_back(std::get<std::int32_t>(fragment));
        else if (is_byte_level_)
            byte_level_->encode(*between, ids);
        else
            sentencepiece_->encode(*between, follows_special, ids);
        follows_special = between == nullptr;
    }
    if (add_bos && vocabulary_.adds_eos) ids.push_back(known(vocabulary_.eos, "eos"));
    return ids;
}

std::string Tokenizer::piece(std::int32_t id) const {
    if (id < 0 || std::size_t(id) >= vocabulary_.tokens.size()) {
        throw BadInput("token " + std::to_string(id) + " is outside the vocabulary of " +
                       with_commas(vocabulary_.tokens.size()));
    }
    const std::string& token = vocabulary_.tokens[std::size_t(id)];
    switch (vocabulary_.types[std::size_t(id)]) {
        case TokenType::control:
        case TokenType::unknown:
        case TokenType::user_defined:
            return token;
        case TokenType::byte:
            return SentencePiece::byte_of(token);
        case TokenType::normal:
            return is_byte_level_ ? ByteLevel::bytes_of(token) : SentencePiece::bytes_of(token);
        case TokenType::undefined:
        case TokenType::unused:
            break;
    }
    return "";
}

}  // namespace bitnet::library
