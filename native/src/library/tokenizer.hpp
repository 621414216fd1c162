// Text to token ids and back, from the vocabulary that a GGUF file carries.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "library/byte_level.hpp"
#include "library/sentencepiece.hpp"
#include "library/vocabulary.hpp"

namespace bitnet::library {

class Tokenizer {
public:
    // Throws BadInput for a vocabulary of another kind, a pre-tokenizer that is not known, and arrays that
    // do not fit each other.
    explicit Tokenizer(const GgufFile& file);

    const Vocabulary& vocabulary() const { return vocabulary_; }

    // Throws BadInput for a text that is not UTF-8.
    std::vector<std::int32_t> encode(std::string_view text, bool add_bos, bool parse_special) const;

    // The bytes that one id stands for; special tokens give their name.  Throws BadInput for an id outside the
    // vocabulary.
    std::string piece(std::int32_t id) const;

    // Whether generation ends with it.
    bool is_end(std::int32_t id) const { return id == vocabulary_.eos || id == vocabulary_.eot; }

private:
    bool is_byte_level_;
    const PreTokenizerRow* pre_;  // null unless byte level
    Vocabulary vocabulary_;
    std::optional<ByteLevel> byte_level_;
    std::optional<SentencePiece> sentencepiece_;
};

}  // namespace bitnet::library
