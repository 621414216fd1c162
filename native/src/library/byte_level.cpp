#include "library/byte_level.hpp"

#include "library/bad_input.hpp"
#include "library/utf8.hpp"
#include "library/words.hpp"

namespace bitnet::library {
namespace {

// The character that stands for each byte; source: GPT-2's encoder.py, bytes_to_unicode.  Printable Latin-1 characters
// stand for themselves, the other bytes for U+0100 onwards in order.
struct Alphabet {
    std::array<char32_t, 256> character;
    std::array<int, 512> byte;  // -1 for a character that stands for none

    Alphabet() {
        byte.fill(-1);
        char32_t next = 0x100;
        for (int i = 0; i < 256; ++i) {
            const bool itself = (i >= 0x21 && i < 0x7F) || (i >= 0xA1 && i < 0xAD) || i >= 0xAE;
            character[std::size_t(i)] = itself ? char32_t(i) : next++;
            byte[character[std::size_t(i)]] = i;
        }
    }
};

const Alphabet& alphabet() {
    static const Alphabet the_alphabet;
    return the_alphabet;
}

std::string characters_of(std::string_view bytes) {
    std::string text;
    for (const char c : bytes) append(text, alphabet().character[static_cast<unsigned char>(c)]);
    return text;
}

struct Merge {
    std::int32_t first, second, joined;
};

std::int32_t id_of(const Vocabulary& vocabulary, std::string_view token) {
    const auto found = vocabulary.ids.find(token);
    return found == vocabulary.ids.end() ? -1 : found->second;
}

Merge read_merge(const Vocabulary& vocabulary, const std::string& line) {
    const std::size_t space_at = line.find(' ');
    const std::string first = line.substr(0, space_at);
    const std::string second = space_at == std::string::npos ? "" : line.substr(space_at + 1);
    const Merge merge{id_of(vocabulary, first), id_of(vocabulary, second), id_of(vocabulary, first + second)};
    if (merge.first >= 0 && merge.second >= 0 && merge.joined >= 0) return merge;
    if (space_at == std::string::npos || second.find(' ') != std::string::npos) {
        throw BadInput("tokenizer.ggml.merges: " + quoted(line) + " is not two words");
    }
    const std::string& missing = merge.first < 0 ? first : merge.second < 0 ? second : first + second;
    throw BadInput("tokenizer.ggml.merges: " + quoted(line) + " needs the token " + quoted(missing) +
                   ", which the vocabulary lacks");
}

}  // namespace

const PreTokenizerRow& pre_tokenizer_of(const GgufFile& file) {
    const std::string* given = file.text("tokenizer.ggml.pre");
    const std::string_view name = given == nullptr || given->empty() ? missing_pre_tokenizer() : *given;
    std::vector<std::string> known;
    for (const PreTokenizerRow& row : pre_tokenizers()) {
        if (row.name == name) return row;
        known.emplace_back(row.name);
    }
    throw BadInput("tokenizer.ggml.pre names the pre-tokenizer " + quoted(name) +
                   ", which is not known; known are " + joined(known));
}

ByteLevel::ByteLevel(const GgufFile& file, const Vocabulary& vocabulary, const PreTokenizerRow& pre)
    : vocabulary_(vocabulary), ignore_merges_(pre.ignore_merges) {
    for (const std::string_view pattern : pre.patterns) patterns_.emplace_back(pattern);
    for (std::size_t byte = 0; byte < 256; ++byte) {
        const char c = static_cast<char>(byte);
        id_of_byte_[byte] = id_of(vocabulary, characters_of({&c, 1}));
    }
    const Array* merges = file.array("tokenizer.ggml.merges");
    if (merges == nullptr) return;
    std::int32_t rank = 0;
    for (const std::string& line : merges->strings()) {
        const Merge merge = read_merge(vocabulary, line);
        merger_.add(merge.first, merge.second, rank++, merge.joined);
    }
}

void ByteLevel::encode(std::string_view text, std::vector<std::int32_t>& ids) const {
    const std::vector<char32_t> codes = code_points(text);
    std::vector<std::size_t> starts;  // of each character, in bytes
    starts.reserve(codes.size() + 1);
    for (std::size_t at = 0; at < text.size(); ++at) {
        if ((static_cast<unsigned char>(text[at]) & 0xC0) != 0x80) starts.push_back(at);
    }
    starts.push_back(text.size());
    for (const auto& [first, last] : cut(codes, patterns_)) {
        encode_word(text.substr(starts[first], starts[last] - starts[first]), ids);
    }
}

void ByteLevel::encode_word(std::string_view word, std::vector<std::int32_t>& ids) const {
    if (ignore_merges_) {
        const std::int32_t whole = id_of(vocabulary_, characters_of(word));
        if (whole >= 0) return ids.push_back(whole);
    }
    std::vector<std::int32_t> symbols, merged;
    for (const char c : word) symbols.push_back(id_of_byte_[static_cast<unsigned char>(c)]);
    merger_.merge(symbols, merged);  // -1, which no rule has, keeps the neighbours of a dropped byte apart
    for (const std::int32_t id : merged) {
        if (id >= 0) ids.push_back(id);
    }
}

std::string ByteLevel::bytes_of(std::string_view token) {
    std::string bytes;
    for (const char32_t code : code_points(token)) {
        const int byte = code < alphabet().byte.size() ? alphabet().byte[code] : -1;
        if (byte >= 0)
            bytes += static_cast<char>(byte);
        else
            append(bytes, code);
    }
    return bytes;
}

}  // namespace bitnet::library
