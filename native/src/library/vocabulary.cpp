#include "library/vocabulary.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "library/bad_input.hpp"
#include "library/words.hpp"

namespace bitnet::library {
namespace {

// Control tokens for llama.cpp whatever the file says (llama-vocab.cpp), the last two upstream only.
constexpr std::array<std::string_view, 9> always_control{"<|eot_id|>",    "<|im_end|>",    "<|end|>",
                                                         "<end_of_turn>", "<|endoftext|>", "<|eom_id|>",
                                                         "<EOT>",         "</s>",          "<|end_of_text|>"};

std::vector<TokenType> read_types(const GgufFile& file, const std::vector<std::string>& tokens) {
    std::vector<TokenType> types(tokens.size(), TokenType::normal);
    const Array* given = file.array("tokenizer.ggml.token_type");
    const std::vector<double> numbers = given == nullptr ? std::vector<double>() : given->numbers();
    if (!numbers.empty() && numbers.size() != tokens.size()) {
        throw BadInput("tokenizer.ggml.token_type has " + std::to_string(numbers.size()) + " entries for " +
                       std::to_string(tokens.size()) + " tokens");
    }
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        if (!numbers.empty()) types[i] = TokenType(std::int32_t(numbers[i]));
        if (std::ranges::find(always_control, tokens[i]) != always_control.end())
            types[i] = TokenType::control;
    }
    return types;
}

std::optional<std::int32_t> special_id(const GgufFile& file, std::string_view name, std::size_t count,
                                       std::optional<std::int32_t> otherwise) {
    const std::string key = "tokenizer.ggml." + std::string(name) + "_token_id";
    const auto id = file.find(key) == nullptr ? std::optional<std::int64_t>(otherwise) : file.integer(key);
    if (!id || *id < 0 || *id >= std::int64_t(count)) return {};
    return std::int32_t(*id);
}

bool is_named(TokenType type) { return type == TokenType::control || type == TokenType::unknown; }

void split_at(std::string_view text, std::string_view token, std::int32_t id, std::vector<Fragment>& parts) {
    for (std::size_t start = 0;;) {
        const std::size_t found = text.find(token, start);
        const std::string_view before = text.substr(start, found - start);
        if (!before.empty()) parts.emplace_back(before);
        if (found == std::string_view::npos) return;
        parts.emplace_back(id);
        start = found + token.size();
    }
}

}  // namespace

Vocabulary::Vocabulary(const GgufFile& file, std::optional<std::int32_t> default_bos, bool default_adds_bos) {
    if (const Array* given = file.array("tokenizer.ggml.tokens")) tokens = given->strings();
    if (tokens.empty()) throw BadInput("tokenizer.ggml.tokens is missing or empty; give token ids");
    types = read_types(file, tokens);
    bos = special_id(file, "bos", tokens.size(), default_bos);
    eos = special_id(file, "eos", tokens.size(), {});
    eot = special_id(file, "eot", tokens.size(), {});
    adds_bos = file.truth("tokenizer.ggml.add_bos_token", default_adds_bos);
    adds_eos = file.truth("tokenizer.ggml.add_eos_token", false);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        const auto id = std::int32_t(i);
        ids[tokens[i]] = id;
        if ((is_named(types[i]) || types[i] == TokenType::user_defined) && !tokens[i].empty()) {
            special_.push_back(id);
        }
    }
    const auto length = [this](std::int32_t id) { return tokens[std::size_t(id)].size(); };
    std::ranges::stable_sort(special_, std::greater<>(), length);
}

std::vector<Fragment> Vocabulary::split(std::string_view text, bool parse_special) const {
    std::vector<Fragment> fragments;
    if (!text.empty()) fragments.emplace_back(text);
    for (const std::int32_t id : special_) {
        const std::string& token = tokens[std::size_t(id)];
        if (!parse_special && is_named(types[std::size_t(id)])) continue;
        if (text.find(token) == std::string_view::npos) continue;
        std::vector<Fragment> parts;
        for (const Fragment& fragment : fragments) {
            const auto* between = std::get_if<std::string_view>(&fragment);
            if (between == nullptr)
                parts.push_back(fragment);
            else
                split_at(*between, token, id, parts);
        }
        fragments = std::move(parts);
    }
    return fragments;
}

}  // namespace bitnet::library
