// The regular expressions of pre-tokenizers, as far as those use them: alternatives of characters, classes and sets
// with ?, *, + or {a,b} behind them, and (?!x) for one character x.  Alternatives are tried in their order, repetition
// takes as much as it can and gives back as needed, as in Perl.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "library/unicode_classes.hpp"

namespace bitnet::library {

class Pattern {
public:
    // Throws BadInput for what is not one of the above.
    explicit Pattern(std::string_view text);

    // Where the match ends that begins at `at`; `at` itself when none does.
    std::size_t match_end(std::span<const char32_t> text, std::size_t at) const;

private:
    friend class PatternParser;

    struct Set {
        bool is_negated = false;
        Classes inside = 0;                                 // of one of these classes
        bool non_space = false;                             // or no space
        std::vector<std::pair<char32_t, char32_t>> ranges;  // or here, first and last

        bool contains(char32_t code) const;
    };
    struct Item {
        Set set;
        std::size_t least = 1, most = 1;
        bool is_lookahead = false;  // no character of the set may follow
    };
    using Alternative = std::vector<Item>;

    static bool matches(std::span<const Item> items, std::span<const char32_t> text, std::size_t at,
                        std::size_t& end);

    std::vector<Alternative> alternatives_;
};

// The text cut by patterns, each cutting the pieces that those before it left: a match is a piece, and so is the text
// between matches.  Returns where each piece begins and ends.
std::vector<std::pair<std::size_t, std::size_t>> cut(std::span<const char32_t> text,
                                                     std::span<const Pattern> patterns);

}  // namespace bitnet::library
