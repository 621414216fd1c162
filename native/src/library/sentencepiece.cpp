#include "library/sentencepiece.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <limits>
#include <numeric>

#include "library/bad_input.hpp"
#include "library/utf8.hpp"
#include "library/words.hpp"

namespace bitnet::library {
namespace {

constexpr std::string_view space_character = "\xE2\x96\x81";  // U+2581, stands for a space in tokens

std::string replaced(std::string_view text, std::string_view old, std::string_view instead) {
    std::string result;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t found = std::min(text.find(old, at), text.size());
        result += text.substr(at, found - at);
        if (found < text.size()) result += instead;
        at = found + old.size();
    }
    return result;
}

bool is_boundary(std::string_view text, std::size_t at) {
    return (static_cast<unsigned char>(text[at]) & 0xC0) != 0x80;
}

std::size_t end_of_character(std::string_view text, std::size_t at) {
    ++at;
    while (at < text.size() && !is_boundary(text, at)) ++at;
    return at;
}

}  // namespace

SentencePiece::SentencePiece(const GgufFile& file, const Vocabulary& vocabulary)
    : vocabulary_(vocabulary), adds_space_(file.truth("tokenizer.ggml.add_space_prefix", true)) {
    const Array* given = file.array("tokenizer.ggml.scores");
    const std::vector<double> scores = given == nullptr ? std::vector<double>() : given->numbers();
    const std::vector<std::string>& tokens = vocabulary.tokens;
    if (scores.size() != tokens.size()) {
        throw BadInput("tokenizer.ggml.scores has " + std::to_string(scores.size()) + " entries for " +
                       std::to_string(tokens.size()) + " tokens");
    }
    std::vector<std::size_t> by_score(tokens.size());
    std::iota(by_score.begin(), by_score.end(), std::size_t(0));
    const auto score = [&](std::size_t i) { return scores[std::size_t(vocabulary.ids.at(tokens[i]))]; };
    std::ranges::stable_sort(by_score, std::greater<>(), score);
    // Tokens of one score share a rank, so that the leftmost is made first; converters exist that know no scores.
    std::int32_t rank = 0;
    double last = std::numeric_limits<double>::infinity();
    for (const std::size_t i : by_score) {
        const std::string_view token = tokens[i];
        if (score(i) < last) ++rank;
        last = score(i);
        if (token.empty()) continue;
        for (std::size_t at = end_of_character(token, 0); at < token.size();
             at = end_of_character(token, at)) {
            const auto first = vocabulary.ids.find(token.substr(0, at));
            const auto second = vocabulary.ids.find(token.substr(at));
            if (first == vocabulary.ids.end() || second == vocabulary.ids.end()) continue;
            merger_.add(first->second, second->second, rank, vocabulary.ids.at(token));
        }
    }
}

void SentencePiece::encode(std::string_view text, bool follows_special,
                           std::vector<std::int32_t>& ids) const {
    std::string spaced(adds_space_ && follows_special ? " " : "");
    spaced = replaced(spaced += text, " ", space_character);
    std::vector<std::int32_t> symbols;
    for (std::size_t at = 0; at < spaced.size();) {
        const std::size_t end = end_of_character(spaced, at);
        append_symbols(std::string_view(spaced).substr(at, end - at), symbols);
        at = end;
    }
    merger_.merge(symbols, ids);
}

// A character that neither has a token nor byte tokens is dropped.
void SentencePiece::append_symbols(std::string_view character, std::vector<std::int32_t>& symbols) const {
    const auto found = vocabulary_.ids.find(character);
    if (found != vocabulary_.ids.end()) return symbols.push_back(found->second);
    std::vector<std::int32_t> bytes;
    for (const char c : character) {
        std::array<char, 8> name{};
        std::snprintf(name.data(), name.size(), "<0x%02X>", unsigned(static_cast<unsigned char>(c)));
        const auto byte = vocabulary_.ids.find(std::string_view(name.data()));
        if (byte == vocabulary_.ids.end()) return;
        bytes.push_back(byte->second);
    }
    symbols.insert(symbols.end(), bytes.begin(), bytes.end());
}

std::string SentencePiece::bytes_of(std::string_view token) { return replaced(token, space_character, " "); }

std::string SentencePiece::byte_of(const std::string& token) {
    unsigned value = 0;
    char close = 0;
    if (token.size() != 6 || std::sscanf(token.c_str(), "<0x%2x%c", &value, &close) != 2 || close != '>') {
        throw BadInput("the byte token " + quoted(token) + " is not written as <0x0A>");
    }
    return {static_cast<char>(value)};
}

}  // namespace bitnet::library
