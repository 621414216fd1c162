// Byte-level BPE (tokenizer.ggml.model = gpt2): a printable character stands for each byte.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "library/gguf.hpp"
#include "library/merger.hpp"
#include "library/pattern.hpp"
#include "library/pre_tokenizers.hpp"
#include "library/vocabulary.hpp"

namespace bitnet::library {

// That tokenizer.ggml.pre names, or the usual one.  Throws BadInput for a name that is not known.
const PreTokenizerRow& pre_tokenizer_of(const GgufFile& file);

class ByteLevel {
public:
    // Throws BadInput for a merge that is not two words, or makes no token.
    ByteLevel(const GgufFile& file, const Vocabulary& vocabulary, const PreTokenizerRow& pre);

    // Appends the ids of a text without special tokens.  A byte that no token covers is dropped.
    void encode(std::string_view text, std::vector<std::int32_t>& ids) const;

    // The bytes that a normal token stands for; a character outside the alphabet is kept.
    static std::string bytes_of(std::string_view token);

private:
    void encode_word(std::string_view word, std::vector<std::int32_t>& ids) const;

    const Vocabulary& vocabulary_;
    std::vector<Pattern> patterns_;
    bool ignore_merges_;
    std::array<std::int32_t, 256> id_of_byte_{};
    Merger merger_;
};

}  // namespace bitnet::library
