// SentencePiece-style vocabularies with scores (tokenizer.ggml.model = llama): BPE whose merges are all ways to cut a
// token into two, ranked by the token's score.  Characters without a token become byte tokens <0x00> to <0xFF>.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "library/gguf.hpp"
#include "library/merger.hpp"
#include "library/vocabulary.hpp"

namespace bitnet::library {

class SentencePiece {
public:
    // Throws BadInput unless each token has a score.
    SentencePiece(const GgufFile& file, const Vocabulary& vocabulary);

    // Appends the ids of a text without special tokens; follows_special for one at the start or after one of them.
    void encode(std::string_view text, bool follows_special, std::vector<std::int32_t>& ids) const;

    // The bytes that a normal token stands for.
    static std::string bytes_of(std::string_view token);
    // <0x0A> -> "\n".  Throws BadInput for a token that is not so written.
    static std::string byte_of(const std::string& token);

private:
    void append_symbols(std::string_view character, std::vector<std::int32_t>& symbols) const;

    const Vocabulary& vocabulary_;
    bool adds_space_;
    Merger merger_;
};

}  // namespace bitnet::library
