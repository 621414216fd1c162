// The vocabulary that a GGUF file carries, and cutting a text at its special tokens.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "library/gguf.hpp"

namespace bitnet::library {

// tokenizer.ggml.token_type; source: llama.h.
enum class TokenType : std::int32_t { undefined, normal, unknown, control, user_defined, unused, byte };

// An id of a special token, or the text between two.
using Fragment = std::variant<std::int32_t, std::string_view>;

struct Vocabulary {
    std::vector<std::string> tokens;
    std::vector<TokenType> types;
    std::optional<std::int32_t> bos, eos, eot;
    bool adds_bos, adds_eos;  // what the file asks for at both ends of a prompt
    std::unordered_map<std::string_view, std::int32_t> ids;  // by text; the last of those with the same

    // default_bos and default_adds_bos hold where the file says nothing.  Throws BadInput for arrays that do not fit.
    Vocabulary(const GgufFile& file, std::optional<std::int32_t> default_bos, bool default_adds_bos);
    Vocabulary(const Vocabulary&) = delete;  // ids point into tokens

    // Longer special tokens are looked for first, through the whole text.  User-defined ones are always found; control
    // and unknown ones only with parse_special.
    std::vector<Fragment> split(std::string_view text, bool parse_special) const;

private:
    std::vector<std::int32_t> special_;  // longest first
};

}  // namespace bitnet::library
