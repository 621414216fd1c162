// The named pre-tokenizers of byte-level vocabularies.  The table is made by the build, from
// bitparity.tokenizer.pre_tokenizers (native/generate/pre_tokenizers.py), which explains it.
#pragma once

#include <span>
#include <string_view>
#include <vector>

namespace bitnet::library {

struct PreTokenizerRow {
    std::string_view name;
    std::vector<std::string_view> patterns;
    bool ignore_merges, add_bos;
};

std::span<const PreTokenizerRow> pre_tokenizers();

// The one that is taken for a file that names none.
std::string_view missing_pre_tokenizer();

}  // namespace bitnet::library
