#include "library/text_calls.hpp"

#include <algorithm>
#include <string>

#include "library/bad_input.hpp"

namespace bitnet::library {

std::int32_t tokenize(const Tokenizer& tokenizer, const char* text, std::size_t size, bool add_bos,
                      bool parse_special, std::int32_t* ids, std::int32_t capacity) {
    if (text == nullptr && size > 0) throw BadInput("the text is null");
    const auto found = tokenizer.encode({text == nullptr ? "" : text, size}, add_bos, parse_special);
    const auto n = std::int32_t(found.size());
    if (ids != nullptr && capacity >= n) std::ranges::copy(found, ids);
    return n;
}

std::int32_t detokenize(const Tokenizer& tokenizer, const std::int32_t* ids, std::int32_t n, char* text,
                        std::size_t capacity) {
    if (n < 0 || (ids == nullptr && n > 0)) throw BadInput("the ids are null or less than none");
    std::string bytes;
    for (std::int32_t i = 0; i < n; ++i) bytes += tokenizer.piece(ids[i]);
    if (text != nullptr && capacity >= bytes.size()) bytes.copy(text, bytes.size());
    return std::int32_t(bytes.size());
}

}  // namespace bitnet::library
